"""Writes a LoRA that stands beside a pipeline's layers, as a file."""

import json
from pathlib import Path
from typing import Any, Literal

from studio.models.merging.state import write_state
from studio.training.export import metadata
from studio.training.export.facts import Facts
from studio.training.export.kohya import (
    adapter_layers,
    adapter_metadata,
    kohya_state,
    peft_state,
    shape_words,
)

Layout = Literal["kohya", "peft"]


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
