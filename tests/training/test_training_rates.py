"""Rate curves against diffusers' and transformers', step by step."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from studio.models import torchvision_guard  # noqa: F401
from studio.training.rates import CYCLES, POWER, factor
from studio.training_requests import RateSchedule

RATE = 1e-3
THEIRS = {
    RateSchedule.CONSTANT: "constant_with_warmup",
    RateSchedule.LINEAR: "linear",
    RateSchedule.COSINE: "cosine",
    RateSchedule.COSINE_RESTARTS: "cosine_with_restarts",
    RateSchedule.POLYNOMIAL: "polynomial",
}


def optimiser():
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=RATE)


def theirs(make, sgd, steps, rising, name):
    more = {"num_cycles": CYCLES, "power": POWER} if make.__module__.startswith("diffusers") else {}
    if not more and name == "polynomial":
        more = {"scheduler_specific_kwargs": {"power": POWER, "lr_end": 0.0}}
    elif not more and name == "cosine_with_restarts":
        more = {"scheduler_specific_kwargs": {"num_cycles": CYCLES}}
    return make(name, sgd, num_warmup_steps=rising, num_training_steps=steps, **more)


def makers():
    from diffusers.optimization import get_scheduler as of_diffusers
    from transformers.optimization import get_scheduler as of_transformers

    return of_diffusers, of_transformers


@pytest.mark.parametrize("schedule", RateSchedule)
@pytest.mark.parametrize("of", [0, 1], ids=["diffusers", "transformers"])
@pytest.mark.parametrize(("steps", "warmup"), [(100, 0.1), (100, 0.0), (37, 0.05), (8, 0.5)])
def test_each_curve_is_theirs_step_by_step(schedule, of, steps, warmup):
    sgd = optimiser()
    rising = round(warmup * steps)
    curve = theirs(makers()[of], sgd, steps, rising, THEIRS[schedule])
    # diffusers' polynomial ends at 1e-7 instead of 0.
    nearly = 1e-7 / RATE if schedule is RateSchedule.POLYNOMIAL and not of else 1e-12
    for step in range(steps):
        wanted = curve.get_last_lr()[0] / RATE
        assert factor(step, steps, schedule, warmup) == pytest.approx(wanted, abs=nearly), step
        sgd.step()
        curve.step()


@given(
    st.integers(0, 10**6),
    st.integers(1, 10**6),
    st.sampled_from(RateSchedule),
    st.floats(0, 1),
)
def test_it_is_a_share_whatever_is_asked(step, steps, schedule, warmup):
    assert 0 <= factor(step, steps, schedule, warmup) <= 1


@pytest.mark.parametrize("schedule", RateSchedule)
def test_a_run_beyond_its_steps_does_not_rise_again(schedule):
    last = 1.0 if schedule is RateSchedule.CONSTANT else 0.0
    for step in (100, 101, 150, 10_000):
        assert factor(step, 100, schedule, 0.1) == pytest.approx(last, abs=1e-15)
