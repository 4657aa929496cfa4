"""Seeds and noise: a picture's noise is its own, whatever is made beside it."""

import math

import pytest
import torch

from studio.diffusion.noise import Seeds, draw, seeds_of, slerp
from studio.requests import SEED_LIMIT

SHAPE = (4, 16, 16)


def noise(seeds: Seeds) -> torch.Tensor:
    return draw(seeds, SHAPE)[0]


def test_seeds_count_up_and_wrap_at_the_limit() -> None:
    assert seeds_of(5, 9, 0.0, 3) == [Seeds(5), Seeds(6), Seeds(7)]
    assert [each.seed for each in seeds_of(SEED_LIMIT, 0, 0.0, 2)] == [SEED_LIMIT, 0]


def test_variation_seeds_count_up_and_the_seed_stays() -> None:
    assert seeds_of(5, 9, 0.25, 2) == [Seeds(5, 9, 0.25), Seeds(5, 10, 0.25)]
    varied = seeds_of(5, SEED_LIMIT, 0.25, 2)
    assert [each.variation_seed for each in varied] == [SEED_LIMIT, 0]


def test_a_picture_of_a_batch_has_the_noise_of_its_own_seed() -> None:
    for index, seeds in enumerate(seeds_of(40, 0, 0.0, 4)):
        assert torch.equal(noise(seeds), noise(Seeds(40 + index)))


def test_noise_is_torchs_for_that_seed_and_unit_gaussian() -> None:
    large, _ = draw(Seeds(11), (4, 128, 128))
    wanted = torch.randn(4, 128, 128, generator=torch.Generator("cpu").manual_seed(11))
    assert torch.equal(large, wanted)
    assert large.mean().abs() < 0.02
    assert large.std() == pytest.approx(1, abs=0.02)


def test_noise_that_samplers_add_comes_after_the_first_and_is_no_repetition() -> None:
    first, generator = draw(Seeds(11), SHAPE)
    second = torch.randn(SHAPE, generator=generator)
    both = torch.randn(2, *SHAPE, generator=torch.Generator("cpu").manual_seed(11))
    assert torch.equal(torch.stack([first, second]), both)


def test_largest_seed_can_be_drawn() -> None:
    assert not torch.equal(noise(Seeds(SEED_LIMIT)), noise(Seeds(SEED_LIMIT - 1)))


def test_variation_goes_from_one_noise_to_the_other() -> None:
    start, end = noise(Seeds(1)), noise(Seeds(2))
    assert torch.equal(noise(Seeds(1, 2, 0.0)), start)
    assert torch.allclose(noise(Seeds(1, 2, 1.0)), end, atol=1e-5)
    distances = [
        float((noise(Seeds(1, 2, strength)) - start).norm()) for strength in (0.1, 0.3, 0.6, 1.0)
    ]
    assert distances == sorted(distances)


def test_variation_leaves_the_generator_of_the_seed_alone() -> None:
    _, plain = draw(Seeds(1), SHAPE)
    _, varied = draw(Seeds(1, 2, 0.5), SHAPE)
    assert torch.equal(plain.get_state(), varied.get_state())


@pytest.mark.parametrize("amount", [0.0, 0.2, 0.5, 0.9, 1.0])
def test_slerp_keeps_the_length_and_divides_the_angle(amount: float) -> None:
    generator = torch.Generator().manual_seed(0)
    start, end = (torch.randn(SHAPE, generator=generator, dtype=torch.float64) for _ in range(2))
    start, end = start / start.norm(), end / end.norm()
    between = slerp(start, end, amount)
    whole = math.acos(float((start * end).sum()))
    assert float(between.norm()) == pytest.approx(1, abs=1e-9)
    angle = math.acos(min(1.0, float((start * between).sum())))
    assert angle == pytest.approx(amount * whole, abs=1e-6)


def test_slerp_of_a_known_quarter_turn() -> None:
    x, y = torch.tensor([2.0, 0.0]), torch.tensor([0.0, 2.0])
    assert torch.allclose(slerp(x, y, 0.5), torch.full((2,), math.sqrt(2)))


def test_slerp_between_equals_is_that_point() -> None:
    start = torch.randn(SHAPE, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(slerp(start, start, 0.3), start)


def test_half_way_noise_keeps_its_variance() -> None:
    half, _ = draw(Seeds(1, 2, 0.5), (4, 64, 64))
    assert float(half.std()) == pytest.approx(1, abs=0.03)
