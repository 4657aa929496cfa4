"""States of the texts that a run reads: encoded once, so that the encoders can be put away."""

from typing import Any

from studio.diffusion.conditioning import TextEncoding, TextStates
from studio.diffusion.tokens import Chunk
from studio.training.cache.kept import Kept, Tensors


class RememberedTexts:
    """A model's way to read that keeps what it has read.

    encoding: the model's own. fingerprint: of its text encoders.
    """

    def __init__(self, kept: Kept, encoding: TextEncoding, fingerprint: str):
        self._kept = kept
        self._encoding = encoding
        self._fingerprint = fingerprint

    def chunks(self, text: str) -> list[list[Chunk]]:
        """The text's chunks for each encoder; this needs the tokenizers alone."""
        return self._encoding.chunks(text)

    def encode(self, chunks: list[list[Chunk]], clip_skip: int) -> TextStates:
        """Their states; never with gradients."""
        told = [[(chunk.ids, chunk.weights) for chunk in own] for own in chunks]

        def make() -> Tensors:
            import torch

            with torch.no_grad():
                states = self._encoding.encode(chunks, clip_skip)
            parts = {"embeds": states.embeds, "pooled": states.pooled, "tail": states.tail}
            return {name: each for name, each in parts.items() if each is not None}

        kept: Any = self._kept.get(f"{self._fingerprint} {told} {clip_skip}", make)
        return TextStates(kept["embeds"], kept.get("pooled"), kept.get("tail"))
