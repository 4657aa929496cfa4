"""What besides the request can change pixels: versions, device and number format."""

from functools import lru_cache
from importlib.metadata import version
from typing import Any

import torch

from studio import __version__
from studio.context import Rung
from studio.models.ladder import working_device


def receipt(denoiser: Any, rungs: tuple[Rung, ...] = ()) -> dict[str, str]:
    """Names and values to be kept with a picture that this network has made on these rungs."""
    return {
        **receipt_of_pixels(),
        "diffusers": _version("diffusers"),
        "transformers": _version("transformers"),
        "device": str(working_device(denoiser)),
        "threads": str(torch.get_num_threads()),
        "dtype": str(denoiser.dtype).removeprefix("torch."),
        "attention": type(next(iter(denoiser.attn_processors.values()))).__name__,
        **({"saving": ", ".join(rungs)} if rungs else {}),
    }


def receipt_of_pixels() -> dict[str, str]:
    """The same for a picture that no diffusion model has touched."""
    return {"atelier": __version__, "torch": torch.__version__}


@lru_cache
def _version(package: str) -> str:
    return version(package)
