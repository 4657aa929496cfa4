"""Texts as CLIP reads them: in chunks of its positions, each between a begin and an end token."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import torch

from studio.diffusion.conditioning import TextStates, weigh
from studio.diffusion.tokens import BORDER_TOKENS, Chunk, chunked
from studio.diffusion.words import NO_WORDS, Words, with_words
from studio.errors import RequestError
from studio.models.embeddings import FIRST_ID
from studio.models.ladder import working_device

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

Encoders: TypeAlias = "Sequence[tuple[PreTrainedTokenizerBase, PreTrainedModel]]"
"""A model's tokenizers and text encoders: one pair for SD 1.x and 2.x, two for SDXL."""


@dataclass(frozen=True)
class ClipTexts:
    """How Stable Diffusion 1, 2 and XL read: the encoders' states side by side.

    A text encoder with a projection serves XL, which reads a layer earlier, has no use for the
    final layer norm, and takes the pooled state of the last encoder.
    """

    encoders: Encoders
    words: Words = NO_WORDS

    def chunks(self, text: str) -> list[list[Chunk]]:
        """The text's chunks for each encoder, as many for one as for the other."""
        return clip_chunks(self.encoders, text, self.words.ids)

    def encode(self, chunks: list[list[Chunk]], clip_skip: int) -> TextStates:
        """The states of chunks; RequestError when there is no such layer."""
        with_pooled = hasattr(self.encoders[-1][1], "text_projection")
        embeds, pooled = clip_states(
            self.encoders, chunks, clip_skip, early=with_pooled, words=self.words
        )
        return TextStates(torch.cat(embeds, dim=-1), pooled[-1] if with_pooled else None)


def clip_chunks(
    encoders: Encoders, text: str, words: Mapping[str, range] | None = None
) -> list[list[Chunk]]:
    """The text's chunks for each encoder, as many for one as for the other.

    words: ids of words with vectors of their own.
    """
    chunks = []
    for tokenizer, encoder in encoders:
        length = _positions(tokenizer, encoder) - BORDER_TOKENS
        chunks.append(chunked(text, with_words(tokenized(tokenizer), words or {}), length))
    longest = max(len(own) for own in chunks)
    return [own + [Chunk((), ())] * (longest - len(own)) for own in chunks]


def tokenized(tokenizer: Any) -> Any:
    """A function from a text to its ids without borders."""

    def tokenize(part: str) -> list[int]:
        ids: list[int] = tokenizer(part, add_special_tokens=False, verbose=False).input_ids
        return ids

    return tokenize


def clip_states(
    encoders: Encoders,
    chunks: list[list[Chunk]],
    clip_skip: int,
    *,
    early: bool,
    words: Words = NO_WORDS,
) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """For each encoder its states (1, tokens, features) and the first chunk's pooled state.

    chunks: for each encoder its own list. early: the family reads the last layer but one, without
    the final layer norm. Raises RequestError when there is no such layer.
    """
    skip = clip_skip + 1 if early else clip_skip
    _check_clip_skip(encoders, clip_skip, skip - clip_skip)
    embeds: list[torch.Tensor] = []
    pooled: list[torch.Tensor] = []
    for place, (pair, own) in enumerate(zip(encoders, chunks, strict=True)):
        tokenizer, encoder = pair
        states: list[torch.Tensor] = []
        # One chunk at a time: in a batch, rounding would depend on the neighbours.
        for chunk in own:
            output = _run(tokenizer, encoder, chunk, place, words)
            layer = _layer(encoder, output, skip, normed=not early)
            if not states:
                pooled.append(_pooled(output))
            states.append(weigh(layer, _token_weights(chunk, _positions(tokenizer, encoder))))
        embeds.append(torch.cat(states, dim=1))
    return embeds, pooled


def _pooled(output: Any) -> torch.Tensor:
    """(1, features): projected where the encoder has a projection."""
    projected = getattr(output, "text_embeds", None)
    state: torch.Tensor = output.pooler_output if projected is None else projected
    return state


def _positions(tokenizer: Any, encoder: Any) -> int:
    """Tokens in a chunk with its borders; a tokenizer without a limit states a huge one."""
    return min(int(tokenizer.model_max_length), int(encoder.config.max_position_embeddings))


def _check_clip_skip(encoders: Encoders, clip_skip: int, built_in: int) -> None:
    """built_in: layers that the family skips before any clip skip."""
    most = min(encoder.config.num_hidden_layers for _, encoder in encoders) - built_in
    if not 1 <= clip_skip <= most:
        raise RequestError(
            f"CLIP skip must be between 1 and {most} with this model's text encoder, "
            f"but is {clip_skip}.",
            field="clip_skip",
        )


def _run(tokenizer: Any, encoder: Any, chunk: Chunk, place: int, words: Words) -> Any:
    """The encoder's output for one chunk between its borders, padded to all positions."""
    ids = [tokenizer.bos_token_id, *chunk.ids, tokenizer.eos_token_id]
    ids += [tokenizer.pad_token_id] * (_positions(tokenizer, encoder) - len(ids))
    # A begin token holds a word's place: the pooled state is taken at the first end token.
    known = [tokenizer.bos_token_id if each >= FIRST_ID else each for each in ids]
    given = torch.tensor([known], device=working_device(encoder))
    with words.spoken(encoder, place, ids):
        return encoder(given, output_hidden_states=True)


def _layer(encoder: Any, output: Any, skip: int, *, normed: bool) -> torch.Tensor:
    """The states `skip` layers from the end, counted from 1: (1, tokens, features)."""
    if not normed:
        states: torch.Tensor = output.hidden_states[-skip]
    elif skip == 1:
        states = output.last_hidden_state
    else:
        # Older transformers wrap the layers of a CLIPTextModel once more.
        inner = getattr(encoder, "text_model", encoder)
        states = inner.final_layer_norm(output.hidden_states[-skip])
    return states


def _token_weights(chunk: Chunk, positions: int) -> torch.Tensor:
    """(positions,): borders and padding weigh 1."""
    weights = torch.ones(positions)
    weights[1 : 1 + len(chunk.weights)] = torch.tensor(chunk.weights)
    return weights
