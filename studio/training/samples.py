"""Samples of a model while it learns: made by the studio's own samplers, always the same way."""

from collections.abc import Sequence
from typing import Any

import torch
from PIL import Image

from studio.diffusion.conditioning import TextEncoding
from studio.diffusion.decode import decode
from studio.diffusion.denoise import denoise, first_sigma
from studio.diffusion.editing.encode import blank
from studio.diffusion.guidance import PromptGuidance
from studio.diffusion.networks import Seen
from studio.diffusion.noise import Seeds, draw
from studio.diffusion.painter import Painter
from studio.models.entry import ModelEntry
from studio.models.ladder import working_device
from studio.requests import GenerationRequest, validated
from studio.training_requests import TrainRequest


class Sampler:
    """Makes pictures with the live weights.

    encoding: how the model reads, which may remember what it has read.
    """

    def __init__(self, request: TrainRequest, entry: ModelEntry, pipe: Any, encoding: TextEncoding):
        self._request = request
        self._painter = Painter(entry, pipe)
        self._encoding = encoding

    def requests(self) -> list[GenerationRequest]:
        """What is asked for each prompt."""
        entry, request = self._painter.entry, self._request
        shared = {
            "model": entry.id,
            "sampler": entry.sampler,
            "steps": request.sample_steps,
            "cfg_scale": entry.cfg_scale,
            "distilled_cfg_scale": entry.distilled_cfg_scale,
            "width": entry.width,
            "height": entry.height,
            "seed": request.sample_seed,
        }
        return [
            validated(GenerationRequest, {**shared, "prompt": prompt})
            for prompt in request.sample_prompts
        ]

    def read_ahead(self) -> None:
        """Read all prompts now, for the encoders may be put away afterwards."""
        for request in self.requests():
            self._guidance(request)

    @torch.no_grad()
    def paint(self, request: GenerationRequest) -> Image.Image:
        """The picture of a request, by the live weights."""
        painter = self._painter
        assert request.width
        assert request.height
        size = (request.width, request.height)
        pipe, factor = painter.pipe, painter.entry.factor
        shape = (pipe.vae.config.latent_channels, size[1] // factor, size[0] // factor)
        noise, generator = draw(Seeds(request.seed), shape)
        scheduler = painter.scheduler(request, size)
        seen = Seen(size, blank(pipe, size, factor), request.distilled_cfg_scale)
        latents = denoise(
            painter.predict(seen),
            scheduler,
            noise[None].to(painter.device) * first_sigma(scheduler),
            self._guidance(request).at,
            float(request.cfg_scale or 1),
            [generator],
            lambda step: True,
        )
        assert latents is not None
        with _on(pipe.vae, painter.device):
            return decode(pipe.vae, latents)[0]

    def all(self) -> Sequence[Image.Image]:
        """A picture of each prompt."""
        return [self.paint(request) for request in self.requests()]

    def _guidance(self, request: GenerationRequest) -> PromptGuidance:
        painter = self._painter
        return PromptGuidance(self._encoding, request, painter.zero_empty, painter.device)


class _on:
    """A network on a device for a block, and back where it was afterwards."""

    def __init__(self, network: Any, device: torch.device):
        self._network, self._device = network, device

    def __enter__(self) -> None:
        self._home = working_device(self._network)
        if self._home != self._device:
            self._network.to(self._device)

    def __exit__(self, *_: object) -> None:
        if self._home != self._device:
            self._network.to(self._home)
