"""Prompts as the states of a text encoder: what a denoising network is conditioned on.

Weights follow AUTOMATIC1111's web UI: the states of a token are multiplied by its weight, then the
whole chunk is scaled back to the mean it had before. Without weights, and within one chunk, the
states are those of diffusers' `encode_prompt`, bit by bit.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import torch

from studio.diffusion.prompt import PromptPlan
from studio.diffusion.tokens import Chunk
from studio.errors import PromptError

CHUNK_LIMIT = 300
"""Chunks that one plan may need; SDXL keeps about 0.6 MB for each."""


@dataclass(frozen=True)
class TextStates:
    """An encoded text.

    embeds: (1, tokens, features), tokens a multiple of the encoder's positions.
    pooled: (1, features) of the first chunk, None for families that take none.
    tail: (1, tokens, features) of another encoder, which stand after all of `embeds`.
    """

    embeds: torch.Tensor
    pooled: torch.Tensor | None = None
    tail: torch.Tensor | None = None


class TextEncoding(Protocol):
    """How a family reads; see clip.py and texts.py."""

    def chunks(self, text: str) -> list[list[Chunk]]:
        """The text's chunks for each encoder; PromptError for what cannot be read."""
        ...

    def encode(self, chunks: list[list[Chunk]], clip_skip: int) -> TextStates:
        """Their states, with gradients where these are wanted.

        RequestError for a clip_skip beyond the layers.
        """
        ...


class PromptStates:
    """The states of a plan's texts, each encoded once, by step.

    empty: the states of the empty prompt, which `pad_together` fills up with.
    Raises PromptError when the texts need more than CHUNK_LIMIT chunks together, RequestError for
    a clip_skip beyond the encoder's layers.
    """

    @torch.no_grad()
    def __init__(self, encoding: TextEncoding, plan: PromptPlan, clip_skip: int = 1):
        chunks: dict[str, list[list[Chunk]]] = {}
        total = 0
        for text in plan.texts():
            chunks[text] = encoding.chunks(text)
            total += _size(chunks[text])
            _check_size(total)
        self._plan = plan
        self._states = {
            text: encoding.encode(text_chunks, clip_skip) for text, text_chunks in chunks.items()
        }
        self.empty = self._states.get("") or encode(encoding, "", clip_skip)

    def at(self, step: int) -> list[tuple[float, TextStates]]:
        """The (weight, states) of each part in force at a step, counted from 1."""
        return [(weight, self._states[text]) for weight, text in self._plan.at(step)]


@torch.no_grad()
def encode(encoding: TextEncoding, text: str, clip_skip: int = 1) -> TextStates:
    """A text with weights and BREAKs as encoder states, in the encoder's own dtype.

    clip_skip: 1 is the layer that the family was trained with (the last for SD 1.x and 2.x, the
    last but one for SDXL and SD3), 2 the layer before it. Raises RequestError when there is no
    such layer, PromptError for more than CHUNK_LIMIT chunks.
    """
    chunks = encoding.chunks(text)
    _check_size(_size(chunks))
    return encoding.encode(chunks, clip_skip)


def pad_together(states: Sequence[TextStates], empty: TextStates) -> list[TextStates]:
    """The states with as many tokens as the longest, so that they can be batched.

    empty: one chunk, the states of the empty prompt; it is appended where chunks are missing.
    """
    embeds = _padded([item.embeds for item in states], empty.embeds)
    if empty.tail is None:
        return [replace(item, embeds=own) for item, own in zip(states, embeds, strict=True)]
    tails = _padded([item.tail for item in states if item.tail is not None], empty.tail)
    return [
        replace(item, embeds=own, tail=tail)
        for item, own, tail in zip(states, embeds, tails, strict=True)
    ]


def weigh(states: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """A chunk's states with each token multiplied by its weight, at the chunk's former mean.

    states: (1, tokens, features); weights: (tokens,). The mean is taken over the whole chunk and
    computed in float32. Where it is no more than rounding error there is no scale to restore.
    """
    if bool((weights == 1).all()):
        return states
    before = states.float()
    after = before * weights.to(before)[None, :, None]
    noise = 10 * torch.finfo(after.dtype).eps * after.abs().mean()
    if before.mean().abs() > noise and after.mean().abs() > noise:
        after = after * (before.mean() / after.mean())
    return after.to(states.dtype)


def _padded(states: Sequence[torch.Tensor], empty: torch.Tensor) -> list[torch.Tensor]:
    longest = max(item.shape[1] for item in states)
    return [
        torch.cat([item, *[empty] * ((longest - item.shape[1]) // empty.shape[1])], dim=1)
        for item in states
    ]


def _size(chunks: list[list[Chunk]]) -> int:
    return max(len(own) for own in chunks)


def _check_size(chunks: int) -> None:
    if chunks > CHUNK_LIMIT:
        raise PromptError(
            f"The prompt needs more than {CHUNK_LIMIT} chunks of tokens over all its variants; "
            "shorten it, or use fewer BREAKs or alternations."
        )
