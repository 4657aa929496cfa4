"""A small judge of pictures: which of 99 things does one show, in what colour, or is it just noise?

It compares a picture with the reference emoji in `references/` (657 pictures of 99 things in seven
sets). Both are described by the shape and the edges of whatever stands out from the background,
and to a lesser degree by colour, so that a blue cat is still a cat. The description is projected
by a linear discriminant (`fit.py`, stored in `projection.npz`), and the nearest reference of each
thing, mirrored or not, gives its score.

On references of a set that was held back it names 87% as its first choice, 93% among the best
three and 95% among the best five; with all hues turned 83, 90 and 93%. A picture of another thing,
drawn at random, is accepted in 0.13% of cases as the first choice and in 2.1% among the best three,
but a look-alike nearly always is among the best three (a red apple for a tomato, a bus for a
television): ask for `top=1` where that matters. The variants that were tried stand in `fit.py`.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

HERE = Path(__file__).parent
REFERENCES = HERE / "references"
PROJECTION = HERE / "projection.npz"

SIDE = 64  # px: every picture is cropped to what stands out and brought to this size
FRAME = [0, 1, 2, -3, -2, -1]  # the outermost rows and columns
STANDS_OUT = 0.12  # RGB distance from the background, of at most sqrt(3)
WEIGHTS = {"edges 8x8": 1.0, "edges 4x4": 1.0, "mask": 0.5, "light": 0.3, "colours": 0.2}
NOISE = 0.65  # density of edges: references reach 0.60, blurred white noise starts at 0.69
EVEN = 0.75  # how evenly cells share the edges, and ...
RESTLESS = 0.1  # ... what share of the frame may stand out if they do: references have none
CONTRAST = 0.15  # between the 2nd and the 98th percentile of the liveliest channel

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
    cropped = Image.fromarray(np.rint(a * 255).astype(np.uint8)).transform(
        (2 * SIDE, 2 * SIDE),
        Image.Transform.EXTENT,
        tuple(np.concatenate([middle - half, middle + half])),
        Image.Resampling.BILINEAR,
        fillcolor=tuple(int(channel) for channel in np.rint(ground * 255)),
    )
    return np.asarray(cropped.reduce(2), "f4") / 255, ground


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


def colour_names(a: np.ndarray) -> np.ndarray:
    """The name of every pixel's colour: an array of str without the last axis."""
    high, low = a.max(-1), a.min(-1)
    chroma = high - low
    saturation = chroma / np.maximum(high, 1e-6)
    r, g, b = np.moveaxis(a, -1, 0)
    step = np.maximum(chroma, 1e-6)
    hue = np.select(
        [high == r, high == g], [(g - b) / step % 6, (b - r) / step + 2], (r - g) / step + 4
    )
    degrees = hue * 60
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


@dataclass(frozen=True)
class Judge:
    """References and how to compare with them.

    `things` names the thing of each row of `rows`, the projected references (n, d) of length one.
    """

    things: np.ndarray
    rows: np.ndarray
    mean: np.ndarray
    projection: np.ndarray

    @classmethod
    def load(cls, folder: Path = REFERENCES) -> "Judge":
        """Describe the references in a folder with an index.json."""
        entries = json.loads((folder / "index.json").read_text(encoding="utf-8"))
        features = []
        for entry in entries:
            with Image.open(folder / entry["file"]) as image:
                features.append(describe(image))
        with np.load(PROJECTION) as stored:
            mean, projection = stored["mean"], stored["projection"].astype("f4")
        things = np.array([entry["thing"] for entry in entries])
        return cls.of(np.stack(features), things, mean, projection)

    @classmethod
    def of(cls, features: np.ndarray, things: np.ndarray, mean: np.ndarray, projection: np.ndarray):
        """A judge from described references (n, features) and a projection (features, d)."""
        rows = (features - mean) @ projection
        return cls(things, rows / np.linalg.norm(rows, axis=1, keepdims=True), mean, projection)

    def rank(self, image: Image.Image) -> list[tuple[str, float]]:
        """All things with their scores, best first: the cosine with the nearest reference."""
        mirrored = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        return self.rank_described(np.stack([describe(image), describe(mirrored)]))

    def rank_described(self, features: np.ndarray) -> list[tuple[str, float]]:
        """The same from the features of a picture and its mirror image: (2, features)."""
        views = (features - self.mean) @ self.projection
        views /= np.linalg.norm(views, axis=1, keepdims=True) + 1e-9
        nearest = (self.rows @ views.T).max(1)
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
        return self.is_picture(image) and thing in dict(self.rank(image)[:top])

    def colour(self, image: Image.Image) -> str | None:
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

    def is_picture(self, image: Image.Image) -> bool:
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
