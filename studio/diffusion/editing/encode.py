"""Pictures to latents, and what models made for inpainting read beside them."""

from typing import Any

import numpy as np
import torch

from studio.diffusion.editing.hold import free_latents
from studio.diffusion.preview import scale
from studio.models.ladder import working_device

INPAINTING_CHANNELS = 9
"""Latents, the hole, and the latents of the picture without it, as in Rombach et al. 2022."""


def encoded(pipe: Any, pixels: np.ndarray) -> torch.Tensor:
    """Latents (1, c, h, w) in float32 of a picture (h, w, 3), the mode of what the VAE gives."""
    vae = pipe.vae
    tensor = torch.tensor(pixels).permute(2, 0, 1)[None].to(working_device(vae))
    tensor = (tensor.float() / 127.5 - 1).to(next(vae.parameters()).dtype)
    return scale(vae, vae.encode(tensor).latent_dist.mode()).float()


def beside(
    pipe: Any, pixels: np.ndarray, hole: np.ndarray | None, factor: int
) -> torch.Tensor | None:
    """The hole and the latents of the picture without it, (1, 1 + c, h, w); None for other models.

    hole: (h, w), 255 where it is; None for all of the picture.
    """
    unet = getattr(pipe, "unet", None)
    if unet is None or unet.config.in_channels != INPAINTING_CHANNELS:
        return None
    if hole is None:
        hole = np.full(pixels.shape[:2], 255, "u1")
    emptied = np.where(hole[..., None] > 0, 127, pixels).astype("u1")
    free = free_latents(hole, factor).to(working_device(unet))
    return torch.cat([free, encoded(pipe, emptied)], dim=1)


def blank(pipe: Any, size: tuple[int, int], factor: int) -> torch.Tensor | None:
    """What stands beside the latents when there is no picture: width and height of `size`."""
    return beside(pipe, np.full((size[1], size[0], 3), 127, "u1"), None, factor)
