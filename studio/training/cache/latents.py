"""Latents of the pictures that are learnt from: encoded once, drawn from anew in each step."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from studio.diffusion.preview import scale
from studio.models.ladder import working_device
from studio.training.cache.kept import Kept, Tensors
from studio.training.pictures.crops import cut
from studio.training.pictures.example import Placed


class Latents:
    """The latents of placed pictures, as a mean and a deviation each.

    The autoencoder tells a Gaussian (Kingma and Welling 2014, arXiv 1312.6114), which each step
    draws from, as if the picture were encoded again. vae: may be put away once all are kept.
    """

    def __init__(self, kept: Kept, vae: Any, fingerprint: str):
        self._kept = kept
        self._vae = vae
        self._fingerprint = fingerprint

    def prepare(
        self, pictures: list[tuple[Placed, bool]], on_done: Callable[[int, int], object]
    ) -> None:
        """Encode what is not kept yet; each picture with whether it is mirrored."""
        missing = [each for each in pictures if not self._kept.has(self._name(*each))]
        for number, (placed, flip) in enumerate(missing):
            on_done(number, len(missing))
            self._told(placed, flip)

    def drawn(self, placed: Placed, flip: bool, generator: torch.Generator) -> torch.Tensor:
        """(c, h, w) in float32, in the range that the denoiser works in."""
        told = self._told(placed, flip)
        mean, deviation = told["mean"], told["deviation"]
        drawn = mean + deviation * torch.randn(mean.shape, generator=generator)
        return scale(self._vae, drawn)

    def mean(self, placed: Placed, flip: bool = False) -> torch.Tensor:
        """The likeliest latents, (c, h, w)."""
        return scale(self._vae, self._told(placed, flip)["mean"])

    def _name(self, placed: Placed, flip: bool) -> str:
        crop = ",".join(f"{each:.3f}" for each in placed.crop)
        return f"{self._fingerprint} {placed.example.sha256} {placed.bucket} {crop} {flip}"

    def _told(self, placed: Placed, flip: bool) -> Tensors:
        return self._kept.get(self._name(placed, flip), lambda: self._encoded(placed, flip))

    @torch.no_grad()
    def _encoded(self, placed: Placed, flip: bool) -> Tensors:
        vae = self._vae
        pixels = torch.tensor(np.asarray(cut(placed, flip))).permute(2, 0, 1)[None]
        weights = next(vae.parameters()).dtype
        given = (pixels.to(working_device(vae)).float() / 127.5 - 1).to(weights)
        told = vae.encode(given).latent_dist
        if not torch.isfinite(told.mean).all() and weights != torch.float32:
            vae.to(torch.float32)  # SDXL's overflows in half precision
            told = vae.encode(given.float()).latent_dist
        return {"mean": told.mean[0].float(), "deviation": told.std[0].float()}
