"""What can be seen in a picture without knowing what it shows: ground, silhouette, edges, colours.

Pictures are (height, width, 3) arrays of floats from 0 to 1.
"""

import numpy as np
from PIL import Image

SIDE = 64  # px: colours are counted at this size
FRAME = [0, 1, 2, -3, -2, -1]  # the outermost rows and columns
STANDS_OUT = 0.12  # RGB distance from the background, of at most sqrt(3)

# The upper ends of the hues in degrees, for vivid colours.
HUE_ENDS = (15, 38, 68, 165, 190, 255, 305, 345, 361)
HUES = ("red", "orange", "yellow", "green", "teal", "blue", "purple", "pink", "red")


def pixels(image: Image.Image, side: int) -> np.ndarray:
    """The picture as (side, side, 3) floats from 0 to 1; transparent parts are white."""
    if image.mode in ("RGBA", "LA", "P"):
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return np.asarray(image.convert("RGB").resize((side, side), Image.Resampling.BOX), "f4") / 255


def background(a: np.ndarray) -> np.ndarray:
    """The median colour of the frame."""
    return np.median(np.concatenate([a[FRAME].reshape(-1, 3), a[:, FRAME].reshape(-1, 3)]), axis=0)


def foreground(a: np.ndarray, ground: np.ndarray) -> np.ndarray:
    """Where the picture differs from the background: (height, width) of bool."""
    apart = a - ground
    return np.einsum("...c,...c->...", apart, apart) > STANDS_OUT**2


def silhouette(mask: np.ndarray) -> np.ndarray:
    """The mask with its inside filled: what lies between two set pixels in its row and column."""
    filled = np.ones_like(mask)
    for axis in (0, 1):
        filled &= np.logical_or.accumulate(mask, axis)
        filled &= np.flip(np.logical_or.accumulate(np.flip(mask, axis), axis), axis)
    return filled


def blur(a: np.ndarray, axes: tuple[int, ...] = (0, 1)) -> np.ndarray:
    """A 1-2-1 filter along each of the axes, edges repeated."""
    for axis in axes:
        padded = np.moveaxis(
            np.concatenate([a.take([0], axis), a, a.take([-1], axis)], axis), axis, 0
        )
        a = np.moveaxis((padded[:-2] + 2 * padded[1:-1] + padded[2:]) / 4, 0, axis)
    return a


def cells(a: np.ndarray, count: int) -> np.ndarray:
    """Means over count x count square cells: (count, count, channels)."""
    step = len(a) // count
    return a.reshape(count, step, count, step, -1).mean((1, 3))


def unit(a: np.ndarray) -> np.ndarray:
    """The array as a vector of length one (or zero)."""
    return a.ravel() / (np.linalg.norm(a) + 1e-6)


def edges(a: np.ndarray) -> np.ndarray:
    """Edge strength in eight directions, from the channel in which it is largest: (h, w, 8)."""
    down, right = np.gradient(a, axis=(0, 1))
    strongest = (down**2 + right**2).argmax(-1)[..., None]
    down, right = (np.take_along_axis(g, strongest, -1) for g in (down, right))
    turn = np.arctan2(down, right) * (8 / np.pi) % 8
    apart = np.abs(turn - np.arange(8, dtype="f4"))
    return np.hypot(down, right) * np.maximum(1 - np.minimum(apart, 8 - apart), 0)


def slopes(a: np.ndarray) -> np.ndarray:
    """The squared length of the gradient over all channels: (height, width)."""
    return sum(part**2 for part in np.gradient(a, axis=(0, 1))).sum(-1)


def evenness(squared: np.ndarray) -> float:
    """mean(g)^2 / mean(g^2) of squared values g^2: one if all are equal, near zero if few count."""
    return float(np.sqrt(squared).mean() ** 2 / (squared.mean() + 1e-12))


def halves(image: Image.Image) -> list[Image.Image]:
    """The left and the right half of a picture, each made square with its own background."""
    made = []
    for left in (0, image.width // 2):
        part = image.crop((left, 0, left + image.width // 2, image.height))
        ground = background(pixels(part.resize(image.size), 128))
        canvas = Image.new("RGB", image.size, tuple(int(v) for v in np.rint(ground * 255)))
        canvas.paste(part, (image.width // 4, 0))
        made.append(canvas)
    return made


def hue_chroma(rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Hue in degrees and chroma (largest minus smallest channel) of (..., 3) in 0 to 1."""
    high, low = rgb.max(-1), rgb.min(-1)
    chroma = high - low
    step = np.maximum(chroma, 1e-6)
    r, g, b = np.moveaxis(rgb, -1, 0)
    hue = np.select(
        [high == r, high == g], [(g - b) / step % 6, (b - r) / step + 2], (r - g) / step + 4
    )
    return hue * 60, chroma


def colour_names(a: np.ndarray) -> np.ndarray:
    """The name of every pixel's colour: an array of str without the last axis."""
    high = a.max(-1)
    degrees, chroma = hue_chroma(a)
    saturation = chroma / np.maximum(high, 1e-6)
    vivid = np.array(HUES)[np.searchsorted(HUE_ENDS, degrees)]
    warm = (degrees > 8) & (degrees < 45)
    return np.select(
        [
            (high < 0.2) | ((high < 0.3) & (chroma < 0.12)),
            (chroma < 0.12) & (high > 0.85),
            chroma < 0.12,
            warm & ((high < 0.72) | ((saturation < 0.6) & (high < 0.85))),
            ((degrees > 335) | (degrees < 18)) & (saturation < 0.5) & (high > 0.8),
        ],
        ["black", "white", "grey", "brown", "pink"],
        vivid,
    )


def main_colour(image: Image.Image) -> str | None:
    """The name of the main colour of what stands out from the background, None if nothing does.

    White, grey and black only win where hardly a quarter of the thing has any other colour.
    """
    a = pixels(image, SIDE)
    inside = silhouette(foreground(a, background(a)))
    if inside.mean() < 0.01:
        return None
    names, counts = np.unique(colour_names(a[inside]), return_counts=True)
    coloured = ~np.isin(names, ("white", "grey", "black"))
    if counts[coloured].sum() > 0.25 * counts.sum():
        names, counts = names[coloured], counts[coloured]
    return str(names[counts.argmax()])
