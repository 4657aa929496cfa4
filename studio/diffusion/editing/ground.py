"""What the model is given to work on: sources resized, extended and filled.

Arrays are uint8, pictures (h, w, 3) and masks (h, w).
"""

import cv2
import numpy as np

from studio.requests import ExtendFill, Resize


def resized(picture: np.ndarray, width: int, height: int) -> np.ndarray:
    """The picture at another size: averaged when it shrinks, Lanczos when it grows."""
    if picture.shape[:2] == (height, width):
        return picture
    shrinks = width * height < picture.shape[0] * picture.shape[1]
    way = cv2.INTER_AREA if shrinks else cv2.INTER_LANCZOS4
    return cv2.resize(picture, (width, height), interpolation=way)


def fitted(picture: np.ndarray, width: int, height: int, resize: Resize) -> np.ndarray:
    """The source at the wanted size.

    stretch (and latent, whose source is resized as latents later): whatever the shape. crop: the
    middle, filling all. fill: all of it, its edges stretched over the rest.
    """
    own_height, own_width = picture.shape[:2]
    if resize in (Resize.STRETCH, Resize.LATENT):
        return resized(picture, width, height)
    scales = (width / own_width, height / own_height)
    scale = max(scales) if resize is Resize.CROP else min(scales)
    wide, high = max(1, round(own_width * scale)), max(1, round(own_height * scale))
    scaled = resized(picture, wide, high)
    if resize is Resize.CROP:
        left, top = max(0, (wide - width) // 2), max(0, (high - height) // 2)
        scaled = np.ascontiguousarray(scaled[top : top + height, left : left + width])
        wide, high = scaled.shape[1], scaled.shape[0]
    left, top = (width - wide) // 2, (height - high) // 2
    edges = (top, height - high - top, left, width - wide - left)
    return cv2.copyMakeBorder(scaled, *edges, cv2.BORDER_REPLICATE)


def extended(
    picture: np.ndarray, sides: tuple[int, int, int, int], fill: ExtendFill, seed: int
) -> np.ndarray:
    """The picture with new ground on its sides (left, right, top, bottom), in pixels."""
    left, right, top, bottom = sides
    if fill is not ExtendFill.MIRROR:
        grown = cv2.copyMakeBorder(picture, top, bottom, left, right, cv2.BORDER_REPLICATE)
        if fill is ExtendFill.NOISE:
            new = new_ground(picture.shape[:2], sides) > 0
            grown[new] = np.random.default_rng(seed).integers(0, 256, (int(new.sum()), 3))
        return grown
    # NumPy mirrors again and again where there is more new ground than picture; OpenCV cannot.
    return np.pad(picture, ((top, bottom), (left, right), (0, 0)), "symmetric")


def new_ground(size: tuple[int, int], sides: tuple[int, int, int, int]) -> np.ndarray:
    """Mask of what lies outside a picture of that size (h, w) after it was extended."""
    left, right, top, bottom = sides
    return np.pad(np.zeros(size, "u1"), ((top, bottom), (left, right)), constant_values=255)


def filled(picture: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The hole filled with the colours around it, smoothly.

    Averages of what is outside, over ever smaller neighbourhoods: the finest one that still
    reaches anything known counts.
    """
    known = (mask < 128).astype("f4")[..., None]
    if not known.any():
        return np.full_like(picture, 127)
    result = np.zeros(picture.shape, "f4")
    reach = max(mask.shape)
    result[:] = (picture * known).sum((0, 1)) / known.sum()
    while reach > 1:
        size = (reach | 1, reach | 1)
        sums = cv2.blur(picture * known, size)
        weights = cv2.blur(known, size)[..., None]
        seen = weights > 1e-3
        result = np.where(seen, sums / np.maximum(weights, 1e-6), result)
        reach //= 2
    return np.where(known > 0, picture, result.clip(0, 255).round()).astype("u1")


def padded(picture: np.ndarray, multiple: int) -> np.ndarray:
    """Mirrored at the right and the bottom up to multiples of the model's multiple."""
    height, width = picture.shape[:2]
    edges = ((0, -height % multiple), (0, -width % multiple), (0, 0))[: picture.ndim]
    return np.pad(picture, edges, "symmetric") if any(map(any, edges)) else picture
