"""A model's networks without numbers: their shapes are all that questions of memory need."""

import json
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from studio.models.entry import ModelEntry


@dataclass(frozen=True)
class Blueprint:
    """Denoiser and autoencoder on torch's device "meta", in a number format of weights."""

    denoiser: Any
    vae: Any


def blueprint(entry: ModelEntry, dtype: str, *, sliced: bool = False) -> Blueprint:
    """The networks of a usable model; sliced: with attention as on Rung.ATTENTION_SLICING."""
    assert entry.family is not None
    names = (entry.family.denoiser, "vae")
    if entry.original is not None:
        known = {part.name: dict(part.config) for part, _ in entry.sources}
        configs = [known[name] for name in names]
    else:
        configs = [json.loads((entry.path / name / "config.json").read_text()) for name in names]
    # Always in one order: the text is the key under which they are kept.
    texts = [json.dumps(config, sort_keys=True, default=str) for config in configs]
    return Blueprint(_network(texts[0], dtype, sliced), _network(texts[1], dtype, False))


@lru_cache(maxsize=16)
def _network(config: str, dtype: str, sliced: bool) -> Any:
    import diffusers
    import torch

    fields = json.loads(config)
    with torch.device("meta"):
        network = getattr(diffusers, fields["_class_name"]).from_config(fields)
    for tensor in (*network.parameters(), *network.buffers()):
        if tensor.is_floating_point():
            tensor.data = tensor.data.to(getattr(torch, dtype))
    if sliced:
        network.set_attention_slice("max")
    return network.eval()
