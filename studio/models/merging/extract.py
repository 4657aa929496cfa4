"""Extraction: a LoRA of the difference between a model and the one that it was made from.

As kohya-ss/sd-scripts does (networks/extract_lora_from_models.py): the singular vectors of each
layer's difference, alpha equal to the rank. Layers are those of the denoiser's blocks and of the
CLIP text encoders. For UNets the names are kohya's; for transformers, for which diffusers reads
kohya's only in part, they are those of diffusers and peft.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from studio.models import families
from studio.models.merging.arithmetic import low_rank
from studio.models.merging.networks import Rows, networks
from studio.models.merging.parents import Parent

if TYPE_CHECKING:
    from torch import Tensor

_TEXT = re.compile(r"\.(?:q_proj|k_proj|v_proj|out_proj|fc1|fc2)$")
_BLOCKS = re.compile(r"^(?:down_blocks|mid_block|up_blocks|(?:single_)?transformer_blocks)\.")


@dataclass(frozen=True)
class Layer:
    """A layer whose difference is taken. name: as the file calls it. shape: of its weight."""

    name: str
    rows: Rows
    shape: tuple[int, ...]
    kohya: bool

    def names(self) -> tuple[str, ...]:
        """Of its tensors in the file."""
        if self.kohya:
            return tuple(f"{self.name}.{each}" for each in ("lora_down.weight", "lora_up.weight"))
        return tuple(f"{self.name}.{each}" for each in ("lora_A.weight", "lora_B.weight"))

    def numbers(self, rank: int) -> int:
        """How many numbers its two matrices hold, at most."""
        out, inner = self.shape[0], math.prod(self.shape[1:])
        return min(rank, out, inner) * (out + inner)


@dataclass(frozen=True)
class Matrices:
    """A layer's two, and how much of the difference's square they leave out and there is."""

    down: "Tensor"
    up: "Tensor"
    missed: float
    total: float


def layers(base: Parent, tuned: Parent, *, text: bool) -> list[Layer]:
    """The layers of two models of the same shapes, in the networks' order."""
    found = []
    for part, network in networks(base).items():
        denoiser = part == base.family.denoiser
        if not denoiser and not text:
            continue
        for name, module in network.module.named_modules():
            rows = network.place(name)
            if rows is None or rows.key not in tuned.tensors or not _taken(name, module, denoiser):
                continue
            called, kohya = _called(base.family, part, name)
            found.append(Layer(called, rows, tuple(module.weight.shape), kohya))
    return found


def difference(layer: Layer, tuned: Parent, base: Parent) -> "Tensor":
    """What a layer's weight has become minus what it was, in float32."""
    one, other = (each.read(layer.rows.key).float() for each in (tuned, base))
    delta = one - other if layer.rows.rows is None else (one - other)[layer.rows.rows]
    return delta.reshape(layer.shape)


def matrices(delta: "Tensor", rank: int, clamp: float) -> Matrices | None:
    """The two matrices nearest to a difference; None when there is none."""
    total = float(delta.square().sum())
    if not total:
        return None
    up, down = low_rank(delta, rank, clamp)
    missed = float((delta.flatten(1) - up.flatten(1) @ down.flatten(1)).square().sum())
    return Matrices(down, up, missed, total)


def tensors(layer: Layer, found: Matrices, dtype: torch.dtype) -> Iterator[tuple[str, "Tensor"]]:
    """A layer's tensors for the file."""
    down, up = layer.names()
    yield down, found.down.to(dtype)
    yield up, found.up.to(dtype)
    if layer.kohya:
        yield f"{layer.name}.alpha", torch.tensor(float(len(found.down)), dtype=dtype)


def facts(base: Parent, rank: int) -> dict[str, str]:
    """What kohya's scripts write of a LoRA and others look for (ss_*, ModelSpec's architecture)."""
    key = base.family.key.removesuffix("-inpaint")
    version = {"sd1": "sd_v1", "sd2": "sd_v2", "sdxl": "sdxl_base_v1-0", "sd3": "sd3"}
    kind = {
        "sd1": "stable-diffusion-v1",
        "sd2": "stable-diffusion-v2",
        "sdxl": "stable-diffusion-xl-v1-base",
        "sd3": "stable-diffusion-3",
        "flux-dev": "flux-1-dev",
        "flux-schnell": "flux-1-schnell",
    }
    return {
        "ss_network_module": "networks.lora",
        "ss_network_dim": str(rank),
        "ss_network_alpha": str(rank),
        "ss_sd_model_name": base.entry.title,
        "ss_base_model_version": version.get(key, "flux1" if key.startswith("flux") else key),
        "modelspec.architecture": f"{kind.get(key, key)}/lora",
    }


def _taken(name: str, module: Any, denoiser: bool) -> bool:
    if not isinstance(module, torch.nn.Linear | torch.nn.Conv2d):
        return False
    return bool(_BLOCKS.match(name) if denoiser else _TEXT.search(name))


def _called(family: families.Family, part: str, name: str) -> tuple[str, bool]:
    """A layer's name in the file, and whether it is kohya's."""
    plain = name.removeprefix("text_model.")
    if family.network is not families.Network.UNET:
        return f"{part}.{name if part == family.denoiser else f'text_model.{plain}'}", False
    if part == family.denoiser:
        return "lora_unet_" + name.replace(".", "_"), True
    number = "" if "clip_g" not in family.stems else "2" if part.endswith("_2") else "1"
    return f"lora_te{number}_text_model_" + plain.replace(".", "_"), True
