"""New content put back into the source; outside the soft mask every pixel stays what it was."""

import cv2
import numpy as np

from studio.diffusion.editing.masks import bounds
from studio.requests import Blend

_LEVELS = 5


def blended(source: np.ndarray, made: np.ndarray, soft: np.ndarray, blend: Blend) -> np.ndarray:
    """The source (h, w, 3) with the new content where the soft mask (h, w) says so.

    normal: hard edge. feather: mixed by the mask. pyramid: each band of frequencies mixed over its
    own width (Burt and Adelson 1983). poisson: the new gradients, the source's colours at the rim
    (Perez et al. 2003, by OpenCV). The result is uint8 and equals the source where the mask is 0.
    """
    ways = {
        Blend.NORMAL: lambda: np.where(soft[..., None] >= 0.5, made, source),
        Blend.FEATHER: lambda: _mixed(source, made, soft),
        Blend.PYRAMID: lambda: _pyramid(source, made, soft),
        Blend.POISSON: lambda: _poisson(source, made, soft),
    }
    return np.where(soft[..., None] > 0, ways[blend](), source).astype("u1")


def _mixed(source: np.ndarray, made: np.ndarray, soft: np.ndarray) -> np.ndarray:
    alpha = soft[..., None]
    return np.rint(source * (1 - alpha) + made * alpha)


def _pyramid(source: np.ndarray, made: np.ndarray, soft: np.ndarray) -> np.ndarray:
    levels = min(_LEVELS, int(np.log2(min(soft.shape))) - 1)
    if levels < 1:
        return _mixed(source, made, soft)
    a, b, alpha = (array.astype("f4") for array in (source, made, soft))
    bands = []
    for _ in range(levels):
        size = (a.shape[1], a.shape[0])
        small = [cv2.pyrDown(array) for array in (a, b, alpha)]
        fine = [x - cv2.pyrUp(s, dstsize=size) for x, s in zip((a, b), small[:2], strict=True)]
        bands.append(_linear(fine[0], fine[1], alpha))
        a, b, alpha = small
    result = _linear(a, b, alpha)
    for band in reversed(bands):
        result = cv2.pyrUp(result, dstsize=(band.shape[1], band.shape[0])) + band
    # The widest bands reach beyond the soft mask; there the source takes over without a step.
    return np.rint(_linear(source.astype("f4"), result.clip(0, 255), _edge(soft)))


def _linear(a: np.ndarray, b: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    return a + (b - a) * alpha[..., None]


def _edge(soft: np.ndarray) -> np.ndarray:
    """1 from half of the fall on, 0 at its end."""
    return np.clip(soft * 2, 0, 1)


def _poisson(source: np.ndarray, made: np.ndarray, soft: np.ndarray) -> np.ndarray:
    """Cloned over all that the soft mask touches.

    OpenCV wants a margin of one pixel around what is cloned and puts it back by its middle, so
    both pictures are padded and the mask kept off the margin.
    """
    mask = np.where(soft > 0, 255, 0).astype("u1")
    box = bounds(mask)
    if box is None:
        return source
    pad = 2
    edges = ((pad, pad), (pad, pad), (0, 0))
    wide = [np.pad(picture, edges, "edge") for picture in (made, source)]
    mask = np.pad(mask, pad)
    middle = (
        pad + box.left + (box.right - box.left) // 2,
        pad + box.top + (box.bottom - box.top) // 2,
    )
    cloned = cv2.seamlessClone(wide[0], wide[1], mask, middle, cv2.NORMAL_CLONE)
    return cloned[pad:-pad, pad:-pad]
