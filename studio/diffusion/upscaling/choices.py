"""Upscalers by name, for people and requests; free of torch."""

from studio.errors import ModelError, RequestError
from studio.models.upscalers import UpscalerShelf

RESAMPLING = ("lanczos", "bicubic", "nearest")
"""Ways of resampling pixels."""
LATENT = {"latent": "bilinear", "latent bicubic": "bicubic", "latent nearest": "nearest"}
"""Ways of resampling latents, by torch's names; they need a strength of 0.5 or so to look clean."""


def of_pixels(shelf: UpscalerShelf) -> list[str]:
    """All that make a larger picture of a picture."""
    return [*RESAMPLING, *(entry.name for entry in shelf.entries() if not entry.problem)]


def of_second_pass(shelf: UpscalerShelf) -> list[str]:
    """All that can stand before a second pass."""
    return [*LATENT, *of_pixels(shelf)]


def check_upscaler(field: str, name: str, shelf: UpscalerShelf, *, latent: bool = False) -> None:
    """RequestError when there is no such upscaler, with those that there are."""
    known = of_second_pass(shelf) if latent else of_pixels(shelf)
    if name in known:
        return
    try:
        shelf.usable(name)  # of a file that cannot be used it says why
    except ModelError as error:
        raise RequestError(f"{error} There are: {', '.join(known)}.", field=field) from None
