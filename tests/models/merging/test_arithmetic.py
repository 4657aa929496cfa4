"""Sums and differences against float64, and low-rank matrices against an exact decomposition."""

import pytest
import torch

from studio.models.merging import arithmetic
from studio.models.merging.arithmetic import low_rank


def numbers(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
def test_sums_and_differences(weight: float) -> None:
    a, b, c = (numbers(5, 7, seed=seed) for seed in range(3))
    x, y, z = (each.double() for each in (a, b, c))
    close = torch.testing.assert_close
    close(
        arithmetic.weighted_sum(a, b, weight),
        ((1 - weight) * x + weight * y).float(),
    )
    close(
        arithmetic.weighted_sum_of_three(a, b, c, weight, 0.25),
        ((1 - weight - 0.25) * x + weight * y + 0.25 * z).float(),
    )
    close(arithmetic.add_difference(a, b, c, weight), (x + weight * (y - z)).float())


def test_a_weight_at_its_end_gives_a_parent_to_the_bit() -> None:
    a, b = numbers(9), numbers(9, seed=1)
    assert torch.equal(arithmetic.weighted_sum(a, b, 0.0), a)
    assert torch.equal(arithmetic.weighted_sum(a, b, 1.0), b)


@pytest.mark.parametrize("shape", [(24, 40), (40, 24), (16, 8, 3, 3), (16, 8, 1, 1)])
def test_a_difference_of_low_rank_is_found_again(shape: tuple[int, ...]) -> None:
    inner = shape[1] * (shape[2] * shape[3] if len(shape) == 4 else 1)
    delta = (numbers(shape[0], 4) @ numbers(4, inner, seed=1)).reshape(shape)
    up, down = low_rank(delta, 4)
    assert up.shape == ((shape[0], 4, 1, 1) if len(shape) == 4 else (shape[0], 4))
    assert down.shape == (4, *shape[1:])
    made = (up.flatten(1) @ down.flatten(1)).reshape(shape)
    torch.testing.assert_close(made, delta, atol=1e-4, rtol=1e-4)


def test_a_rank_above_the_layers_own_is_cut() -> None:
    delta = numbers(6, 10)
    up, down = low_rank(delta, 64)
    assert (up.shape, down.shape) == ((6, 6), (6, 10))
    torch.testing.assert_close(up @ down, delta, atol=1e-5, rtol=1e-4)


def test_large_ones_are_as_near_as_the_exact_ones_and_always_the_same() -> None:
    delta = numbers(600, 16) @ numbers(16, 700, seed=1) + 0.5 * numbers(600, 700, seed=2)
    left, sizes, right = torch.linalg.svd(delta.double(), full_matrices=False)
    exact = (left[:, :16] * sizes[:16] @ right[:16] - delta).norm()
    up, down = low_rank(delta, 16)
    assert (up @ down - delta).norm() < 1.001 * exact
    state = torch.random.get_rng_state()
    again = low_rank(delta, 16)
    assert torch.equal(up, again[0])
    assert torch.equal(down, again[1])
    assert torch.equal(torch.random.get_rng_state(), state), "nobody else's numbers are drawn"


def test_clamping_is_kohyas() -> None:
    """As in networks/extract_lora_from_models.py: one limit for both matrices, on both sides."""
    delta = numbers(20, 30)
    left, sizes, right = torch.linalg.svd(delta, full_matrices=False)
    up, down = left[:, :4] @ torch.diag(sizes[:4]), right[:4]
    limit = torch.quantile(torch.cat([up.flatten(), down.flatten()]), 0.9)
    mine = low_rank(delta, 4, 0.9)
    torch.testing.assert_close(mine[0], up.clamp(-limit, limit))
    torch.testing.assert_close(mine[1], down.clamp(-limit, limit))
