"""In which style is a picture drawn? Nothing here looks at what it shows.

The styles differ in how sharp and how many their edges are, in outlines, in shading and in palette.
"""

import numpy as np
from PIL import Image

from studio.training.watching.embedded_judge.picture import (
    background,
    blur,
    cells,
    colour_names,
    edges,
    foreground,
    pixels,
    silhouette,
)

SIDE = 128
STEPS = np.array([0, 0.004, 0.01, 0.02, 0.035, 0.055, 0.08, 0.12, 0.18, 0.26, 0.4, 2])
NAMES = (
    "black", "blue", "brown", "green", "grey", "orange", "pink", "purple", "red", "teal", "white",
    "yellow",
)  # fmt: skip


def shares(values: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """The square roots of a histogram that sums to one."""
    counts = np.histogram(values, ends)[0]
    return np.sqrt(counts / max(counts.sum(), 1))


def rim(mask: np.ndarray, width: int) -> np.ndarray:
    """The outermost pixels of a mask, about `width` deep."""
    inner = mask.copy()
    for _ in range(width):
        for axis in (0, 1):
            inner &= np.roll(inner, 1, axis) & np.roll(inner, -1, axis)
    return mask & ~inner


def describe_style(image: Image.Image) -> np.ndarray:
    """Figures of a picture's style: one vector."""
    a = pixels(image, SIDE)
    ground = background(a)
    inside = silhouette(foreground(a, ground))
    if inside.sum() < 64:
        inside = np.ones_like(inside)
    light, chroma = a.mean(-1), a.max(-1) - a.min(-1)
    ten = np.linspace(0, 1, 11)
    slope = np.sqrt(sum(part**2 for part in np.gradient(light)))
    soft = blur(a)
    slope_soft = np.sqrt(sum(part**2 for part in np.gradient(soft.mean(-1))))
    colours = (np.minimum(a * 8, 7).astype(int) @ np.array([64, 8, 1]))[inside]
    palette = np.sort(np.bincount(colours, minlength=512))[::-1][:10] / inside.sum()
    named = colour_names(a[inside])
    border, deeper = rim(inside, 2), rim(inside, 5)
    directed = cells(edges(soft), 2).sum((0, 1))
    return np.concatenate(
        [
            shares(slope[inside], STEPS),
            shares(slope_soft[inside], STEPS),
            shares(slope[border], STEPS),
            shares(light[inside], ten),
            shares(light[border], ten),
            shares(light[deeper], ten),
            shares(chroma[inside], ten),
            shares(chroma[border], ten),
            np.sqrt(palette),
            np.sqrt([np.mean(named == name) for name in NAMES]),
            directed / (directed.sum() + 1e-6),
            [inside.mean(), inside.any(0).mean(), inside.any(1).mean()],
        ]
    ).astype("f4")
