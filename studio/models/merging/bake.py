"""Baking: what LoRAs add to a model's weights, worked out and added for good."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from studio.context import Worn
from studio.errors import ModelError, first_words
from studio.models.adapters import Lora, dress
from studio.models.entry import NONSENSE
from studio.models.merging.parents import Key, Parent

if TYPE_CHECKING:
    from torch import Tensor

    from studio.models.merging.networks import Rows


@dataclass(frozen=True)
class _Piece:
    """What one LoRA adds to one layer. layer: peft's, which has the LoRA under a name."""

    rows: "Rows"
    layer: Any
    name: str
    strength: float


class Baked:
    """A model's tensors with LoRAs in them.

    The LoRAs are read as those that are worn are, by putting them on networks without numbers, so
    that every format that can be worn can be baked and means the same.
    left_out: names of LoRAs some of whose layers are in none of the model's own files.
    """

    def __init__(self, base: Parent, loras: Sequence[tuple[Lora, float]]):
        self._pieces: dict[Key, list[_Piece]] = defaultdict(list)
        left_out = set()
        for lora, pieces in _worn(base, loras):
            for piece in pieces:
                if piece is None:
                    left_out.add(lora.name)
                else:
                    self._pieces[piece.rows.key].append(piece)
        self.left_out = tuple(sorted(left_out))

    def tensor(self, key: Key, tensor: "Tensor") -> "Tensor | None":
        """A tensor with what the LoRAs add, in float32; None when they add nothing to it."""
        if key not in self._pieces:
            return None
        made = tensor.float().clone()
        for piece in self._pieces[key]:
            delta = piece.strength * piece.layer.get_delta_weight(piece.name).detach().float()
            rows = piece.rows.rows
            if rows is None:
                made += delta.reshape(made.shape)
            else:
                made[rows] += delta.reshape(len(rows), *made.shape[1:])
        return made


def _worn(
    base: Parent, loras: Sequence[tuple[Lora, float]]
) -> Iterator[tuple[Lora, list[_Piece | None]]]:
    """Of each LoRA its pieces; None for a layer that the model's own files lack."""
    import torch
    from peft.tuners.lora import LoraLayer
    from safetensors import SafetensorError

    from studio.models.merging.networks import networks, pipeline

    found = networks(base)
    pipe = pipeline(base, found)
    try:
        with _quiet():
            dress(pipe, [(Worn(lora.name, 1.0, 1.0), lora) for lora, _ in loras])
    except (*NONSENSE, RuntimeError, AssertionError, SafetensorError) as error:
        names = ", ".join(lora.name for lora, _ in loras)
        first = first_words(error)
        raise ModelError(
            f"LoRA {names} could not be put on {base.called} ({first}); it may be for another "
            "kind of model, or damaged."
        ) from error
    for lora, strength in loras:
        name, pieces = lora.version, list[_Piece | None]()
        for network in found.values():
            for layer, module in network.module.named_modules():
                if not isinstance(module, LoraLayer) or name not in module.lora_A:
                    continue
                worn: Any = module  # all kinds of layers have get_delta_weight, their base has not
                if name in module.lora_magnitude_vector or module.lora_bias.get(name):
                    raise ModelError(
                        f"LoRA {lora.name!r} has more than two matrices a layer (biases, say), "
                        "which cannot be baked; wear it instead."
                    )
                both = (worn.lora_A[name].weight, worn.lora_B[name].weight)
                if not all(bool(torch.isfinite(each).all()) for each in both):
                    raise ModelError(
                        f"LoRA {lora.name!r} holds numbers that are none (NaN) in {layer}; take "
                        "another copy of it."
                    )
                rows = network.place(layer)
                pieces.append(_Piece(rows, worn, name, strength) if rows else None)
        yield lora, pieces


@contextmanager
def _quiet() -> Iterator[None]:
    """Without diffusers' advice on parts that a LoRA has nothing for."""
    from diffusers.utils import logging

    said = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(said)
