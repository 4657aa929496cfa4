"""DoRAs whose magnitudes are of a layer's inputs, which peft has no layer for.

As LyCORIS and OneTrainer write them unless told otherwise (KohakuBlueleaf/LyCORIS,
lycoris/modules/locon.py): W' = (W + s B A) m / |W + s B A|, the norm over all outputs of an input.
The paper's (Liu et al. 2024, arXiv 2402.09353), which are over all inputs of an output, are peft's.
"""

from collections.abc import Mapping
from typing import Any

import torch
from peft.tuners.lora.layer import LoraVariant
from torch import Tensor, nn


class InputMagnitudes(nn.Module):
    """What stands in a layer's lora_magnitude_vector. scale: (in,) of its adapter."""

    def __init__(self, scale: Tensor):
        super().__init__()
        self.weight = nn.Parameter(scale, requires_grad=False)


class InputDora(LoraVariant):
    """A layer's arithmetic for one adapter: since m stands at inputs, they are multiplied by it."""

    @staticmethod
    def forward(module: Any, active_adapter: str, x: Tensor, result: Tensor, **_: Any) -> Tensor:
        """The layer's result with what the adapter changes of it.

        x: (..., in) or (pictures, in, height, width), in the format of the matrices.
        """
        base = module.get_base_layer()
        down, up = module.lora_A[active_adapter], module.lora_B[active_adapter]
        scaling = module.scaling[active_adapter]
        weight = base.weight.to(x.dtype)
        rank = down.weight.shape[0]
        delta = (up.weight.reshape(-1, rank) @ down.weight.reshape(rank, -1)).reshape(weight.shape)
        others = (0, *range(2, weight.dim()))
        norm = torch.linalg.vector_norm(weight + scaling * delta, dim=others)
        scale = module.lora_magnitude_vector[active_adapter].weight.to(x.dtype) / norm
        if weight.dim() == 4:
            scale = scale[:, None, None]
            changed = nn.functional.conv2d(
                x * (scale - 1),
                weight,
                stride=base.stride,
                padding=base.padding,
                dilation=base.dilation,
                groups=base.groups,
            )
        else:
            changed = nn.functional.linear(x * (scale - 1), weight)
        return result + changed + up(down(x * scale)) * scaling


def put_on(network: Any, adapter: str, inputs: Mapping[str, Tensor]) -> None:
    """Make the layers of an adapter that a network wears already those of such a DoRA.

    inputs: magnitudes by layer, of any shape with as many numbers as the layer has inputs.
    """
    for name, scale in inputs.items():
        layer: Any = network.get_submodule(name)
        like = layer.lora_A[adapter].weight
        numbers = scale.flatten().to(like.device, like.dtype)
        if len(numbers) != layer.get_base_layer().weight.shape[1]:
            raise ValueError(f"{len(numbers)} magnitudes for {name}")
        if not layer.lora_magnitude_vector:
            layer.adapter_layer_names = (*layer.adapter_layer_names, "lora_magnitude_vector")
        layer.lora_magnitude_vector[adapter] = InputMagnitudes(numbers)
        layer.lora_variant[adapter] = InputDora()
