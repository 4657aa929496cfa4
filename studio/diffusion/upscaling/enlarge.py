"""Pixels to more pixels: by resampling, or by an upscaling model tile by tile."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import cv2
import numpy as np
import torch

from studio.context import Context, ModelSpec
from studio.diffusion.upscaling.choices import RESAMPLING
from studio.diffusion.upscaling.tiles import windows
from studio.errors import OutOfMemory
from studio.models.devices import is_out_of_memory

_INTERPOLATION = {
    "lanczos": cv2.INTER_LANCZOS4,
    "bicubic": cv2.INTER_CUBIC,
    "nearest": cv2.INTER_NEAREST_EXACT,
}
MODEL_TILE, MODEL_OVERLAP = 192, 16
"""Pixels of the picture that goes in; the overlap is wider than what these models look around."""
_PASSES = 3
Size = tuple[int, int]
"""Width and height in pixels."""


def resample(picture: np.ndarray, size: Size, name: str = "lanczos") -> np.ndarray:
    """A picture (h, w, 3) at another width and height; averaged where it shrinks."""
    if (picture.shape[1], picture.shape[0]) == size:
        return picture
    shrinks = size[0] * size[1] < picture.shape[0] * picture.shape[1]
    return cv2.resize(
        picture, size, interpolation=cv2.INTER_AREA if shrinks else _INTERPOLATION[name]
    )


def sizes_by_model(model: Any, size: Size, wanted: Size) -> list[Size]:
    """What a model makes of a picture in each pass, the last one brought to the wanted size."""
    sizes = [(size[0] * model.scale, size[1] * model.scale)]
    while sizes[-1][0] < wanted[0] and model.scale > 1 and len(sizes) < _PASSES:
        sizes.append((sizes[-1][0] * model.scale, sizes[-1][1] * model.scale))
    return [*sizes[:-1], wanted]


def tiles_of(size: Size) -> int:
    """How many tiles a model takes a picture in."""
    return len(windows(size, MODEL_TILE, MODEL_OVERLAP))


def by_model(
    model: Any, picture: np.ndarray, size: Size, on_tile: Callable[[], None] = lambda: None
) -> np.ndarray:
    """A picture (h, w, 3) through spandrel's model once, at a size that need not be the model's.

    Tile by tile, so that what the model makes too much is never there as a whole. on_tile: called
    after each.
    """
    plan = ((picture.shape[1], picture.shape[0]), MODEL_TILE, MODEL_OVERLAP)
    grown = np.zeros((size[1], size[0], 3), "f4")
    for small, large in zip(windows(*plan), windows(*plan, size), strict=True):
        part = picture[small.top : small.top + small.height, small.left : small.left + small.width]
        tensor = torch.tensor(part).permute(2, 0, 1)[None].to(model.device).float() / 255
        made = model(tensor.to(model.dtype))[0].float().permute(1, 2, 0).cpu().numpy()
        made = resample(made, (large.width, large.height))
        there = grown[large.top : large.top + large.height, large.left : large.left + large.width]
        there += made * large.weight(torch.empty(0))[..., None].numpy()
        on_tile()
    # In bands: a whole copy in floating point would double the memory.
    result = np.empty(grown.shape, "u1")
    for top in range(0, len(grown), 256):
        band = grown[top : top + 256]
        result[top : top + 256] = (band * 255).round().clip(0, 255)
    return result


def enlarge(
    picture: np.ndarray,
    size: Size,
    upscaler: str,
    context: Context,
    on_tile: Callable[[int, int], None] = lambda done, count: None,
) -> np.ndarray:
    """A picture (h, w, 3) at another size, by the upscaler of that name.

    on_tile: told how many of a model's tiles are done, and of how many; what it raises, such as
    Cancelled, ends the work.
    """
    if upscaler in RESAMPLING:
        return resample(picture, size, upscaler)
    own = (picture.shape[1], picture.shape[0])
    with context.borrow(ModelSpec("upscaler", upscaler)) as model, _memory_in_words(upscaler):
        sizes = sizes_by_model(model, own, size)
        count = sum(tiles_of(each) for each in (own, *sizes[:-1]))
        done = 0

        def tell() -> None:
            nonlocal done
            done += 1
            on_tile(done, count)

        for each in sizes:
            picture = by_model(model, picture, each, tell)
    return picture


@contextmanager
def _memory_in_words(upscaler: str) -> Iterator[None]:
    """Say of a full device what did not fit."""
    try:
        yield
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        raise OutOfMemory(
            f"A tile of {MODEL_TILE}x{MODEL_TILE} did not fit into the device's memory with "
            f"{upscaler}; choose a smaller upscaling model, or close other programs."
        ) from None
