"""Writes a LoRA that stands beside a pipeline's layers, as a file."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from studio.errors import ModelError
from studio.models.merging.output import FORMATS, Writer, staged
from studio.training.export import metadata
from studio.training.export.facts import Facts
from studio.training.export.kohya import (
    adapter_layers,
    adapter_metadata,
    kohya_state,
    peft_state,
    shape_words,
)

if TYPE_CHECKING:
    from torch import Tensor

Layout = Literal["kohya", "peft"]
_HASHES = 200
"""Bytes of a header for the two hashes, which are known last."""
_WIDE = "F32"


def write_lora(
    pipe: Any,
    adapter: str,
    facts: Facts,
    place: Path,
    layout: Layout = "kohya",
    dtype: str = "float16",
    *,
    replace: bool = False,
) -> Path:
    """Write an adapter of a live pipeline to a place, a .safetensors; returns the place.

    layout: "kohya" for the names that most tools read, "peft" for those of diffusers with peft's
    configuration in the header. dtype: a number format; alphas and magnitudes stay in float32.
    replace: over what is there already. Whatever happens, there is a whole file at the place or
    what was there before. Raises ModelError when there is no such adapter, its numbers do not fit
    the format or there is no room for it, StorageError when the system refuses.

    A DoRA's dora_scale is of the outputs, as peft has trained it. LyCORIS and this studio read it
    so; ComfyUI divides by the norm of the model's own weight, which is nearly the same.
    """
    layers = adapter_layers(pipe, adapter)
    scaled = layout == "kohya" and hasattr(pipe, "transformer")
    state = peft_state(pipe, adapter) if layout == "peft" else kohya_state(pipe, adapter)
    ranks, wide = shape_words(layers)
    dora = any(layer.magnitude is not None for layer in layers)
    network = metadata.network_words(ranks, wide, dora=dora)
    words = metadata.all_words(facts, metadata.LORA, network)
    if layout == "peft" or scaled:
        told = adapter_metadata(layers, scaled=scaled)
        words["lora_adapter_metadata"] = json.dumps(told, sort_keys=True)
    return write_state(state, words, place, dtype, replace=replace)


def write_state(
    state: Mapping[str, "Tensor"],
    words: Mapping[str, str],
    place: Path,
    dtype: str,
    *,
    replace: bool = False,
) -> Path:
    """Write tensors with their metadata and the hashes of both; the same promises as above.

    Those called .alpha, dora_scale or lora_magnitude_vector stay in float32.
    """
    kinds = {name: _WIDE if _is_fine(name) else FORMATS[dtype] for name in state}
    sizes = {name: 4 if kind == _WIDE else 2 for name, kind in kinds.items()}
    # Numbers of four bytes first: readers want each to begin at a multiple of its size.
    names = sorted(state, key=lambda name: -sizes[name])
    needed = sum(state[name].numel() * sizes[name] for name in names)
    words = {"format": "pt", **words}
    notes = len(json.dumps(words).encode()) + _HASHES
    with (
        staged(place.parent, place, needed + notes, replace=replace) as made,
        Writer(made, names, notes) as writer,
    ):
        for name in names:
            writer.add(name, _cast(name, state[name], kinds[name]), kinds[name])
        plain = writer.header({k: v for k, v in words.items() if k.startswith("ss_")})
        words |= metadata.body_hashes(writer.body(), plain)
        writer.finish(words)
    return place


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
