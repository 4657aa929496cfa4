"""Which thing a drawing shows, and how much it is like another drawing.

A drawing is compared with 2,333 reference drawings of 358 things in seven sets. All are described
by the shape and the edges of whatever stands out from the background, and to a lesser degree by
colour, so that a blue cat is still a cat. The description is projected by a linear discriminant
(fitted by tests/judge/fit.py, stored in assets/judge), and the nearest reference of each thing,
mirrored or not, gives its score.

On references of a set that was held back, among all 358 things, it names 77% as its first choice,
87% among the best three and 90% among the best five; with all hues turned 71, 82 and 86%, on a
coloured background 75, 85 and 89%. A picture of another thing, drawn at random, is accepted in
0.06% of cases as the first choice and in 0.6% among the best three; what is taken for one another
are look-alikes (a car and a jeep, a cookie and a full moon).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from PIL import Image

from studio.errors import ModelError
from studio.models.entry import ASSETS
from studio.training.watching.embedded_judge.picture import (
    FRAME,
    SIDE,
    background,
    blur,
    cells,
    edges,
    evenness,
    foreground,
    pixels,
    silhouette,
    slopes,
    unit,
)

FITTED = ASSETS / "judge" / "judge.npz"

WEIGHTS = {"edges 8x8": 1.0, "edges 4x4": 1.0, "mask": 0.5, "light": 0.3, "colours": 0.2}
COLOURS = slice(-64, None)
"""Where the histogram of colours stands among the features."""
NOISE = 0.65  # density of edges: references reach 0.60, blurred white noise starts at 0.69
EVEN = 0.85  # how evenly cells share the edges, and ...
RESTLESS = 0.1  # ... what share of the frame may stand out if they do: 12 of 2,333 references
CONTRAST = 0.15  # between the 2nd and the 98th percentile of the liveliest channel


def centred(image: Image.Image) -> tuple[np.ndarray, np.ndarray]:
    """Crop to what stands out, make it square: (SIDE, SIDE, 3) and the background colour.

    Marks in the frame that defines the background do not stand out: autoencoders leave some in
    the corners.
    """
    a = pixels(image, 128)
    ground = background(a)
    mask = foreground(a, ground)
    mask[FRAME] = mask[:, FRAME] = False
    rows, columns = (np.flatnonzero(mask.mean(axis) > 0.015) for axis in (1, 0))
    if len(rows) == 0 or len(columns) == 0:
        return pixels(image, SIDE), ground
    middle = np.array([columns[0] + columns[-1] + 1, rows[0] + rows[-1] + 1]) / 2
    half = 0.53 * max(columns[-1] - columns[0] + 1, rows[-1] - rows[0] + 1)
    left, top, right, bottom = (float(v) for v in np.concatenate([middle - half, middle + half]))
    cropped = Image.fromarray(np.rint(a * 255).astype(np.uint8)).transform(
        (2 * SIDE, 2 * SIDE),
        Image.Transform.EXTENT,
        (left, top, right, bottom),
        Image.Resampling.BILINEAR,
        fillcolor=tuple(int(channel) for channel in np.rint(ground * 255)),
    )
    return np.asarray(cropped.reduce(2), "f4") / 255, ground


def describe(image: Image.Image) -> np.ndarray:
    """The features of a picture: one vector, made of blocks of length sqrt(weight)."""
    a, ground = centred(image)
    inside = silhouette(foreground(a, ground))
    directed = edges(blur(a))
    light = a.mean(-1)
    light = np.where(inside, light - (light[inside].mean() if inside.any() else 0), 0)
    colours = np.zeros((4, 4, 4), np.float32)
    np.add.at(colours, tuple(np.minimum(a[inside] * 4, 3).astype(int).T), 1)
    blocks = {
        "edges 8x8": np.sqrt(cells(directed, 8)),
        "edges 4x4": np.sqrt(cells(directed, 4)),
        "mask": cells(inside.astype("f4"), 16),
        "light": cells(light, 8),
        "colours": np.sqrt(blur(colours, (0, 1, 2))),
    }
    return np.concatenate([unit(blocks[name]) * weight**0.5 for name, weight in WEIGHTS.items()])


def both_ways(image: Image.Image) -> np.ndarray:
    """The features of a picture and of its mirror image: (2, features)."""
    return np.stack([describe(image), describe(image.transpose(Image.Transpose.FLIP_LEFT_RIGHT))])


def is_picture(image: Image.Image) -> bool:
    """False for a blank or faint image, and for noise: sharp, blurred or decoded from latents.

    Edges are sparse in a drawing and everywhere in noise: with g the gradient's length, the
    ratio mean(g)^2 / mean(g^2) of Gaussian noise is pi/4 for grey and about 0.92 for colour
    noise, however much it is blurred. Confetti, as a decoder makes of noise, has sparse edges
    that are spread evenly and do not spare the frame.
    """
    a = pixels(image, 128)
    low, high = np.percentile(a, (2, 98), axis=(0, 1))
    if (high - low).max() < CONTRAST:
        return False
    fine, coarse = (slopes(pixels(image, side)) for side in (64, 32))
    if (evenness(fine) + evenness(coarse)) / 2 > NOISE:
        return False
    mask = foreground(a, background(a))
    restless = (mask[FRAME].mean() + mask[:, FRAME].mean()) / 2
    return bool(restless < RESTLESS or evenness(cells(fine, 8)) < EVEN)


def stored(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an .npz file, half precision made single; ModelError when it is damaged."""
    try:
        with np.load(path, allow_pickle=False) as opened:
            arrays = {name: opened[name] for name in opened.files}
    except (OSError, ValueError, EOFError, LookupError) as error:
        raise ModelError(
            f"The judge of drawings in {path} cannot be read ({error}); install the studio again."
        ) from None
    return {k: a.astype("f4") if a.dtype == np.float16 else a for k, a in arrays.items()}


@dataclass(frozen=True)
class Namer:
    """References and how to compare with them.

    `things` names the thing of each of `rows`, the projected references (n, d) of length one.
    `mean` (features,) and `projection` (features, d): of the discriminant.
    """

    things: np.ndarray
    rows: np.ndarray
    mean: np.ndarray
    projection: np.ndarray

    @classmethod
    def load(cls, path: Path = FITTED) -> Self:
        """The one that ships; ModelError when it is damaged."""
        return cls(**stored(path))

    @classmethod
    def of(
        cls,
        features: np.ndarray,
        things: np.ndarray,
        mean: np.ndarray,
        projection: np.ndarray,
        **more: Any,
    ) -> Self:
        """One of described references (n, features) and a projection (features, d)."""
        rows = (features - mean) @ projection
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        return cls(things=things, rows=rows, mean=mean, projection=projection, **more)

    def projected(self, features: np.ndarray) -> np.ndarray:
        """Features (..., features) as directions of length one (..., d)."""
        views = (features - self.mean) @ self.projection
        return views / (np.linalg.norm(views, axis=-1, keepdims=True) + 1e-9)

    def rank(self, image: Image.Image) -> list[tuple[str, float]]:
        """All things with their scores, best first: the cosine with the nearest reference."""
        return self.rank_described(both_ways(image))

    def rank_described(self, features: np.ndarray) -> list[tuple[str, float]]:
        """The same from the features of a picture and its mirror image: (2, features)."""
        nearest = (self.rows @ self.projected(features).T).max(1)
        best: dict[str, float] = {}
        for row in np.argsort(-nearest):
            best.setdefault(str(self.things[row]), float(nearest[row]))
        return list(best.items())

    def recognises(self, image: Image.Image, thing: str, top: int = 3) -> bool:
        """Whether it is a picture at all and the thing is among the best `top`.

        Raises ValueError for a thing without a reference.
        """
        if thing not in self.things:
            raise ValueError(f"no reference shows {thing!r}: ask for one of index.json's things")
        return is_picture(image) and thing in dict(self.rank(image)[:top])
