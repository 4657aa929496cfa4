"""Prompts as the states of a text encoder: what a denoising network is conditioned on.

Weights follow AUTOMATIC1111's web UI: the states of a token are multiplied by its weight, then the
whole chunk is scaled back to the mean it had before. Without weights, and within one chunk, the
states are those of diffusers' `encode_prompt`, bit by bit.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import torch

from studio.diffusion.prompt import PromptPlan
from studio.diffusion.tokens import BORDER_TOKENS, Chunk, chunked
from studio.errors import PromptError, RequestError

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

CHUNK_LIMIT = 300
"""Chunks that one plan may need; SDXL keeps about 0.6 MB for each."""

Encoders: TypeAlias = "Sequence[tuple[PreTrainedTokenizerBase, PreTrainedModel]]"
"""A model's tokenizers and text encoders: one pair for SD 1.x and 2.x, two for SDXL."""


@dataclass(frozen=True)
class TextStates:
    """An encoded text.

    embeds: (1, tokens, features), tokens a multiple of the encoder's positions.
    pooled: (1, features) of the first chunk for SDXL, None for other families.
    """

    embeds: torch.Tensor
    pooled: torch.Tensor | None


class PromptStates:
    """The states of a plan's texts, each encoded once, by step.

    empty: the states of the empty prompt, which `pad_together` fills up with.
    Raises PromptError when the texts need more than CHUNK_LIMIT chunks together, RequestError for
    a clip_skip beyond the encoder's layers.
    """

    def __init__(self, encoders: Encoders, plan: PromptPlan, clip_skip: int = 1):
        chunks: dict[str, list[list[Chunk]]] = {}
        total = 0
        for text in plan.texts():
            chunks[text] = _chunks_of(encoders, text)
            total += len(chunks[text][0])
            _check_size(total)
        self._plan = plan
        self._states = {
            text: _encode_chunks(encoders, text_chunks, clip_skip)
            for text, text_chunks in chunks.items()
        }
        self.empty = self._states.get("") or encode(encoders, "", clip_skip)

    def at(self, step: int) -> list[tuple[float, TextStates]]:
        """The (weight, states) of each part in force at a step, counted from 1."""
        return [(weight, self._states[text]) for weight, text in self._plan.at(step)]


def encode(encoders: Encoders, text: str, clip_skip: int = 1) -> TextStates:
    """A text with weights and BREAKs as encoder states, in the encoder's own dtype.

    clip_skip: 1 is the layer that the family was trained with (the last for SD 1.x and 2.x, the
    last but one for SDXL), 2 the layer before it. Raises RequestError when there is no such layer,
    PromptError for more than CHUNK_LIMIT chunks.
    """
    chunks = _chunks_of(encoders, text)
    _check_size(len(chunks[0]))
    return _encode_chunks(encoders, chunks, clip_skip)


def pad_together(states: Sequence[TextStates], empty: TextStates) -> list[TextStates]:
    """The states with as many tokens as the longest, so that they can be batched.

    empty: one chunk, the states of the empty prompt; it is appended where chunks are missing.
    """
    size = empty.embeds.shape[1]
    longest = max(item.embeds.shape[1] for item in states)
    return [_padded(item, empty, (longest - item.embeds.shape[1]) // size) for item in states]


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


def _padded(states: TextStates, empty: TextStates, missing: int) -> TextStates:
    if missing == 0:
        return states
    return TextStates(torch.cat([states.embeds, *[empty.embeds] * missing], dim=1), states.pooled)


def _check_size(chunks: int) -> None:
    if chunks > CHUNK_LIMIT:
        raise PromptError(
            f"The prompt needs more than {CHUNK_LIMIT} chunks of tokens over all its variants; "
            "shorten it, or use fewer BREAKs or alternations."
        )


def _chunks_of(encoders: Encoders, text: str) -> list[list[Chunk]]:
    """The text's chunks for each encoder, as many for one as for the other."""
    chunks = []
    for tokenizer, encoder in encoders:

        def tokenize(part: str, tokenizer: Any = tokenizer) -> list[int]:
            ids: list[int] = tokenizer(part, add_special_tokens=False, verbose=False).input_ids
            return ids

        chunks.append(chunked(text, tokenize, _positions(tokenizer, encoder) - BORDER_TOKENS))
    longest = max(len(own) for own in chunks)
    return [own + [Chunk((), ())] * (longest - len(own)) for own in chunks]


def _positions(tokenizer: Any, encoder: Any) -> int:
    """Tokens in a chunk with its borders; a tokenizer without a limit states a huge one."""
    return min(int(tokenizer.model_max_length), int(encoder.config.max_position_embeddings))


@torch.no_grad()
def _encode_chunks(encoders: Encoders, chunks: list[list[Chunk]], clip_skip: int) -> TextStates:
    """chunks: for each encoder its own list, all equally long."""
    # A text encoder with a projection serves SDXL, which reads a layer earlier and has no use for
    # the final layer norm.
    with_pooled = hasattr(encoders[-1][1], "text_projection")
    skip = clip_skip + 1 if with_pooled else clip_skip
    _check_clip_skip(encoders, clip_skip, skip - clip_skip)
    embeds: list[torch.Tensor] = []
    pooled: torch.Tensor | None = None
    for (tokenizer, encoder), own in zip(encoders, chunks, strict=True):
        states: list[torch.Tensor] = []
        # One chunk at a time: in a batch, rounding would depend on the neighbours.
        for chunk in own:
            output = _run(tokenizer, encoder, chunk)
            layer = _layer(encoder, output, skip, normed=not with_pooled)
            weights = _token_weights(chunk, _positions(tokenizer, encoder))
            if with_pooled and not states:
                pooled = getattr(output, "text_embeds", None)
            states.append(weigh(layer, weights))
        embeds.append(torch.cat(states, dim=1))
    return TextStates(torch.cat(embeds, dim=-1), pooled)


def _check_clip_skip(encoders: Encoders, clip_skip: int, built_in: int) -> None:
    """built_in: layers that the family skips before any clip skip."""
    most = min(encoder.config.num_hidden_layers for _, encoder in encoders) - built_in
    if not 1 <= clip_skip <= most:
        raise RequestError(
            f"CLIP skip must be between 1 and {most} with this model's text encoder, "
            f"but is {clip_skip}.",
            field="clip_skip",
        )


def _run(tokenizer: Any, encoder: Any, chunk: Chunk) -> Any:
    """The encoder's output for one chunk between its borders, padded to all positions."""
    ids = [tokenizer.bos_token_id, *chunk.ids, tokenizer.eos_token_id]
    ids += [tokenizer.pad_token_id] * (_positions(tokenizer, encoder) - len(ids))
    # Weights that are offloaded one by one stand on "meta"; their hooks move the input.
    device = "cpu" if encoder.device.type == "meta" else encoder.device
    return encoder(torch.tensor([ids], device=device), output_hidden_states=True)


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
