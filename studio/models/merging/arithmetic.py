"""What merging and extracting do to one tensor: pure functions of float32 numbers."""

import numpy as np
import torch
from torch import Tensor

_EXACT = 512
"""Below so many rows or columns an exact decomposition takes less than a tenth of a second."""
_OVERSAMPLED = 16
_PASSES = 4


def weighted_sum(a: Tensor, b: Tensor, weight: float) -> Tensor:
    """(1 - weight) a + weight b; of any shape."""
    return (a * (1 - weight)).add_(b, alpha=weight)


def weighted_sum_of_three(a: Tensor, b: Tensor, c: Tensor, weight: float, other: float) -> Tensor:
    """(1 - weight - other) a + weight b + other c; of any shape."""
    return (a * (1 - weight - other)).add_(b, alpha=weight).add_(c, alpha=other)


def add_difference(a: Tensor, b: Tensor, c: Tensor, weight: float) -> Tensor:
    """a + weight (b - c): what b has learnt beyond c, added to a."""
    return torch.add(a, b - c, alpha=weight)


def low_rank(
    delta: Tensor, rank: int, quantile: float = 1.0, *, seed: int = 0
) -> tuple[Tensor, Tensor]:
    """The two matrices of at most a rank whose product is nearest to a layer's difference.

    delta: (out, in) or a convolution's (out, in, height, width). Returns up (out, r) and down
    (r, in), or (out, r, 1, 1) and (r, in, height, width). quantile: numbers beyond this share of
    all are clamped to it, as kohya-ss/sd-scripts does (networks/extract_lora_from_models.py); 1
    clamps none.
    """
    matrix = delta.flatten(1)
    rank = min(rank, *matrix.shape)
    if min(matrix.shape) <= max(_EXACT, 2 * rank):
        left, sizes, right = torch.linalg.svd(matrix, full_matrices=False)
    else:
        left, sizes, right = _randomised(matrix, rank, seed)
    up, down = left[:, :rank] * sizes[:rank], right[:rank]
    if quantile < 1:
        # torch.quantile refuses more than 16 million numbers.
        numbers = torch.cat([up.flatten(), down.flatten()]).numpy()
        limit = float(np.quantile(numbers, quantile))
        up, down = up.clamp(-limit, limit), down.clamp(-limit, limit)
    if delta.dim() == 4:
        return up[:, :, None, None], down.unflatten(1, delta.shape[1:])
    return up, down


def _randomised(matrix: Tensor, rank: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """The largest singular values by subspace iteration (Halko et al. 2011, arXiv 0909.4061).

    torch.svd_lowrank is the same, but draws from the generator that all of the process shares:
    the result would depend on what else runs.
    """
    noise = torch.Generator().manual_seed(seed)
    width = min(rank + _OVERSAMPLED, *matrix.shape)
    basis = torch.randn(matrix.shape[1], width, generator=noise)
    basis = torch.linalg.qr(matrix @ basis).Q
    for _ in range(_PASSES):
        basis = torch.linalg.qr(matrix.T @ basis).Q
        basis = torch.linalg.qr(matrix @ basis).Q
    left, sizes, right = torch.linalg.svd(basis.T @ matrix, full_matrices=False)
    return basis @ left, sizes, right
