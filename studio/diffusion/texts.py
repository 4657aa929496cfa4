"""How each family reads texts: Stable Diffusion 3 and FLUX beside what CLIP alone does.

Both add T5, which reads the prompt as one sequence without a begin token. A prompt longer than
that is cut into chunks like CLIP's, so that none of it is lost; diffusers would drop the rest.
Within one chunk and without weights the states are those of diffusers' `encode_prompt`.
Sources: Esser et al. 2024 (arXiv 2403.03206), section 5.3 and figure 2; diffusers' FluxPipeline.
"""

from dataclasses import dataclass
from typing import Any

import torch

from studio.diffusion.clip import ClipTexts, Encoders, clip_chunks, clip_states, tokenized
from studio.diffusion.conditioning import TextEncoding, TextStates, weigh
from studio.diffusion.tokens import Chunk, chunked
from studio.diffusion.words import NO_WORDS, Words
from studio.models.families import Family, Texts
from studio.models.ladder import working_device


def texts_of(family: Family, pipe: Any, words: Words = NO_WORDS) -> TextEncoding:
    """How a loaded model of a family reads texts; words: with vectors of their own."""
    encoders = [(getattr(pipe, t), getattr(pipe, e)) for t, e in family.encoders]
    if family.texts is Texts.SD3:
        width = pipe.transformer.config.joint_attention_dim
        return Sd3Texts(encoders[:2], T5(*encoders[2], family.t5_tokens, width))
    if family.texts is Texts.FLUX:
        width = pipe.transformer.config.joint_attention_dim
        return FluxTexts(encoders[:1], T5(*encoders[1], family.t5_tokens, width))
    return ClipTexts(encoders, words)


@dataclass(frozen=True)
class T5:
    """A T5 encoder, or zeros where a model was saved without this large part.

    positions: tokens of a chunk with its end token. width: features of a state.
    """

    tokenizer: Any
    encoder: Any
    positions: int
    width: int

    def chunks(self, text: str) -> list[Chunk]:
        """The text's chunks; one empty one without an encoder."""
        if self.encoder is None:
            return [Chunk((), ())]
        return chunked(text, tokenized(self.tokenizer), self.positions - 1)

    def states(self, chunks: list[Chunk], like: torch.Tensor) -> torch.Tensor:
        """(1, tokens, features), on the device and in the number format of `like` for zeros."""
        if self.encoder is None:
            return like.new_zeros(1, self.positions * len(chunks), self.width)
        return torch.cat([self._states(chunk) for chunk in chunks], dim=1)

    def _states(self, chunk: Chunk) -> torch.Tensor:
        ids = [*chunk.ids, self.tokenizer.eos_token_id]
        ids += [self.tokenizer.pad_token_id] * (self.positions - len(ids))
        states = self.encoder(torch.tensor([ids], device=working_device(self.encoder)))[0]
        weights = torch.ones(self.positions)
        weights[: len(chunk.weights)] = torch.tensor(chunk.weights)
        return weigh(states, weights)


@dataclass(frozen=True)
class Sd3Texts:
    """Two CLIPs side by side, filled up with zeros to T5's width, and T5 after them."""

    clips: Encoders
    t5: T5

    def chunks(self, text: str) -> list[list[Chunk]]:
        """Those of each CLIP, then T5's."""
        return [*clip_chunks(self.clips, text), self.t5.chunks(text)]

    def encode(self, chunks: list[list[Chunk]], clip_skip: int) -> TextStates:
        """The states of chunks; RequestError when there is no such layer."""
        states, pooled = clip_states(self.clips, chunks[:-1], clip_skip, early=True)
        joined = torch.cat(states, dim=-1)
        wide = torch.nn.functional.pad(joined, (0, self.t5.width - joined.shape[-1]))
        tail = self.t5.states(chunks[-1], wide)
        return TextStates(wide, torch.cat(pooled, dim=-1), tail.to(wide))


@dataclass(frozen=True)
class FluxTexts:
    """T5's states, and of CLIP the pooled state alone, which no CLIP skip changes."""

    clip: Encoders
    t5: T5

    def chunks(self, text: str) -> list[list[Chunk]]:
        """CLIP's first, then T5's."""
        return [clip_chunks(self.clip, text)[0][:1], self.t5.chunks(text)]

    def encode(self, chunks: list[list[Chunk]], clip_skip: int) -> TextStates:
        """The states of chunks."""
        _, (pooled,) = clip_states(self.clip, chunks[:1], 1, early=False)
        return TextStates(self.t5.states(chunks[1], pooled), pooled)
