"""Linear layers with weights of 8 bits on a CPU: each row of weights has a scale of its own, and
inputs are rounded as they come (dynamic quantisation, as torch's own tools do it).

torch's operators are called directly: the tools around them are on their way out of torch.
"""

import warnings
from typing import Any

import torch
from torch import nn

_LARGEST = 63
"""Of a rounded weight. Where a processor adds two products in 16 bits (AVX2), either weights or
inputs may have but 7 bits; inputs have the larger tails: of margins between answer and "no answer"
the root mean square error was 0.63 so, and 1.24 the other way (MiniLM, 160 questions)."""


class Int8Linear(nn.Module):
    """A linear layer with rounded weights, on a CPU only."""

    def __init__(self, layer: nn.Linear):
        super().__init__()
        weight = layer.weight.detach().float()
        scales = (weight.abs().amax(dim=1) / _LARGEST).clamp_min(1e-12)
        bias = None if layer.bias is None else layer.bias.detach().float()
        with warnings.catch_warnings():
            # torch means to take these tensors away; until it does, they are the fastest it has.
            warnings.filterwarnings("ignore", message=".*quantized tensor creation.*")
            zeros = torch.zeros(len(scales), dtype=torch.long)
            rounded = torch.quantize_per_channel(weight, scales.double(), zeros, 0, torch.qint8)
            self._packed = torch.ops.quantized.linear_prepack(rounded, bias)
        self.packed_bytes = weight.numel() + 8 * len(weight)
        self.in_features = layer.in_features
        self.out_features = layer.out_features

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """The layer's output; states: ... x in_features, float32."""
        made: torch.Tensor = torch.ops.quantized.linear_dynamic(
            states, self._packed, reduce_range=False
        )
        return made


def can_quantise() -> bool:
    """Whether this torch still has the operators."""
    return hasattr(torch, "quantize_per_channel") and hasattr(torch.ops.quantized, "linear_dynamic")


def quantise(network: Any) -> None:
    """Put rounded layers in the place of linear ones, but of the head and of those that narrow.

    What goes into the narrowing half of a feed-forward layer has a few very large numbers, beside
    which the others would be rounded away.
    """
    for name, child in network.named_children():
        if type(child) is nn.Linear and 2 < child.out_features >= child.in_features:
            setattr(network, name, Int8Linear(child))
        else:
            quantise(child)
