"""What one pass through the model is: from pictures and captions to a loss for each."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from studio.diffusion.conditioning import TextEncoding, TextStates, pad_together
from studio.diffusion.guidance import Conditions
from studio.diffusion.networks import Seen, predictor
from studio.models.families import Family, Network
from studio.models.ladder import working_device
from studio.training.noise import Process
from studio.training.pictures.captions import literal

_GUIDANCE = 1.0
"""What models that were distilled from guidance are told, as diffusers' FLUX scripts do."""


@dataclass(frozen=True)
class Lesson:
    """What goes through the model at once.

    latents, noise: (b, c, h, w). places: (b,) in the noise process. captions: of each.
    sizes: of the pictures that latents were cut from, in the scale of the cut: width, height, left,
    top of each. size: width and height of the cut, in pixels.
    """

    latents: torch.Tensor
    noise: torch.Tensor
    places: torch.Tensor
    captions: tuple[str, ...]
    sizes: tuple[tuple[int, int, int, int], ...]
    size: tuple[int, int]


class Learner(torch.nn.Module):
    """A model that learns: its forward pass gives the loss of each picture of a lesson.

    modules: those whose weights are trained, so that whoever spreads the work over devices finds
    them. encoding: how it reads. free: whether gradients go through the reading.
    """

    def __init__(
        self,
        pipe: Any,
        family: Family,
        process: Process,
        encoding: TextEncoding,
        modules: Sequence[torch.nn.Module],
        *,
        free: bool,
    ):
        super().__init__()
        self.learning = torch.nn.ModuleList(modules)
        self._held = [pipe]  # in a list, so that its modules are not counted as this one's
        self._family = family
        self._process = process
        self._encoding = encoding
        self._free = free
        self._empty: TextStates | None = None
        self._blank: dict[tuple[int, int], torch.Tensor | None] = {}

    def forward(self, lesson: Lesson) -> torch.Tensor:
        """(b,): the weighed mean squared error of each picture, in float32."""
        pipe = self._held[0]
        device = working_device(getattr(pipe, self._family.denoiser))
        noised = self._process.at(
            lesson.latents.to(device), lesson.noise.to(device), lesson.places.to(device)
        )
        seen = Seen(
            lesson.size,
            self._beside(lesson.size),
            _GUIDANCE,
            self._time_ids(lesson) if self._is_xl(pipe) else None,
        )
        predict = predictor(self._family.network, pipe, seen)
        said = predict(noised.latents, noised.times, self._conditions(lesson.captions, device))
        error = (said - noised.target.float()).square().mean(dim=(1, 2, 3))
        return error * noised.weights.float()

    def _conditions(self, captions: Sequence[str], device: torch.device) -> Conditions:
        """The states of captions, which repeat often and are read once each."""
        read = {each: self._read(each) for each in dict.fromkeys(captions)}
        if not self._free and self._empty is None:
            self._empty = self._read("")
        padded = pad_together(
            [read[each] for each in captions], self._empty or self._read_empty(read)
        )
        embeds = torch.cat(
            [
                each.embeds if each.tail is None else torch.cat([each.embeds, each.tail], dim=1)
                for each in padded
            ]
        )
        pooled = [each.pooled for each in padded if each.pooled is not None]
        weight = next(getattr(self._held[0], self._family.denoiser).parameters()).dtype
        return Conditions(
            embeds.to(device, weight),
            torch.cat(pooled).to(device, weight) if pooled else None,
            (1.0,) * len(captions),
        )

    def _read_empty(self, read: dict[str, TextStates]) -> TextStates:
        """States to fill up with, which are needed only where lengths differ."""
        lengths = {(each.embeds.shape[1], _length(each.tail)) for each in read.values()}
        return self._read("") if len(lengths) > 1 else next(iter(read.values()))

    def _read(self, caption: str) -> TextStates:
        return self._encoding.encode(self._encoding.chunks(literal(caption)), 1)

    def _beside(self, size: tuple[int, int]) -> torch.Tensor | None:
        """For models that fill holes: all of the picture is one."""
        from studio.diffusion.editing.encode import blank

        if not self._family.key.endswith("inpaint"):
            return None
        if size not in self._blank:
            pipe = self._held[0]
            factor = 2 ** (len(pipe.vae.config.block_out_channels) - 1)
            with torch.no_grad():
                self._blank[size] = blank(pipe, size, factor)
        return self._blank[size]

    def _is_xl(self, pipe: Any) -> bool:
        return (
            self._family.network is Network.UNET
            and bool(getattr(pipe.unet.config, "addition_embed_type", None))
            and not pipe.config.get("requires_aesthetics_score")
        )

    def _time_ids(self, lesson: Lesson) -> torch.Tensor:
        """(b, 6): size of the picture, where the cut begins, and size of the cut.

        Source: Podell et al. 2023 (arXiv 2307.01952), section 2.2.
        """
        width, height = lesson.size
        rows = [[h, w, top, left, height, width] for w, h, left, top in lesson.sizes]
        return torch.tensor(rows, dtype=torch.float32)


def _length(tail: torch.Tensor | None) -> int:
    return 0 if tail is None else tail.shape[1]


Loss = Callable[[Lesson], torch.Tensor]
"""A learner, or what spreads one over devices."""
