"""How far the edges of a picture are smeared, in pixels of the size at which it is learnt from.

The variance of the Laplacian, the usual measure, grows with contrast and detail: by it a clean
drawing is blurred and a noisy photograph is not. Divided by the variance of the gradient it says
how wide the edges are, whatever there is of them: an edge that a Gaussian of standard deviation r
has smeared has a second derivative with 1 / (2 r^2) of the energy of its first. Where there are
sharp and soft parts, as in a portrait before soft trees, the sharp ones carry the energy.
"""

from collections.abc import Sequence

import numpy as np

LEVELS = (64, 128, 256, 512, 1024)
"""Sizes at which it is measured: the side of a square of the same area."""
BLURRED = 2.0
"""Radius in pixels of training from which a picture counts as blurred. Measured on drawings,
scenes, textures and portraits that were smeared by known radii, and on photographs: sharp ones
have up to 0.6, those smeared by 1.5 up to 1.6, by 3 mostly 2.0 to 3.1. At 2 an edge is
8 pixels wide, which is one cell of the latents of Stable Diffusion."""
_SMOOTHED = 1.0
"""Radius of the smoothing that comes first: without it noise would count as sharpness."""
_PLAIN = 3.0
"""Levels of 255 per pixel that the steepest edge must have, or there is none to judge by: a sky
that gets darker upwards has 0.5; an edge of 50 levels that is smeared by 4 has 5."""

Radii = tuple[tuple[int, float | None], ...]
"""Radius by the size that it was measured at, None where there was no edge; sizes ascend."""


def radii(grey: np.ndarray) -> Radii:
    """Radii of a grey picture, uint8 (height, width), at all LEVELS up to its own size."""
    import cv2

    height, width = grey.shape
    own = round((height * width) ** 0.5)
    sizes = sorted({*(each for each in LEVELS if each <= own), min(own, LEVELS[-1])})
    found = []
    for size in reversed(sizes):
        share = size / (grey.shape[0] * grey.shape[1]) ** 0.5
        if share < 1:
            shape = (max(1, round(grey.shape[1] * share)), max(1, round(grey.shape[0] * share)))
            grey = cv2.resize(grey, shape, interpolation=cv2.INTER_AREA)
        found.append((size, radius(grey)))
    return tuple(reversed(found))


def radius(grey: np.ndarray) -> float | None:
    """Standard deviation, in pixels, of the Gaussian that edges look smeared by; None without."""
    import cv2

    smooth = cv2.GaussianBlur(grey.astype(np.float32), (7, 7), _SMOOTHED)
    slopes = [cv2.Sobel(smooth, cv2.CV_32F, *axis, ksize=1, scale=0.5) for axis in ((1, 0), (0, 1))]
    if max(cv2.norm(slope, cv2.NORM_INF) for slope in slopes) < _PLAIN:
        return None
    steepness = sum(cv2.norm(slope, cv2.NORM_L2SQR) for slope in slopes)
    bend = cv2.norm(cv2.Laplacian(smooth, cv2.CV_32F), cv2.NORM_L2SQR)
    ratio = steepness / max(2 * bend, 1e-9)
    return float(max(ratio - _SMOOTHED**2, 0.0) ** 0.5)


def radius_at(measured: Sequence[tuple[int, float | None]], side: int) -> float | None:
    """The radius at a side of training, from those that were measured at other sizes.

    A picture that must be enlarged is not blamed for that here.
    """
    if not measured:
        return None
    size, found = next((each for each in measured if each[0] >= side), measured[-1])
    return None if found is None else found * min(1.0, side / size)
