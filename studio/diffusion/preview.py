"""Rough pictures of latents while they are denoised."""

import copy
import io
import json
import logging
import weakref
from pathlib import Path

import torch
from PIL import Image
from torch.nn import functional

from studio.events import Preview
from studio.models.ladder import working_device

log = logging.getLogger(__name__)
_SAMPLES = 20
_PATCH = 4
"""Side of a patch in latents; the edges of smaller ones would blur into the fit."""


class Previewer:
    """Latents to RGB by a linear projection that is fitted to each autoencoder once.

    taesd: a tiny autoencoder with as many latent channels, used instead when there is one.
    """

    def __init__(self, taesd: "torch.nn.Module | None" = None):
        self._taesd = taesd
        self._fits: weakref.WeakKeyDictionary[torch.nn.Module, torch.Tensor] = (
            weakref.WeakKeyDictionary()
        )

    def event(self, vae: torch.nn.Module, latents: torch.Tensor, factor: int, step: int) -> Preview:
        """A preview event of predicted clean latents (b, c, h, w), the pictures side by side."""
        pixels = self.pixels(vae, latents)
        strip = torch.cat(list(pixels), dim=2)
        array = (strip.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy()
        image = Image.fromarray(array)
        width, height = latents.shape[3] * factor * len(latents), latents.shape[2] * factor
        shrink = min(1.0, 1024 / width)
        size = (max(1, int(width * shrink)), max(1, int(height * shrink)))
        stream = io.BytesIO()
        image.resize(size, Image.Resampling.BICUBIC).save(stream, "WEBP", quality=80, method=0)
        return Preview(image=stream.getvalue(), step=step)

    def pixels(self, vae: torch.nn.Module, latents: torch.Tensor) -> torch.Tensor:
        """RGB in 0 to 1, (b, 3, h, w), of latents (b, c, h, w); more from a tiny autoencoder."""
        if self._taesd is not None and _fits(self._taesd, latents):
            weight = next(self._taesd.parameters())
            decoded = self._taesd.decode(latents.to(weight)).sample  # type: ignore[operator]
            return decoded.float() / 2 + 0.5
        if vae not in self._fits:
            self._fits[vae] = fit_projection(vae)
        return project(latents.float(), self._fits[vae])


def project(latents: torch.Tensor, projection: torch.Tensor) -> torch.Tensor:
    """RGB of latents (b, c, h, w) by a projection (3, c + 1) whose last column is the offset."""
    projection = projection.to(latents.device)
    colours = torch.einsum("oc,bchw->bohw", projection[:, :-1], latents)
    return colours + projection[:, -1].view(1, 3, 1, 1)


def fit_projection(vae: torch.nn.Module) -> torch.Tensor:
    """The projection (3, c + 1) that best maps an autoencoder's latents to shrunk pictures.

    Least squares over pictures of large patches in random colours, which the autoencoder encodes;
    some channels are clamped, for full and missing colour is common in real pictures.
    """
    factor = 2 ** (len(vae.config.block_out_channels) - 1)  # type: ignore[union-attr, arg-type]
    generator = torch.Generator("cpu").manual_seed(0)
    colours = (torch.rand(_SAMPLES, 3, 3, 3, generator=generator) * 1.6 - 0.3).clamp(0, 1)
    small = functional.interpolate(colours, scale_factor=_PATCH, mode="nearest")
    pictures = functional.interpolate(small, scale_factor=factor, mode="nearest")
    latents = _encoded(vae, pictures)
    if not latents.isfinite().all():
        # Half precision overflowed. The copy leaves the model as it is: no preview changes pixels.
        latents = _encoded(copy.deepcopy(vae).float(), pictures).nan_to_num()
    rows = latents.permute(0, 2, 3, 1).reshape(-1, latents.shape[1])
    rows = torch.cat([rows, torch.ones(len(rows), 1)], dim=1)
    wanted = small.permute(0, 2, 3, 1).reshape(-1, 3)
    return torch.linalg.lstsq(rows, wanted).solution.T.contiguous()


def _encoded(vae: torch.nn.Module, pictures: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        given = (pictures * 2 - 1).to(working_device(vae), next(vae.parameters()).dtype)
        encoded = vae.encode(given)  # type: ignore[operator]
        return scale(vae, encoded.latent_dist.mode()).float().cpu()


def scale(vae: torch.nn.Module, latents: torch.Tensor) -> torch.Tensor:
    """Latents as the autoencoder gives them, in the range that the denoiser works in."""
    shift = vae.config.shift_factor or 0.0  # type: ignore[union-attr]
    return (latents - shift) * vae.config.scaling_factor  # type: ignore[union-attr, operator]


def unscale(vae: torch.nn.Module, latents: torch.Tensor) -> torch.Tensor:
    """Latents of the denoiser in the range that the autoencoder decodes."""
    shift = vae.config.shift_factor or 0.0  # type: ignore[union-attr]
    return latents / vae.config.scaling_factor + shift  # type: ignore[union-attr, operator]


def installed_taesd(models: Path) -> torch.nn.Module | None:
    """The first tiny autoencoder (diffusers' AutoencoderTiny) in a folder of models, or None."""
    from diffusers import AutoencoderTiny

    for config in sorted(models.glob("*/config.json")):
        try:
            name = json.loads(config.read_text(encoding="utf-8")).get("_class_name")
            if name == "AutoencoderTiny":
                return AutoencoderTiny.from_pretrained(config.parent, use_safetensors=True)
        except (OSError, ValueError, AttributeError) as error:
            log.warning("The preview model in %s cannot be used: %s", config.parent, error)
    return None


def _fits(taesd: torch.nn.Module, latents: torch.Tensor) -> bool:
    return bool(taesd.config.latent_channels == latents.shape[1])  # type: ignore[union-attr]
