"""Noise, targets and weights against diffusers' own schedulers and training functions."""

import diffusers
import pytest
import torch
from diffusers.training_utils import compute_snr

from studio.training.noise import Diffusion, Flow, noise_of, process_of

BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}


def drawn(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Latents, noise, and positions that are those of whole timesteps."""
    chance = torch.Generator().manual_seed(seed)
    latents, noise = torch.randn(2, 6, 4, 8, 8, generator=chance)
    times = torch.tensor([0, 1, 250, 500, 998, 999])
    return latents, noise, (times.double() + 0.5) / 1000


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction", "sample"])
@pytest.mark.parametrize("rescaled", [False, True])
def test_a_diffusion_is_that_of_the_scheduler(kind, rescaled):
    scheduler = diffusers.DDPMScheduler(
        **BETAS, prediction_type=kind, rescale_betas_zero_snr=rescaled
    )
    latents, noise, places = drawn()
    told = Diffusion(scheduler.config).at(latents, noise, places)
    times = torch.tensor([0, 1, 250, 500, 998, 999])
    assert torch.equal(told.times, times)
    assert torch.equal(told.latents, scheduler.add_noise(latents, noise, times))
    wanted = {
        "epsilon": noise,
        "v_prediction": scheduler.get_velocity(latents, noise, times),
        "sample": latents,
    }
    assert torch.equal(told.target, wanted[kind])
    assert torch.equal(told.weights, torch.ones(6))


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction"])
def test_min_snr_weighs_as_the_scripts_of_diffusers(kind):
    scheduler = diffusers.DDPMScheduler(**BETAS, prediction_type=kind)
    latents, noise, places = drawn()
    told = Diffusion(scheduler.config, gamma=5.0).at(latents, noise, places)
    snr = compute_snr(scheduler, told.times)
    capped = torch.stack([snr, torch.full_like(snr, 5.0)], dim=1).min(dim=1)[0]
    wanted = capped / (snr if kind == "epsilon" else snr + 1)
    assert torch.allclose(told.weights, wanted, rtol=1e-5)
    assert told.weights[0] < 0.01


def test_without_any_signal_min_snr_stays_finite():
    scheduler = diffusers.DDPMScheduler(**BETAS, rescale_betas_zero_snr=True)
    latents, noise, places = drawn()
    assert torch.isfinite(Diffusion(scheduler.config, 5.0).at(latents, noise, places).weights).all()


def test_a_flow_goes_straight_with_the_shift_of_its_scheduler():
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0)
    latents, noise, _ = drawn()
    # The scheduler's own levels are those of shares 1, 0.999, ... of the way, shifted.
    shares = torch.tensor([1.0, 0.9, 0.5, 0.1, 0.02, 0.001], dtype=torch.float64)
    told = Flow(scheduler.config).at(latents, noise, shares)
    places = (1000 - shares * 1000).round().long()
    sigmas = scheduler.sigmas[places]
    assert torch.allclose(told.times.float(), scheduler.timesteps[places], atol=1e-2)
    wanted = (1 - sigmas)[:, None, None, None] * latents + sigmas[:, None, None, None] * noise
    assert torch.allclose(told.latents, wanted, atol=1e-5)
    assert torch.equal(told.target, noise - latents)


def test_a_shift_that_grows_with_the_size_is_left_to_the_sampler():
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=True)
    latents, noise, places = drawn()
    told = process_of(scheduler.config, flow=True).at(latents, noise, places)
    assert torch.allclose(told.times, (places * 1000).float())


def test_positions_are_spread_as_they_should_be():
    chance = torch.Generator().manual_seed(3)
    even = Diffusion(diffusers.DDPMScheduler(**BETAS).config)
    positions = torch.tensor([even.drawn(chance) for _ in range(4000)])
    assert positions.min() >= 0
    assert positions.max() < 1
    counts = torch.histc(positions, 10, 0, 1)
    assert (counts - 400).abs().max() < 80
    normal = Flow({})
    logits = torch.logit(torch.tensor([normal.drawn(chance) for _ in range(4000)]))
    assert abs(float(logits.mean())) < 0.06
    assert abs(float(logits.std()) - 1) < 0.04


def test_noise_has_unit_variance_and_what_is_asked_for_in_it():
    def noise(**more: float) -> torch.Tensor:
        return noise_of((4, 64, 64), torch.Generator().manual_seed(1), **more)

    plain = noise()
    assert torch.equal(plain, noise())
    assert abs(float(plain.std()) - 1) < 0.02
    moved = noise(offset=0.5) - plain
    assert torch.allclose(moved, moved.mean(dim=(1, 2), keepdim=True).expand_as(moved), atol=1e-6)
    assert moved.abs().max() > 0.05
    coarse = noise(multires=0.4)
    assert abs(float(coarse.std()) - 1) < 1e-4

    def neighbours(each: torch.Tensor) -> float:
        """How alike neighbours are."""
        return float((each[..., 1:] * each[..., :-1]).mean())

    assert abs(neighbours(plain)) < 0.03
    assert neighbours(coarse) > 0.05
    assert noise_of((4, 3, 5), torch.Generator(), multires=0.4).shape == (4, 3, 5)
