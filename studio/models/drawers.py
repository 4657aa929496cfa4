"""The weight files of a folder and what each of them is, recognised by content, not by place."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from studio.models.headers import Header, HeaderError, Shapes, read_header, read_numbers
from studio.models.lora_facts import LoraFacts, lora_facts
from studio.models.originals.layout import (
    LayoutError,
    Original,
    encoder_kind,
    is_vae,
    read_layout,
)

PICKLES = (".ckpt", ".pt", ".pth", ".bin", ".pickle")
_WIDE = 0.09
"""Spread of the tensor that tells velocity from noise; see originals.layout."""
_LORA = ("lora_down", "lora_up", "lora_A", "lora_B", ".lora.", "_lora.", "hada_w", "lokr_w")
_EMBEDDING = ({"emb_params"}, {"clip_l", "clip_g"}, {"clip_l"}, {"clip_g"})


class Kind(StrEnum):
    """What a weight file is."""

    CHECKPOINT = "model"
    VAE = "VAE"
    TEXT_ENCODER = "text encoder"
    LORA = "LoRA"
    EMBEDDING = "embedding"
    OTHER = "other"
    DAMAGED = "damaged"


@dataclass(frozen=True)
class WeightFile:
    """A file and what it is.

    header: kept for those that models are made of. original: the model in it, of a checkpoint that
    is run. lora: what is known of a LoRA. problem: what is wrong with it, as the rest of a sentence
    that begins with its name, or "".
    """

    path: Path
    kind: Kind
    bytes: int
    header: Header | None = None
    original: Original | None = None
    lora: LoraFacts | None = None
    problem: str = ""


class Drawers:
    """The weight files below a folder; looked up afresh, each read again only when it changed.

    Folders that are a model of several files (with a model_index.json) are left to the catalogue.
    """

    def __init__(self, root: Path):
        self._root = root
        self._known: dict[Path, tuple[tuple[int, int], WeightFile]] = {}

    def files(self) -> list[WeightFile]:
        """All of them, sorted by their place."""
        found: dict[Path, tuple[tuple[int, int], WeightFile]] = {}
        for path in sorted(self._paths()):
            try:
                facts = path.stat()
            except OSError:  # it was removed just now
                continue
            stamp = facts.st_size, facts.st_mtime_ns
            known = self._known.get(path)
            found[path] = (
                known
                if known is not None and known[0] == stamp
                else (stamp, _recognised(path, facts.st_size))
            )
        self._known = found
        return [file for _, file in found.values()]

    def _paths(self) -> Iterator[Path]:
        for folder, inner, names in os.walk(self._root, followlinks=True):
            if "model_index.json" in names:
                inner.clear()
                continue
            inner[:] = [name for name in inner if not name.startswith(".")]
            for name in names:
                if Path(name).suffix.lower() in (".safetensors", *PICKLES):
                    yield Path(folder) / name


def _recognised(path: Path, size: int) -> WeightFile:
    if path.suffix.lower() in PICKLES:
        problem = (
            "is a pickle, which can run any code when it is opened; get the model as .safetensors"
        )
        return WeightFile(path, Kind.DAMAGED, size, problem=problem)
    try:
        header = read_header(path)
        original = read_layout(header, lambda name: _spread(path, header, name) > _WIDE)
    except LayoutError as error:
        return WeightFile(path, Kind.CHECKPOINT, size, problem=str(error))
    except HeaderError as error:
        return WeightFile(path, Kind.DAMAGED, size, problem=f"{error}; copy it again")
    except OSError as error:
        problem = f"cannot be read ({error.strerror}); see to its permissions"
        return WeightFile(path, Kind.DAMAGED, size, problem=problem)
    kind = Kind.CHECKPOINT if original is not None else _kind(header)
    if kind is Kind.LORA:
        return WeightFile(path, kind, size, lora=lora_facts(header.shapes, header.metadata))
    return WeightFile(path, kind, size, header, original)


def _kind(header: Header) -> Kind:
    shapes = Shapes(header.shapes)
    if any(mark in name for name in shapes for mark in _LORA):
        return Kind.LORA
    if is_vae(shapes):
        return Kind.VAE
    if encoder_kind(shapes) is not None:
        return Kind.TEXT_ENCODER
    if set(shapes) in _EMBEDDING or (len(shapes) == 1 and next(iter(shapes)).startswith("<")):
        return Kind.EMBEDDING
    return Kind.OTHER


def _spread(path: Path, header: Header, name: str) -> float:
    if name not in header.spans:
        return 0.0
    return float(read_numbers(path, header, name).std())
