"""Variants of a drawing: another main colour, a coloured background, beside another thing.

Needed because no set holds a blue cat. All pictures here are (h, w, 4) uint8 with straight alpha
until they are laid on a background.
"""

from dataclasses import dataclass

import numpy as np

from studio.training.watching.embedded_judge.picture import hue_chroma

COLOURS = {
    "red": (220, 40, 42),
    "orange": (246, 140, 30),
    "yellow": (250, 212, 50),
    "green": (62, 172, 76),
    "teal": (32, 166, 162),
    "blue": (52, 112, 226),
    "purple": (140, 70, 202),
    "pink": (246, 130, 186),
}
GROUNDS = {**COLOURS, "grey": (150, 150, 150), "black": (24, 24, 24)}
WHITE = (255, 255, 255)

ENOUGH = 0.4  # share of a thing that must take the new colour for it to be called by it


@dataclass(frozen=True)
class Region:
    """Where a drawing has its main colour: weights (h, w) from 0 to 1, and the usual brightness."""

    weights: np.ndarray
    brightness: float
    share: float


def _ramp(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """0 below low, 1 above high, smooth between."""
    t = np.clip((values - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def brightness(rgb: np.ndarray) -> np.ndarray:
    """Luma (Rec. 601) of (..., 3)."""
    return rgb @ np.array([0.299, 0.587, 0.114], "f4")


def main_region(rgb: np.ndarray, alpha: np.ndarray) -> Region:
    """The part of a drawing that people would name its colour by.

    That is everything near the most frequent hue, or, in a drawing that is mostly grey and white,
    whatever has no colour and is not black.
    """
    hue, chroma = hue_chroma(rgb)
    coloured = alpha * _ramp(chroma, 0.08, 0.2)
    if coloured.sum() > 0.35 * alpha.sum():
        counts = np.bincount((hue.ravel() // 10).astype(int) % 36, (coloured * chroma).ravel(), 36)
        smooth = counts + 0.6 * (np.roll(counts, 1) + np.roll(counts, -1))
        distance = np.abs((hue - (smooth.argmax() * 10 + 5) + 180) % 360 - 180)
        weights = _ramp(chroma, 0.08, 0.2) * (1 - _ramp(distance, 38, 60))
    else:
        weights = (1 - _ramp(chroma, 0.1, 0.25)) * _ramp(brightness(rgb), 0.2, 0.4)
    counted = weights * alpha
    inside = counted > 0.5
    usual = float(np.percentile(brightness(rgb)[inside], 60)) if inside.any() else 0.0
    return Region(weights, usual, float(counted.sum() / max(alpha.sum(), 1e-6)))


def split(picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Colours (h, w, 3) and alpha (h, w) of a drawing, both from 0 to 1."""
    return picture[..., :3].astype("f4") / 255, picture[..., 3].astype("f4") / 255


def can_be_recoloured(region: Region) -> bool:
    """Whether enough of a drawing would change for it to be called by a new colour."""
    return region.share >= ENOUGH and region.brightness >= 0.1


def recoloured(picture: np.ndarray, region: Region, colour: tuple[int, int, int]) -> np.ndarray:
    """The drawing with the colour of its main region replaced and its shades kept."""
    rgb, _ = split(picture)
    target = np.array(colour, "f4") / 255
    ratio = brightness(rgb) / region.brightness
    shaded = target * np.clip(ratio, 0.3, 1)[..., None]
    lit = np.clip((ratio - 1) / max(1 / region.brightness - 1, 0.15), 0, 1)[..., None]
    new = shaded + (1 - target) * lit * 0.75
    mixed = rgb + (new - rgb) * region.weights[..., None]
    return np.concatenate([np.rint(mixed * 255).astype("u1"), picture[..., 3:]], axis=-1)


def jittered(colour: tuple[int, int, int], rng: np.random.Generator) -> tuple[int, int, int]:
    """A colour near the given one that still goes by its name."""
    light = rng.uniform(-14, 14)
    r, g, b = (int(np.clip(v + light + rng.uniform(-8, 8), 0, 255)) for v in colour)
    return r, g, b


def laid_on(picture: np.ndarray, ground: tuple[int, int, int]) -> np.ndarray:
    """The drawing over a background: (h, w, 3) in 0 to 1."""
    rgb, alpha = split(picture)
    return rgb * alpha[..., None] + np.array(ground, "f4") / 255 * (1 - alpha[..., None])


def beside(picture: np.ndarray, ground: tuple[int, int, int], right: bool) -> np.ndarray:
    """The drawing at half its size in the left or right half of a canvas: (h, w, 3) in 0 to 1."""
    side = len(picture)
    canvas = np.broadcast_to(np.array(ground, "f4") / 255, (side, side, 3)).copy()
    small = laid_on(picture, ground).reshape(side // 2, 2, side // 2, 2, 3).mean((1, 3))
    left = side // 2 if right else 0
    canvas[side // 4 : side // 4 + side // 2, left : left + side // 2] = small
    return canvas
