"""The matrices that peft has put beside a pipeline's layers, under the names that the field reads.

UNets: kohya's names (kohya-ss/sd-scripts, networks/lora.py). Those of Stable Diffusion 1 and 2 are
diffusers' own with underscores, those of Stable Diffusion XL its first authors'
("input_blocks_4_1"), as every file that kohya's scripts wrote has them, so that all readers know
them. Text encoders are lora_te_, or lora_te1_ and lora_te2_ where there are two.

Transformers (Stable Diffusion 3, FLUX.1): diffusers' names, as kohya's are of a layout in which
several layers are one; ComfyUI, Forge and diffusers read these. As not all of those look for an
alpha there, it is multiplied into a matrix.
"""

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from studio.errors import ModelError

if TYPE_CHECKING:
    from torch import Tensor

State = dict[str, "Tensor"]
PARTS = ("unet", "transformer", "text_encoder", "text_encoder_2")
"""Parts of pipelines whose adapters have names in LoRA files."""
_TEXT = "text_model."


@dataclass(frozen=True)
class AdapterLayer:
    """What an adapter has beside one layer.

    part: of the pipeline. name: of the layer in it. down (rank, in) and up (out, rank), those of
    convolutions with their sides. alpha, rslora: as it was trained. magnitude: of each output (out)
    of a DoRA, None for others.
    """

    part: str
    name: str
    down: "Tensor"
    up: "Tensor"
    alpha: float
    rslora: bool
    magnitude: "Tensor | None"

    @property
    def rank(self) -> int:
        """How many numbers stand between its two matrices."""
        return int(self.down.shape[0])

    @property
    def is_convolution(self) -> bool:
        """Whether its layer looks at more than one pixel."""
        return self.down.dim() == 4 and math.prod(self.down.shape[2:]) > 1

    @property
    def written_alpha(self) -> float:
        """The alpha for readers that divide by the rank: an rsLoRA divides by its root."""
        return self.alpha * math.sqrt(self.rank) if self.rslora else self.alpha

    def dora_scale(self) -> "Tensor | None":
        """Its magnitudes in the shape of the weight, (out, 1) or (out, 1, 1, 1)."""
        if self.magnitude is None:
            return None
        return self.magnitude.reshape(-1, *[1] * (self.down.dim() - 1))


def adapter_layers(pipe: Any, adapter: str) -> list[AdapterLayer]:
    """All layers that an adapter stands beside, in the networks' order, without gradients.

    Raises ModelError for an adapter that is not there or has what no LoRA file holds.
    """
    from peft.tuners.lora import LoraLayer

    found = []
    for part, network in pipe.components.items():
        network = getattr(network, "_orig_mod", network)  # compiled by torch
        if not hasattr(network, "named_modules"):
            continue
        for name, module in network.named_modules():
            if not isinstance(module, LoraLayer):
                continue
            if adapter in module.lora_embedding_A or module.lora_bias.get(adapter):
                raise ModelError(
                    f"Layer {name} of {part} has a bias or an embedding in adapter {adapter!r}, "
                    "which no LoRA file holds; train without."
                )
            if adapter in module.lora_A:
                found.append(_layer(part, name, module, adapter))
    if not found:
        raise ModelError(f"There is no adapter {adapter!r} on any part of this model.")
    if others := {layer.part for layer in found} - set(PARTS):
        raise ModelError(
            f"Adapter {adapter!r} is on {', '.join(sorted(others))}, for which LoRA files have no "
            f"names; train it on {', '.join(PARTS)} only."
        )
    return found


def _layer(part: str, name: str, module: Any, adapter: str) -> AdapterLayer:
    magnitude = None
    if adapter in module.lora_magnitude_vector:
        magnitude = module.lora_magnitude_vector[adapter].weight.detach().flatten()
    return AdapterLayer(
        part=part,
        name=name,
        down=module.lora_A[adapter].weight.detach(),
        up=module.lora_B[adapter].weight.detach(),
        alpha=float(module.lora_alpha[adapter]),
        rslora=bool(module.use_rslora.get(adapter)),
        magnitude=magnitude,
    )


def kohya_state(pipe: Any, adapter: str) -> State:
    """An adapter's tensors for a file; alphas and magnitudes in float32, the rest as trained."""
    import torch

    out: State = {}
    for layer in adapter_layers(pipe, adapter):
        if layer.part == "transformer" or hasattr(pipe, "transformer"):
            scaled = layer.up * (layer.written_alpha / layer.rank)
            out |= _peft_tensors(layer, scaled)
            continue
        stem = _stem(pipe, layer)
        out[f"{stem}.alpha"] = torch.tensor(layer.written_alpha, dtype=torch.float32)
        out[f"{stem}.lora_down.weight"] = layer.down
        out[f"{stem}.lora_up.weight"] = layer.up
        scale = layer.dora_scale()
        if scale is not None:
            out[f"{stem}.dora_scale"] = scale.float()
    return out


def peft_state(pipe: Any, adapter: str) -> State:
    """An adapter's tensors in the layout of diffusers and peft, whose alphas stand in metadata."""
    out: State = {}
    for layer in adapter_layers(pipe, adapter):
        out |= _peft_tensors(layer, layer.up)
    return out


def adapter_metadata(layers: list[AdapterLayer], *, scaled: bool) -> dict[str, Any]:
    """What diffusers writes as lora_adapter_metadata: peft's configuration of each part.

    scaled: the alphas are in the matrices already, and count as the ranks.
    """
    told: dict[str, Any] = {}
    for part in dict.fromkeys(layer.part for layer in layers):
        own = [layer for layer in layers if layer.part == part]
        ranks = {_pattern(layer): layer.rank for layer in own}
        alphas = {_pattern(layer): layer.rank if scaled else layer.alpha for layer in own}
        rank = Counter(ranks.values()).most_common(1)[0][0]
        alpha = Counter(alphas.values()).most_common(1)[0][0]
        config = {
            "r": rank,
            "lora_alpha": alpha,
            "rank_pattern": {name: each for name, each in ranks.items() if each != rank},
            "alpha_pattern": {name: each for name, each in alphas.items() if each != alpha},
            "target_modules": [_pattern(layer).removeprefix("^") for layer in own],
            "use_dora": any(layer.magnitude is not None for layer in own),
            "use_rslora": not scaled and any(layer.rslora for layer in own),
            "lora_bias": False,
            "bias": "none",
        }
        told |= {f"{part}.{key}": value for key, value in config.items()}
    return told


def _pattern(layer: AdapterLayer) -> str:
    """A layer for peft, which takes it for the end of a name unless told where names begin.

    Text encoders may have "text_model." before theirs or not, and no name is another's end.
    """
    if layer.part.startswith("text_encoder"):
        return layer.name.removeprefix(_TEXT)
    return f"^{layer.name}"


def _peft_tensors(layer: AdapterLayer, up: "Tensor") -> State:
    name = layer.name
    if layer.part.startswith("text_encoder"):
        name = _TEXT + name.removeprefix(_TEXT)
    stem = f"{layer.part}.{name}"
    out = {f"{stem}.lora_A.weight": layer.down, f"{stem}.lora_B.weight": up}
    if layer.magnitude is not None:
        # peft keeps a convolution's as it is spread over a picture.
        wide = layer.down.dim() == 4
        shape = (1, -1, 1, 1) if wide else (-1,)
        out[f"{stem}.lora_magnitude_vector"] = layer.magnitude.reshape(shape).float()
    return out


def _stem(pipe: Any, layer: AdapterLayer) -> str:
    """A layer of a UNet or of its text encoders as kohya's scripts call it."""
    from studio.models.originals.names import unet_name

    if layer.part == "unet":
        name = layer.name
        if hasattr(pipe, "text_encoder_2"):
            name = unet_name(name, pipe.unet.config)
        return "lora_unet_" + name.replace(".", "_")
    number = ""
    if hasattr(pipe, "text_encoder_2"):
        number = "2" if layer.part == "text_encoder_2" else "1"
    plain = layer.name.removeprefix(_TEXT)
    return f"lora_te{number}_text_model_" + plain.replace(".", "_")


def shape_words(layers: list[AdapterLayer]) -> tuple[tuple[int, float], tuple[int, float] | None]:
    """The commonest rank and alpha of linear layers, and of convolutions of many pixels."""

    def common(found: Iterator[AdapterLayer]) -> tuple[int, float] | None:
        counted = Counter((each.rank, each.written_alpha) for each in found).most_common(1)
        return counted[0][0] if counted else None

    wide = common(each for each in layers if each.is_convolution)
    plain = common(each for each in layers if not each.is_convolution)
    return plain or wide or (0, 0.0), wide
