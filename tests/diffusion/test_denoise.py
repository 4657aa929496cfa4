"""The loop against diffusers' own pipelines, latents by latents, and the parts it is made of."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from PIL import Image
from recorder import Studio, clean_environment, recorded
from tiny_models import tiny_model

from studio.diffusion.clip import ClipTexts
from studio.diffusion.denoise import Step, denoise, predicted_clean
from studio.diffusion.guidance import Conditions, PromptGuidance, guided
from studio.diffusion.noise import Seeds, draw
from studio.diffusion.samplers import build_scheduler
from studio.models.catalogue import Catalogue
from studio.requests import GenerationRequest, Sampler, Schedule
from studio.services import Services, build_services
from studio.settings import Settings

STEPS = 6
CFG = 4.0
SEEDS = (21, 22)
PROMPT, NEGATIVE = "a red apple, leaf", "blurry"

REFERENCES: dict[Sampler, tuple[str, dict[str, Any]]] = {
    Sampler.DPMPP_2M: ("DPMSolverMultistepScheduler", {"algorithm_type": "dpmsolver++"}),
    Sampler.DPMPP_2M_SDE: ("DPMSolverMultistepScheduler", {"algorithm_type": "sde-dpmsolver++"}),
    Sampler.EULER: ("EulerDiscreteScheduler", {}),
    Sampler.EULER_A: ("EulerAncestralDiscreteScheduler", {}),
    Sampler.DDIM: ("DDIMScheduler", {}),
    Sampler.DDPM: ("DDPMScheduler", {}),
    Sampler.HEUN: ("HeunDiscreteScheduler", {}),
    Sampler.UNIPC: ("UniPCMultistepScheduler", {}),
    Sampler.LMS: ("LMSDiscreteScheduler", {}),
    Sampler.PNDM: ("PNDMScheduler", {"skip_prk_steps": True}),
    Sampler.LCM: ("LCMScheduler", {}),
}
"""What a user of diffusers would put into a pipeline, written out without our table."""


def reference(
    pipe: Any, scheduler: Any, size: tuple[int, int], factor: int, **prompts: Any
) -> tuple[list[torch.Tensor], list[np.ndarray]]:
    """Latents after every evaluation and the pictures, by the pipeline's own `__call__`."""
    own, pipe.scheduler = pipe.scheduler, scheduler
    seen: list[torch.Tensor] = []

    def keep(_pipe: Any, _index: int, _t: Any, state: dict[str, Any]) -> dict[str, Any]:
        seen.append(state["latents"].clone())
        return state

    shape = (pipe.vae.config.latent_channels, size[1] // factor, size[0] // factor)
    pairs = [draw(Seeds(seed), shape) for seed in SEEDS]
    try:
        result = pipe(
            **prompts,
            width=size[0],
            height=size[1],
            num_inference_steps=STEPS,
            guidance_scale=CFG,
            num_images_per_prompt=len(SEEDS),
            latents=torch.stack([noise for noise, _ in pairs]),
            generator=[generator for _, generator in pairs],
            callback_on_step_end=keep,
        )
    finally:
        pipe.scheduler = own
    return seen, [np.asarray(image) for image in result.images]


@pytest.mark.parametrize("sampler", REFERENCES)
def test_every_step_is_that_of_stable_diffusion_pipeline(studio: Studio, sampler: Sampler) -> None:
    name, options = REFERENCES[sampler]
    scheduler_class = getattr(diffusers, name)
    with studio.borrow() as pipe:
        scheduler = scheduler_class.from_config(pipe.scheduler.config, **options)
        wanted, images = reference(
            pipe, scheduler, (64, 64), 8, prompt=PROMPT, negative_prompt=NEGATIVE
        )
    with recorded(scheduler_class) as ours:
        made = studio.make(
            prompt=PROMPT,
            negative_prompt=NEGATIVE,
            sampler=sampler,
            steps=STEPS,
            cfg_scale=CFG,
            seed=SEEDS[0],
            batch_size=len(SEEDS),
            width=64,
            height=64,
        )
    assert len(ours) == len(wanted) >= STEPS
    for index, (mine, theirs) in enumerate(zip(ours, wanted, strict=True)):
        assert torch.allclose(mine, theirs, atol=1e-4, rtol=1e-4), f"evaluation {index}"
    for mine, theirs in zip(made.images, images, strict=True):
        assert np.abs(mine.astype(int) - theirs).max() <= 1


def test_without_guidance_the_negative_prompt_is_not_evaluated(studio: Studio) -> None:
    sizes = []
    with studio.borrow() as pipe:
        handle = pipe.unet.register_forward_pre_hook(lambda _, args: sizes.append(len(args[0])))
        try:
            with_word = studio.make(prompt=PROMPT, negative_prompt=NEGATIVE, cfg_scale=1, steps=2)
            without = studio.make(prompt=PROMPT, cfg_scale=1, steps=2)
            studio.make(prompt=PROMPT, cfg_scale=1.5, steps=2)
            studio.make(prompt="a AND b", cfg_scale=1, steps=2, batch_size=2)
        finally:
            handle.remove()
    assert sizes == [1, 1, 1, 1, 2, 2, 6, 6]
    assert np.array_equal(with_word.images[0], without.images[0])


# --- Stable Diffusion XL, tiny and untrained ----------------------------------------------------


@pytest.fixture(scope="module")
def xl_services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    """Services whose data folder holds the tiny XL model."""
    folder = tmp_path_factory.mktemp("xl")
    embedded = Catalogue(Path("/nonexistent")).get("")
    tiny_model("sdxl", folder / "models" / "tiny-xl", embedded.path / "tokenizer")
    with pytest.MonkeyPatch.context() as patch:
        clean_environment(patch)
        built = build_services(Settings(data_dir=folder, device="cpu", dtype="float32"))
    yield built
    built.stop()


@pytest.mark.parametrize(
    ("negative", "size"), [("blurry", (64, 64)), ("", (96, 64))], ids=["negative", "none, wide"]
)
def test_every_step_is_that_of_stable_diffusion_xl_pipeline(
    xl_services: Services, negative: str, size: tuple[int, int]
) -> None:
    entry = xl_services.catalogue.usable("tiny-xl")
    pipe = diffusers.StableDiffusionXLPipeline.from_pretrained(entry.path)
    pipe.set_progress_bar_config(disable=True)
    scheduler = diffusers.EulerAncestralDiscreteScheduler.from_config(pipe.scheduler.config)
    wanted, images = reference(
        pipe, scheduler, size, entry.factor, prompt=PROMPT, negative_prompt=negative or None
    )
    assert min(image.std() for image in images) > 5, "a flat picture would prove nothing"
    with recorded(diffusers.EulerAncestralDiscreteScheduler) as ours:
        job = xl_services.run_now(
            GenerationRequest(
                model="tiny-xl",
                prompt=PROMPT,
                negative_prompt=negative,
                sampler=Sampler.EULER_A,
                steps=STEPS,
                cfg_scale=CFG,
                seed=SEEDS[0],
                batch_size=len(SEEDS),
                width=size[0],
                height=size[1],
            )
        )
    assert xl_services.queue.get(job).reason == ""
    for mine, theirs in zip(ours, wanted, strict=True):
        assert torch.allclose(mine, theirs, atol=1e-4, rtol=1e-4)
    for output, theirs in zip(xl_services.queue.outputs(job), images, strict=True):
        with Image.open(xl_services.outputs.path(output)) as image:
            assert np.abs(np.asarray(image).astype(int) - theirs).max() <= 1


# --- the parts ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction", "sample"])
@pytest.mark.parametrize("t", [0.0, 1.0, 250.0, 600.0, 998.0])
def test_predicted_clean_gives_back_what_noise_was_added_to(kind: str, t: float) -> None:
    scheduler = diffusers.DDPMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", prediction_type=kind
    )
    generator = torch.Generator().manual_seed(0)
    clean, noise = (
        torch.randn(2, 4, 8, 8, generator=generator, dtype=torch.float64) for _ in range(2)
    )
    alpha_bar = scheduler.alphas_cumprod[int(t)].double()
    noisy = alpha_bar.sqrt() * clean + (1 - alpha_bar).sqrt() * noise
    prediction = {
        "epsilon": noise,
        "v_prediction": alpha_bar.sqrt() * noise - (1 - alpha_bar).sqrt() * clean,
        "sample": clean,
    }[kind]
    found = predicted_clean(scheduler, noisy, prediction, torch.tensor(t))
    assert torch.allclose(found, clean, atol=1e-4)


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("sampler", [Sampler.EULER, Sampler.DDIM, Sampler.DPMPP_2M])
def test_both_kinds_of_prediction_lead_to_the_same_latents(sampler: Sampler, kind: str) -> None:
    """One network told in two ways: as noise, and as velocity."""
    flat = Conditions(torch.zeros(2, 1, 1), None, (1.0,))
    results = []
    for told in ("epsilon", kind):
        config = diffusers.DDPMScheduler(
            beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", prediction_type=told
        ).config
        scheduler = build_scheduler(sampler, Schedule.SGM_UNIFORM, config, 8)

        def predict(
            noisy: torch.Tensor,
            t: torch.Tensor,
            _: Conditions,
            told: str = told,
            bars: torch.Tensor = scheduler.alphas_cumprod,
        ) -> torch.Tensor:
            alpha, sigma = bars[int(t)].sqrt(), (1 - bars[int(t)]).sqrt()
            epsilon = torch.tanh(noisy * 0.7)
            clean = (noisy - sigma * epsilon) / alpha
            return epsilon if told == "epsilon" else alpha * epsilon - sigma * clean

        generator = torch.Generator().manual_seed(4)
        noise = torch.randn(1, 4, 8, 8, generator=generator)
        results.append(
            denoise(predict, scheduler, noise, lambda _: flat, 1.0, [generator], lambda _: True)
        )
    assert torch.allclose(*results, atol=1e-3, rtol=1e-3)


def test_loop_tells_each_evaluation_and_ends_when_told() -> None:
    scheduler = diffusers.EulerDiscreteScheduler()
    scheduler.set_timesteps(5)
    told: list[Step] = []
    asked: list[float] = []

    def conditions(position: float) -> Conditions:
        asked.append(position)
        return Conditions(torch.zeros(2, 1, 1), None, (1.0,))

    def on_step(step: Step) -> bool:
        told.append(step)
        return step.index < 3

    ended = denoise(
        lambda x, t, c: x * 0, scheduler, torch.ones(1, 4, 8, 8), conditions, 1.0, [], on_step
    )
    assert ended is None
    assert [(step.index, step.count) for step in told] == [(1, 5), (2, 5), (3, 5)]
    assert asked == pytest.approx([0, 0.2, 0.4])


def test_guidance_adds_up_the_parts_by_weight() -> None:
    states = torch.tensor([1.0, 2.0, 5.0]).reshape(3, 1, 1)  # negative, and two parts

    def predict(x: torch.Tensor, t: torch.Tensor, conditions: Conditions) -> torch.Tensor:
        repeats = len(x) // len(conditions.embeds)
        return conditions.embeds.repeat_interleave(repeats, dim=0)[..., None].expand_as(x)

    found = guided(
        predict,
        torch.zeros(2, 4, 2, 2),
        torch.tensor(3),
        Conditions(states, None, (1.0, 0.5)),
        3.0,
    )
    # 1 + 3 * (1.0 * (2 - 1) + 0.5 * (5 - 1))
    assert torch.equal(found, torch.full((2, 4, 2, 2), 10.0))


def test_each_step_has_its_own_conditions_for_any_number_of_steps(studio: Studio) -> None:
    """15 / 22 * 22 is less than 15 to a computer, and yet it is step 16 that follows."""
    with studio.borrow() as pipe:
        texts = ClipTexts([(pipe.tokenizer, pipe.text_encoder)])
        for steps in (22, 49, 150):
            guidance = PromptGuidance(texts, GenerationRequest(prompt="[a|b]", steps=steps))
            states = [guidance.at(i / steps).embeds[1] for i in range(steps)]
            assert not torch.equal(states[0], states[1])
            for i, state in enumerate(states):
                assert torch.equal(state, states[i % 2]), (steps, i)


def test_both_evaluations_of_a_step_have_the_same_conditions(studio: Studio) -> None:
    """Heun asks 2n - 1 times in n steps."""
    steps = 8
    with studio.borrow() as pipe:
        texts = ClipTexts([(pipe.tokenizer, pipe.text_encoder)])
        guidance = PromptGuidance(texts, GenerationRequest(prompt="[a|b]", steps=steps))
        count = 2 * steps - 1
        states = [guidance.at(i / count).embeds[1] for i in range(count)]
    for i in range(count):
        assert torch.equal(states[i], states[0] if i // 2 % 2 == 0 else states[2]), i
