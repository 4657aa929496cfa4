"""The running mean of weights that is kept in the end (Polyak and Juditsky 1992)."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch


class Ema:
    """Running means of named weights. decay: share of the old mean in each step.

    At first the decay is smaller, (1 + step) / (10 + step), so that the beginning is forgotten.
    """

    def __init__(self, weights: Mapping[str, torch.Tensor], decay: float):
        self._decay = decay
        self.means = {name: each.detach().clone().float() for name, each in weights.items()}

    @torch.no_grad()
    def update(self, weights: Mapping[str, torch.Tensor], step: int) -> None:
        """Take in the weights after a step, counted from 1."""
        decay = min(self._decay, (1 + step) / (10 + step))
        for name, mean in self.means.items():
            mean.lerp_(weights[name].detach().float(), 1 - decay)

    @contextmanager
    def worn(self, weights: Mapping[str, torch.Tensor]) -> Iterator[None]:
        """While the block runs, the weights are the means."""
        with torch.no_grad():
            kept = {name: weights[name].detach().clone() for name in self.means}
            for name, mean in self.means.items():
                weights[name].copy_(mean)
            try:
                yield
            finally:
                for name, own in kept.items():
                    weights[name].copy_(own)
