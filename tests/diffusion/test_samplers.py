"""The table of samplers: what it offers is what diffusers does, and every one makes pictures."""

import inspect
import itertools
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from judge.judge import Judge
from PIL import Image

from studio.diffusion.denoise import Step, denoise
from studio.diffusion.guidance import Conditions
from studio.diffusion.resolve import resolve_generation
from studio.diffusion.samplers import SAMPLERS, build_scheduler, check_sampler, check_steps
from studio.errors import RequestError
from studio.models.catalogue import Catalogue
from studio.models.upscalers import UpscalerShelf
from studio.requests import GenerationRequest, Sampler, Schedule
from studio.services import Services

SHELF = UpscalerShelf(Path("no such folder"))

STABLE_DIFFUSION = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "steps_offset": 1,
    "set_alpha_to_one": False,
}
"""As in Stable Diffusion 1.5's scheduler, in part: the rest is left to the class's defaults."""
CONFIGS: dict[str, Any] = {
    "PNDM leading": diffusers.PNDMScheduler(**STABLE_DIFFUSION).config,
    # The folder of this model states neither spacing nor schedule nor algorithm.
    "Euler defaults": diffusers.EulerDiscreteScheduler.from_config(STABLE_DIFFUSION).config,
    "DPM++ trailing v": diffusers.DPMSolverMultistepScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type="v_prediction",
        timestep_spacing="trailing",
        steps_offset=1,
    ).config,
}
OFFERED = [(sampler, schedule) for sampler in Sampler for schedule in SAMPLERS[sampler].schedules]
SPACED_BY_SIGMA = [
    (sampler, schedule)
    for sampler, schedule in OFFERED
    if schedule in (Schedule.KARRAS, Schedule.EXPONENTIAL, Schedule.BETA)
]
SIGMA_MIN, SIGMA_MAX = 0.0292, 14.6146
"""Of Stable Diffusion's betas, as k-diffusion's `get_sigmas_karras` is given them."""


def noise_levels(scheduler: Any) -> np.ndarray:
    """What the run goes through: sigmas, or timesteps where a class has none."""
    own = getattr(scheduler, "sigmas", None)
    return np.asarray(scheduler.timesteps if own is None else own, dtype=np.float64)


def evaluated_sigmas(scheduler: Any) -> np.ndarray:
    """The noise levels at which the denoiser is asked, without repetitions."""
    sigmas = noise_levels(scheduler)[:-1]
    return sigmas[(np.diff(sigmas, prepend=np.inf) != 0) & (sigmas > 0)]


def test_table_covers_every_sampler_with_a_class_of_diffusers() -> None:
    assert set(SAMPLERS) == set(Sampler)
    for entry in SAMPLERS.values():
        known = inspect.signature(getattr(diffusers, entry.scheduler)).parameters
        assert set(entry.fixed) <= set(known)


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_schedules_are_known_to_the_class_and_change_the_noise_levels(config: Any) -> None:
    unchanged = {
        sampler: build_scheduler(sampler, Schedule.AUTOMATIC, config, 10) for sampler in Sampler
    }
    for sampler, schedule in OFFERED:
        scheduler = build_scheduler(sampler, schedule, config, 10)
        automatic = unchanged[sampler]
        assert type(scheduler).__name__ == SAMPLERS[sampler].scheduler
        levels, before = noise_levels(scheduler), noise_levels(automatic)
        assert np.isfinite(levels).all()
        own = automatic.config.get("timestep_spacing")
        if schedule is Schedule.AUTOMATIC or (
            schedule is Schedule.SGM_UNIFORM and own == "trailing"
        ):
            assert np.array_equal(levels, before)
        else:
            assert not np.allclose(levels, before, rtol=1e-3), (sampler, schedule)


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_what_is_fixed_holds_whatever_the_model_states(config: Any) -> None:
    for sampler, entry in SAMPLERS.items():
        scheduler = build_scheduler(sampler, Schedule.AUTOMATIC, config, 10)
        for name, value in entry.fixed.items():
            assert scheduler.config[name] == value, (sampler, name)
        assert not scheduler.config.get("clip_sample", False), sampler
        assert not scheduler.config.get("thresholding", False), sampler


@pytest.mark.parametrize(
    "config",
    [diffusers.EulerDiscreteScheduler().config, diffusers.DDIMScheduler(beta_end=0.03).config],
    ids=["defaults", "own end"],
)
def test_noise_process_is_the_models_even_where_it_is_its_classs_default(config: Any) -> None:
    model = diffusers.DDPMScheduler(beta_end=config["beta_end"])
    for sampler in Sampler:
        scheduler = build_scheduler(sampler, Schedule.AUTOMATIC, config, 10)
        assert torch.allclose(scheduler.alphas_cumprod, model.alphas_cumprod), sampler


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_karras_exponential_and_beta_are_those_of_k_diffusion(config: Any) -> None:
    from scipy.stats import beta

    count = 12
    ramp = np.linspace(0, 1, count)
    low, high = SIGMA_MIN ** (1 / 7), SIGMA_MAX ** (1 / 7)
    wanted = {
        Schedule.KARRAS: (high + ramp * (low - high)) ** 7,
        Schedule.EXPONENTIAL: np.exp(np.linspace(np.log(SIGMA_MAX), np.log(SIGMA_MIN), count)),
        Schedule.BETA: SIGMA_MIN + beta.ppf(1 - ramp, 0.6, 0.6) * (SIGMA_MAX - SIGMA_MIN),
    }
    for sampler, schedule in SPACED_BY_SIGMA:
        sigmas = evaluated_sigmas(build_scheduler(sampler, schedule, config, count))
        assert sigmas == pytest.approx(wanted[schedule], rel=2e-3), (sampler, schedule)


def test_sgm_uniform_leaves_out_the_last_of_equal_timesteps() -> None:
    wanted = np.linspace(999, 0, 11)[:-1]
    for sampler, entry in SAMPLERS.items():
        if entry.trailing:
            scheduler = build_scheduler(sampler, Schedule.SGM_UNIFORM, CONFIGS["PNDM leading"], 10)
            steps = sorted(
                {float(t) for t in scheduler.timesteps if float(t) % 1 == 0}, reverse=True
            )
            if sampler not in (Sampler.DPM2, Sampler.DPM2_A):
                assert steps == pytest.approx(wanted, abs=1), sampler
            assert steps[0] == 999, sampler


@pytest.mark.parametrize("sampler", Sampler)
def test_noise_ends_at_zero_or_at_the_least_of_the_model(sampler: Sampler) -> None:
    scheduler = build_scheduler(sampler, Schedule.AUTOMATIC, CONFIGS["PNDM leading"], 20)
    if hasattr(scheduler, "sigmas"):
        # DEIS divides by the last sigma and keeps what hardly shows: 3% of noise.
        least = SIGMA_MIN if sampler is Sampler.DEIS else 0
        assert float(scheduler.sigmas[-1]) == pytest.approx(least, abs=1e-4)


@pytest.mark.parametrize("sampler", Sampler)
def test_schedules_that_a_sampler_lacks_are_refused_at_the_field(sampler: Sampler) -> None:
    for schedule in set(Schedule) - set(SAMPLERS[sampler].schedules):
        with pytest.raises(RequestError, match="choose one of Automatic") as caught:
            check_sampler(sampler, schedule, flow=False)
        assert caught.value.field == "schedule"
        with pytest.raises(RequestError):
            build_scheduler(sampler, schedule, CONFIGS["PNDM leading"], 10)


def test_refusals_come_at_submission() -> None:
    catalogue = Catalogue(Path("/nonexistent"))
    karras = GenerationRequest(sampler=Sampler.DDIM, schedule=Schedule.KARRAS)
    with pytest.raises(RequestError, match="'Karras' does not exist for sampler 'DDIM'"):
        resolve_generation(karras, catalogue, SHELF)
    many = GenerationRequest(sampler=Sampler.LCM, steps=51)
    with pytest.raises(RequestError, match="at most 50 steps, but is asked for 51") as caught:
        resolve_generation(many, catalogue, SHELF)
    assert caught.value.field == "steps"


@pytest.mark.parametrize("sampler", [Sampler.LCM, Sampler.TCD])
def test_most_steps_are_those_of_the_class(sampler: Sampler) -> None:
    most = SAMPLERS[sampler].most_steps
    assert most == 50
    check_steps(sampler, most)
    build_scheduler(sampler, Schedule.AUTOMATIC, CONFIGS["PNDM leading"], most)
    with pytest.raises(RequestError):
        check_steps(sampler, most + 1)


# --- a denoiser that knows the answer ---------------------------------------------------------

ANSWER = torch.randn(1, 4, 4, 4, generator=torch.Generator().manual_seed(3)) * 0.8
LEFT_OVER = {Sampler.DDIM, Sampler.PNDM, Sampler.TCD, Sampler.DEIS}
"""These end at the least noise that the model knows, not at none."""


def all_knowing(scheduler: Any) -> Any:
    """The prediction for a world of one picture, exact for any noise level."""
    log_sigmas = ((1 - scheduler.alphas_cumprod) / scheduler.alphas_cumprod).log() / 2

    def predict(noisy: torch.Tensor, t: torch.Tensor, conditions: Conditions) -> torch.Tensor:
        low = int(t)
        high = min(low + 1, len(log_sigmas) - 1)
        sigma = torch.lerp(log_sigmas[low], log_sigmas[high], float(t) - low).exp()
        alpha = 1 / (1 + sigma**2).sqrt()
        epsilon = (noisy - alpha * ANSWER) / (sigma * alpha)
        if scheduler.config.prediction_type == "v_prediction":
            return alpha * epsilon - sigma * alpha * ANSWER
        return epsilon

    return predict


@pytest.mark.parametrize(
    ("name", "steps"),
    [*itertools.product(CONFIGS, (1, 2, 7)), ("PNDM leading", 20), ("Euler defaults", 150)],
)
def test_every_sampler_finds_the_answer_in_any_number_of_steps(name: str, steps: int) -> None:
    config = CONFIGS[name]
    conditions = Conditions(torch.zeros(2, 1, 1), None, (1.0,))
    for sampler, schedule in OFFERED:
        if steps > (SAMPLERS[sampler].most_steps or steps):
            continue
        scheduler = build_scheduler(sampler, schedule, config, steps)
        guesses: list[torch.Tensor] = []

        def keep(step: Step, guesses: list[torch.Tensor] = guesses) -> bool:
            guesses.append(step.clean())
            return True

        generator = torch.Generator().manual_seed(5)
        noise = torch.randn(ANSWER.shape, generator=generator)
        found = denoise(
            all_knowing(scheduler), scheduler, noise, lambda _: conditions, 1.0, [generator], keep
        )
        assert found is not None
        assert len(guesses) == len(scheduler.timesteps)
        for guess in guesses:
            assert torch.allclose(guess, ANSWER, atol=0.02), (sampler, schedule)
        bound = 0.5 if sampler in LEFT_OVER else 2e-3
        assert (found - ANSWER).abs().max() < bound, (sampler, schedule)


@pytest.mark.parametrize("steps", [1, 20])
@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_a_run_starts_from_all_the_noise(config: Any, steps: int) -> None:
    for sampler, schedule in OFFERED:
        scheduler = build_scheduler(sampler, schedule, config, steps)
        assert float(scheduler.timesteps[0]) >= (900 if steps > 1 else 999), (sampler, schedule)


# --- pictures -----------------------------------------------------------------------------------


@pytest.mark.slow
def test_every_sampler_makes_what_the_prompt_says(services: Services, judge: Judge) -> None:
    """LCM and TCD too: with a model that was not distilled they take the usual steps and CFG scale.
    Their own 4 to 8 steps at CFG 1 give blurred pictures of it.
    """
    wrong = []
    seen = set()
    for sampler in Sampler:
        request = GenerationRequest(
            prompt="a red apple", sampler=sampler, steps=20, seed=1, preview_every=0
        )
        (output,) = services.queue.outputs(services.run_now(request))
        with Image.open(services.outputs.path(output)) as image:
            assert judge.is_picture(image), sampler
            seen.add(image.convert("RGB").tobytes())
            if not judge.recognises(image, "apple") or judge.colour(image) != "red":
                wrong.append((sampler.value, judge.colour(image), judge.rank(image)[:3]))
    assert not wrong
    assert len(seen) == len(Sampler)
