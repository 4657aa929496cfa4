"""Textual inversions: words with vectors of their own (Gal et al. 2022, arXiv 2208.01618)."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from studio.errors import ModelError
from studio.models.adapters import Shown
from studio.models.drawers import Drawers, Kind
from studio.models.entry import ModelEntry
from studio.models.families import FAMILIES, Network

if TYPE_CHECKING:
    import torch

_SIDES = ("clip_l", "clip_g")
"""The tensors of a file for Stable Diffusion XL, in the order of its text encoders."""


@dataclass(frozen=True)
class Embedding:
    """A file and the word that stands for it in prompts.

    vectors: how many tokens the word takes. widths: features for each text encoder.
    """

    word: str
    path: Path
    names: tuple[str, ...]
    vectors: int
    widths: tuple[int, ...]

    def fits(self, model: ModelEntry) -> bool:
        """Whether a model's text encoders have these widths, as far as its UNet tells."""
        assert model.family is not None
        return (
            model.family.network is Network.UNET
            and len(self.widths) == len(model.family.encoders)
            and sum(self.widths) == model.context
        )

    @property
    def family(self) -> str:
        """What it was made for, in words."""
        width = sum(self.widths)
        found = (family.name for family in FAMILIES if width == family.context)
        return next(found, f"models with text states of {width} features")

    def load(self) -> tuple["torch.Tensor", ...]:
        """Its vectors (vectors, features) for each text encoder; ModelError when damaged."""
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            tensors = load_file(self.path)
            return tuple(tensors[name].reshape(self.vectors, -1).float() for name in self.names)
        except (OSError, SafetensorError, LookupError, RuntimeError) as error:
            raise ModelError(
                f"Embedding {self.word!r} could not be read from {self.path.name} ({error}); "
                "copy it again."
            ) from error


class EmbeddingShelf:
    """The textual inversions below the models folder."""

    def __init__(self, drawers: Drawers, shown: Shown = set):
        self._drawers = drawers
        self._shown = shown

    def entries(self) -> list[Embedding]:
        """All of them by their words; of two files with one name the first counts."""
        found: dict[str, Embedding] = {}
        for file in self._drawers.files():
            if file.kind is not Kind.EMBEDDING or file.header is None:
                continue
            shapes = file.header.shapes
            names = tuple(name for name in _SIDES if name in shapes) or tuple(shapes)[:1]
            rows = [shapes[name] if len(shapes[name]) > 1 else (1, *shapes[name]) for name in names]
            if all(len(row) == 2 and row[0] == rows[0][0] for row in rows):
                word = file.path.stem
                widths = tuple(width for _, width in rows)
                entry = Embedding(word, file.path, names, rows[0][0], widths)
                found.setdefault(word.casefold(), entry)
        shown = self._shown([entry.path for entry in found.values()])
        return [entry for entry in found.values() if entry.path in shown]

    def ids(self, model: ModelEntry) -> Mapping[str, range]:
        """For each word that fits a model the ids that stand for its vectors in chunks."""
        found, start = {}, FIRST_ID
        for entry in self.entries():
            if entry.fits(model):
                found[entry.word] = range(start, start + entry.vectors)
                start += entry.vectors
        return found


FIRST_ID = 1_000_000
"""Of ids that no tokenizer gives."""


def embedding_hash(entry: Embedding) -> str:
    """First twelve hex digits of the file's SHA-256."""
    return _hashed(entry.path, entry.path.stat().st_mtime_ns)


@lru_cache(maxsize=512)
def _hashed(path: Path, _changed: int) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12]
