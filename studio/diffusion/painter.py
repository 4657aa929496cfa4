"""A borrowed model as the passes of a job use it: what depends on its family is asked here."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from studio.context import Rung
from studio.diffusion.conditioning import TextEncoding
from studio.diffusion.guidance import Predict
from studio.diffusion.networks import Seen, predictor
from studio.diffusion.networks_called import hashes_of, prompts_of
from studio.diffusion.samplers import Flow, build_scheduler, executed, start_late
from studio.diffusion.texts import texts_of
from studio.diffusion.words import NO_WORDS, Words, hashes_of_words, words_of
from studio.models.catalogue import Catalogue
from studio.models.entry import ModelEntry
from studio.models.families import Family
from studio.models.ladder import working_device
from studio.requests import PictureRequest


@dataclass(frozen=True)
class Painter:
    """A model's entry and its pipeline, held while a job runs.

    hash: of its weights, as pictures name it. loras: hashes of what it wears, by name. words: with
    vectors of their own, that its prompts use. embeddings: hashes of their files. rungs: of the
    ladder, that the pipeline stands on.
    """

    entry: ModelEntry
    pipe: Any
    hash: str = ""
    loras: Mapping[str, str] = field(default_factory=dict)
    words: Words = NO_WORDS
    embeddings: Mapping[str, str] = field(default_factory=dict)
    rungs: tuple[Rung, ...] = ()

    @classmethod
    def of(
        cls,
        request: PictureRequest,
        entry: ModelEntry,
        pipe: Any,
        catalogue: Catalogue,
        rungs: tuple[Rung, ...] = (),
    ) -> "Painter":
        """The painter of a job: with all that its prompts call for."""
        words = words_of(prompts_of(request), entry, catalogue.embeddings)
        return cls(
            entry,
            pipe,
            catalogue.hash(entry),
            hashes_of(request.prompt, catalogue.loras),
            words,
            hashes_of_words(words, catalogue.embeddings),
            rungs,
        )

    @property
    def family(self) -> Family:
        """A model that is usable has one."""
        assert self.entry.family is not None
        return self.entry.family

    @property
    def denoiser(self) -> Any:
        """The network that predicts."""
        return getattr(self.pipe, self.family.denoiser)

    @property
    def device(self) -> torch.device:
        """Where latents belong, wherever the weights are."""
        return working_device(self.denoiser)

    def texts(self) -> TextEncoding:
        """How it reads."""
        return texts_of(self.family, self.pipe, self.words)

    @property
    def zero_empty(self) -> bool:
        """Whether an empty negative prompt is all zeros, as SDXL was trained with."""
        return bool(self.pipe.config.get("force_zeros_for_empty_prompt"))

    def predict(self, seen: Seen) -> Predict:
        """The denoiser as a function of latents, time and text states."""
        return predictor(self.family.network, self.pipe, seen)

    def scheduler(
        self, request: PictureRequest, size: tuple[int, int], strength: float = 1.0
    ) -> Any:
        """A fresh scheduler, for it remembers its run, with its timesteps set.

        size: width and height in pixels. strength: below 1 it begins where that leaves the rest.
        """
        scheduler = build_scheduler(
            request.sampler,
            request.schedule,
            self.pipe.scheduler.config,
            request.steps,
            self.device,
            self._flow(size),
        )
        if strength < 1:
            start_late(scheduler, request.steps, executed(request.steps, strength))
        return scheduler

    def _flow(self, size: tuple[int, int]) -> Flow | None:
        if not self.family.flow:
            return None
        patches = (size[0] // self.entry.multiple) * (size[1] // self.entry.multiple)
        return Flow(patches, self.family.trailing)
