"""Latents to pictures."""

import logging
from typing import Any

import torch
from PIL import Image

from studio.diffusion.preview import unscale
from studio.errors import ModelError
from studio.models.ladder import working_device

log = logging.getLogger(__name__)


def decode(vae: Any, latents: torch.Tensor) -> list[Image.Image]:
    """One RGB picture for each of the latents (b, c, h, w).

    A half-precision autoencoder that overflows (black pictures elsewhere) is brought to float32
    for good and tried again. Raises ModelError when even that gives no numbers.
    """
    pixels = pixels_of(vae, latents)
    half = next(vae.parameters()).dtype != torch.float32 and not _is_in_layers(vae)
    if not torch.isfinite(pixels).all() and half:
        log.warning(
            "The autoencoder overflowed in half precision; it stays in float32 from now on."
        )
        vae.to(torch.float32)
        pixels = pixels_of(vae, latents)
    if not torch.isfinite(pixels).all():
        raise ModelError(
            "The model gave no valid picture (not a number); its weights may be damaged or the "
            "number format too small: try ATELIER_DTYPE=float32."
        )
    arrays = (pixels.clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy()
    return [Image.fromarray(array) for array in arrays]


def pixels_of(vae: Any, latents: torch.Tensor) -> torch.Tensor:
    """RGB (b, 3, h, w) in float32, mostly in 0 to 1, of the denoiser's latents (b, c, h, w)."""
    given = unscale(vae, latents).to(working_device(vae), next(vae.parameters()).dtype)
    decoded: torch.Tensor = vae.decode(given, return_dict=False)[0]
    return decoded.float() / 2 + 0.5


def _is_in_layers(vae: Any) -> bool:
    """Whether its weights come layer by layer and cannot be brought to another format."""
    return bool(next(vae.parameters()).device.type == "meta")
