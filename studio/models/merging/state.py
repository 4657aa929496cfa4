"""Writes tensors that are in memory as one file: a LoRA, the vectors of a word."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from studio.errors import ModelError
from studio.models.hashes import body_hashes
from studio.models.merging.output import FORMATS, Writer, staged

if TYPE_CHECKING:
    from torch import Tensor

_HASHES = 200
"""Bytes of a header for the two hashes, which are known last."""
_WIDE = "F32"


def write_state(
    state: Mapping[str, "Tensor"],
    words: Mapping[str, str],
    place: Path,
    dtype: str,
    *,
    replace: bool = False,
) -> Path:
    """Write tensors with their metadata to a place, a .safetensors; returns the place.

    As `save_state`, but whatever happens, there is a whole file at the place or what was there
    before. replace: over what is there already. Raises ModelError when there is no room for it or
    the place is taken, StorageError when the system refuses.
    """
    needed = sum(state[name].numel() * _size(kind) for name, kind in _kinds(state, dtype).items())
    needed += _notes(words)
    with staged(place.parent, place, needed, replace=replace) as made:
        save_state(state, words, made, dtype)
    return place


def save_state(
    state: Mapping[str, "Tensor"], words: Mapping[str, str], made: Path, dtype: str
) -> None:
    """Write tensors with their metadata and the hashes of both as a file that is not there yet.

    dtype: a number format; what is called .alpha, dora_scale or lora_magnitude_vector stays in
    float32. Raises ModelError for numbers that do not fit it.
    """
    kinds = _kinds(state, dtype)
    # Numbers of four bytes first: readers want each to begin at a multiple of its size.
    names = sorted(state, key=lambda name: -_size(kinds[name]))
    words = {"format": "pt", **words}
    with Writer(made, names, _notes(words)) as writer:
        for name in names:
            writer.add(name, _cast(name, state[name], kinds[name]), kinds[name])
        plain = writer.header({k: v for k, v in words.items() if k.startswith("ss_")})
        writer.finish(words | body_hashes(writer.body(), plain))


def _kinds(state: Mapping[str, "Tensor"], dtype: str) -> dict[str, str]:
    return {name: _WIDE if _is_fine(name) else FORMATS[dtype] for name in state}


def _size(kind: str) -> int:
    return 4 if kind == _WIDE else 2


def _notes(words: Mapping[str, str]) -> int:
    return len(json.dumps(words).encode()) + _HASHES


def _is_fine(name: str) -> bool:
    return name.endswith((".alpha", ".dora_scale", ".lora_magnitude_vector"))


def _cast(name: str, tensor: "Tensor", kind: str) -> "Tensor":
    import torch

    dtype = next(key for key, value in FORMATS.items() if value == kind)
    out = tensor.detach().to("cpu", getattr(torch, dtype))
    if not bool(torch.isfinite(out).all()):
        raise ModelError(
            f"{name} holds numbers that are none (NaN) or do not fit {dtype}; store it as bfloat16 "
            "or float32, or take an earlier checkpoint."
        )
    return out
