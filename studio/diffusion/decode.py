"""Latents to pictures."""

import logging
from typing import Any

import torch
from PIL import Image

from studio.diffusion.preview import unscale
from studio.errors import ModelError

log = logging.getLogger(__name__)


def decode(vae: Any, latents: torch.Tensor) -> list[Image.Image]:
    """One RGB picture for each of the latents (b, c, h, w).

    A half-precision autoencoder that overflows (black pictures elsewhere) is brought to float32
    for good and tried again. Raises ModelError when even that gives no numbers.
    """
    pixels = _decode(vae, latents)
    if not torch.isfinite(pixels).all() and next(vae.parameters()).dtype != torch.float32:
        log.warning(
            "The autoencoder overflowed in half precision; it stays in float32 from now on."
        )
        vae.to(torch.float32)
        pixels = _decode(vae, latents)
    if not torch.isfinite(pixels).all():
        raise ModelError(
            "The model gave no valid picture (not a number); its weights may be damaged or the "
            "number format too small: try ATELIER_DTYPE=float32."
        )
    arrays = (pixels.clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy()
    return [Image.fromarray(array) for array in arrays]


def _decode(vae: Any, latents: torch.Tensor) -> torch.Tensor:
    weight = next(vae.parameters())
    decoded = vae.decode(unscale(vae, latents).to(weight), return_dict=False)[0]
    return decoded.float() / 2 + 0.5
