"""Muon: momentum, made orthogonal (Jordan et al., https://kellerjordan.github.io/posts/muon).

torch.optim.Muon takes matrices only; most of a UNet's weights are kernels, taken here as matrices
of outputs by everything else. Scaled as in Liu et al. 2025, "Muon is scalable for LLM training", so
that rates and decay of AdamW fit.
"""

from collections.abc import Iterable

import torch

STEPS = 5
_QUINTIC = (3.4445, -4.7750, 2.0315)


def orthogonalised(matrix: torch.Tensor, steps: int = STEPS) -> torch.Tensor:
    """A matrix with the same singular vectors and singular values near one (Newton-Schulz).

    Every step multiplies from the left by a polynomial of the Gram matrix. These are gathered and
    applied once: kernels are many times wider than high, so the Gram matrix is the cheap side.
    """
    a, b, c = _QUINTIC
    x = matrix.T if matrix.shape[0] > matrix.shape[1] else matrix
    x = x / (x.norm() + 1e-7)
    gram = x @ x.T
    eye = torch.eye(len(gram), dtype=gram.dtype)
    left = eye
    for _ in range(steps):
        factor = a * eye + torch.addmm(gram, gram, gram, beta=b, alpha=c)
        left = factor @ left
        gram = factor @ factor @ gram
    x = left @ x
    return x.T if matrix.shape[0] > matrix.shape[1] else x


class Muon(torch.optim.Optimizer):
    """Muon with Nesterov momentum and decoupled weight decay for weights of two or more axes."""

    def __init__(
        self,
        params: Iterable[torch.nn.Parameter] | Iterable[dict],
        lr: float = 3e-4,
        momentum: float = 0.95,
        weight_decay: float = 0.01,
    ):
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure=None) -> None:  # type: ignore[override]
        """One step; gradients must be there for all weights that are to move."""
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                state = self.state[weight]
                if "momentum_buffer" not in state:
                    state["momentum_buffer"] = torch.zeros_like(weight)
                buffer = state["momentum_buffer"]
                buffer.lerp_(weight.grad, 1 - group["momentum"])
                update = weight.grad.lerp(buffer, group["momentum"])
                flat = update.reshape(len(update), -1)
                scale = 0.2 * max(flat.shape) ** 0.5
                weight.mul_(1 - group["lr"] * group["weight_decay"])
                new = orthogonalised(flat).view(update.shape)
                weight.add_(new, alpha=-group["lr"] * scale)
