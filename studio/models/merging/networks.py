"""A model's networks without numbers, and where each layer's numbers stand in its files.

Layers are named as diffusers names them, which is how LoRAs are put on. In a single file they have
other names, and several may share a tensor; which rows are whose is learnt from the converters that
load it, by giving them rows that carry their own number.
"""

import inspect
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import diffusers
import torch
import transformers
from accelerate import init_empty_weights

from studio.models.families import Texts
from studio.models.merging.parents import Key, Parent
from studio.models.originals.layout import Part
from studio.models.originals.load import empty_network

_SHIFT = 32
"""Bits that a row's own number takes; the tensor's stands above them."""
_TEXT = "text_model."
"""What some versions of transformers put before a CLIP's layers and others do not."""


@dataclass(frozen=True)
class Rows:
    """A layer's weights in a file's tensor: all of it, or some rows in an order."""

    key: Key
    rows: torch.Tensor | None = None


@dataclass(frozen=True)
class Network:
    """A network on torch's device without memory, and its weights' places by layer."""

    module: Any
    places: Mapping[str, Rows]

    def place(self, layer: str) -> Rows | None:
        """Where a layer's weight stands; None when the model's own files lack it."""
        return self.places.get(layer.removeprefix(_TEXT))


def networks(parent: Parent) -> dict[str, Network]:
    """The denoiser and the CLIP text encoders: all that LoRAs are for."""
    entry = parent.entry
    if entry.original is None:
        return _of_folder(parent)
    found = {}
    for part, _ in entry.sources:
        if part.kind in ("vae", "t5"):
            continue
        projected = parent.family.texts is Texts.SD3 or part.name == "text_encoder_2"
        with init_empty_weights():
            module, translate = empty_network(part, projected=projected)
        own = part.name in parent.parts()
        found[part.name] = Network(module, _translated(parent, part, translate) if own else {})
    return found


def pipeline(parent: Parent, found: Mapping[str, Network]) -> Any:
    """A pipeline of these networks that can be dressed; nothing else is in it.

    Its networks get memory that is never touched, so that the system gives them none.
    """
    kind = getattr(diffusers, parent.family.pipeline)
    needed = {
        name: None
        for name, parameter in inspect.signature(kind.__init__).parameters.items()
        if name != "self" and parameter.default is inspect.Parameter.empty
    }
    optional = {"requires_safety_checker": False} if "safety_checker" in needed else {}
    modules = {name: network.module.to_empty(device="cpu") for name, network in found.items()}
    return kind(**{**needed, **modules, **optional})


def _of_folder(parent: Parent) -> dict[str, Network]:
    folder, denoiser = parent.entry.path, parent.family.denoiser
    index = json.loads((folder / "model_index.json").read_text("utf-8"))
    found = {}
    for part in (denoiser, *(encoder for _, encoder in parent.family.encoders)):
        kind = str((index.get(part) or ("", ""))[1])
        if part not in parent.parts() or (part != denoiser and not kind.startswith("CLIP")):
            continue
        with init_empty_weights():
            if part == denoiser:
                config = json.loads((folder / part / "config.json").read_text("utf-8"))
                module = getattr(diffusers, kind).from_config(config)
            else:
                settings = transformers.CLIPTextConfig.from_pretrained(folder / part)
                module = getattr(transformers, kind)(settings)
        places = {_layer(name): Rows(Key(part, name)) for name in parent.names(part)}
        found[part] = Network(module, {layer: rows for layer, rows in places.items() if layer})
    return found


def _translated(parent: Parent, part: Part, translate: Any) -> dict[str, Rows]:
    inner = part.prefix[len(part.prefix.removesuffix(_TEXT)) :]
    names = [name for name in parent.names(part.name) if name.startswith(inner)]
    marked = {}
    for number, name in enumerate(names):
        shape = parent.tensors[Key(part.name, name)].shape
        if shape:
            rows = torch.arange(shape[0], dtype=torch.int64) + (number << _SHIFT)
            marked[name[len(inner) :]] = rows.reshape(-1, *[1] * (len(shape) - 1))
    places = {}
    for weight, rows in translate(marked).items():
        layer = _layer(weight)
        if not layer or "text_projection" in layer:
            continue
        rows = rows.flatten()
        key = Key(part.name, names[int(rows[0]) >> _SHIFT])
        own = rows & ((1 << _SHIFT) - 1)
        whole = len(own) == parent.tensors[key].shape[0] and bool((own.diff() == 1).all())
        places[layer] = Rows(key, None if whole else own)
    return places


def _layer(weight: str) -> str:
    """The layer that a weight is of, "" for what is no layer's weight."""
    if not weight.endswith(".weight"):
        return ""
    return weight.removesuffix(".weight").removeprefix(_TEXT)
