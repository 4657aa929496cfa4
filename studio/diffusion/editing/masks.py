"""Masks as arrays: grown, feathered, resized, framed.

A mask is uint8 (h, w), 255 where the picture may change; a soft one is float32 in 0 to 1.
"""

from dataclasses import dataclass

import cv2
import numpy as np

HALF = 128


def hard(mask: np.ndarray) -> np.ndarray:
    """Only 0 and 255."""
    return np.where(mask >= HALF, 255, 0).astype("u1")


def grown(mask: np.ndarray, pixels: int) -> np.ndarray:
    """The mask spread by so many pixels in all directions, or drawn in for a negative number.

    What lies beyond the border is no outside: a mask that reaches it stays there.
    """
    if pixels == 0:
        return mask
    if pixels > 0:
        return np.where(_distance_to(mask >= HALF) <= pixels, 255, 0).astype("u1")
    return np.where(_distance_to(mask < HALF) > -pixels, 255, 0).astype("u1")


def _distance_to(pixels: np.ndarray) -> np.ndarray:
    """From each pixel to the nearest of those, infinite where there is none."""
    if not pixels.any():
        return np.full(pixels.shape, np.inf)
    others = np.where(pixels, 0, 1).astype("u1")
    return cv2.distanceTransform(others, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)


def feathered(mask: np.ndarray, pixels: int) -> np.ndarray:
    """Soft mask (h, w): 1 inside, falling to 0 over `pixels` outside the edge; never inside it.

    All of a hole is painted anew, and nothing further away than `pixels` is touched. The fall is a
    raised cosine of the distance to the mask.
    """
    if pixels == 0:
        return (mask >= HALF).astype("f4")
    share = np.clip(_distance_to(mask >= HALF) / (pixels + 1), 0, 1)
    return (0.5 + 0.5 * np.cos(np.pi * share)).astype("f4") * (share < 1)


def resized(mask: np.ndarray, width: int, height: int) -> np.ndarray:
    """A mask at another size; a hard one stays hard and never loses its thinnest lines."""
    if mask.shape == (height, width):
        return mask
    shrinks = width * height < mask.size
    way = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    scaled = cv2.resize(mask, (width, height), interpolation=way)
    return np.where(scaled > 0, 255, 0).astype("u1") if mask.dtype == np.uint8 else scaled


@dataclass(frozen=True)
class Box:
    """A part of a picture in pixels; right and bottom are beyond it."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        return self.right - self.left, self.bottom - self.top

    def of(self, array: np.ndarray) -> np.ndarray:
        """That part of an array (h, w, ...)."""
        return array[self.top : self.bottom, self.left : self.right]


def bounds(mask: np.ndarray) -> Box | None:
    """The smallest box around all that is not 0; None when nothing is."""
    rows, columns = np.nonzero(mask.any(axis=1))[0], np.nonzero(mask.any(axis=0))[0]
    if not len(rows):
        return None
    return Box(int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)


def frame(mask: np.ndarray, padding: int, aspect: float) -> Box:
    """The box around a mask with padding, widened or heightened to an aspect (width / height).

    It is moved, and only then cut, to lie inside the picture.
    """
    height, width = mask.shape
    box = bounds(mask)
    assert box is not None
    wide, high = box.size[0] + 2 * padding, box.size[1] + 2 * padding
    wide, high = max(wide, round(high * aspect)), max(high, round(wide / aspect))
    left, right = _placed((box.left + box.right) / 2, min(wide, width), width)
    top, bottom = _placed((box.top + box.bottom) / 2, min(high, height), height)
    return Box(left, top, right, bottom)


def _placed(middle: float, length: int, limit: int) -> tuple[int, int]:
    start = min(max(0, round(middle - length / 2)), limit - length)
    return start, start + length
