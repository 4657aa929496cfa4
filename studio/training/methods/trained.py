"""The part of a loaded model that a run changes, whatever the method."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from studio.diffusion.words import NO_WORDS, Words
from studio.errors import RequestError
from studio.models.families import Family

ADAPTER = "default"
"""What peft calls the adapter that is trained."""


@dataclass(frozen=True)
class Trained:
    """What changes. weights: by name, as checkpoints keep them.

    text: names of those that belong to text encoders, which have a rate of their own. reads: the
    texts' states change, so that they cannot be kept. words: with vectors that are trained.
    modules: those that the weights belong to, for what spreads a run over devices.
    """

    weights: Mapping[str, torch.nn.Parameter]
    text: frozenset[str] = frozenset()
    reads: bool = False
    words: Words = NO_WORDS
    modules: Sequence[torch.nn.Module] = field(default_factory=tuple)

    def groups(self, rate: float, text_rate: float) -> list[dict[str, Any]]:
        """For an optimiser: the weights with their rates, in the order of their names."""
        sides = (
            ([each for name, each in self.weights.items() if name not in self.text], rate),
            ([each for name, each in self.weights.items() if name in self.text], text_rate),
        )
        return [{"params": weights, "lr": own, "rate": own} for weights, own in sides if weights]


def clip_encoders(pipe: Any, family: Family) -> dict[str, Any]:
    """The CLIP text encoders of a pipeline by their places; T5 is never trained."""
    pairs = zip(family.encoders, family.stems, strict=True)
    named = {place: getattr(pipe, place) for (_, place), stem in pairs if stem != "t5xxl"}
    found = {place: encoder for place, encoder in named.items() if encoder is not None}
    if not found:
        raise RequestError(
            "This model has no CLIP text encoder to train; switch the text encoder off.",
            "text_encoder",
        )
    return found
