"""Every family, tiny and of random weights: texts, images, holes, second passes and tiles."""

import math
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from recorder import Studio, clean_environment, recorded
from tiny_models import FAMILIES

from studio.context import ModelSpec
from studio.diffusion.editing import masks
from studio.diffusion.metadata import files
from studio.diffusion.networks import packed, unpacked
from studio.diffusion.noise import Seeds, draw
from studio.diffusion.resolve import resolve_generation
from studio.diffusion.samplers import Flow, build_scheduler, samplers_for
from studio.errors import RequestError
from studio.models import families
from studio.requests import GenerationRequest, MaskedContent, Sampler, Schedule
from studio.services import build_services
from studio.settings import Settings

FLOW = ("sd3", "flux-dev", "flux-schnell")
STEPS = 4
SIZE = (80, 64)
PROMPT, NEGATIVE = "a blue car, with a hat", "red, green"
LONG = ", ".join(["a blue car with a red hat"] * 60)
"""More tokens than one chunk of any encoder holds."""


@pytest.fixture(scope="module")
def studio(all_families: Studio) -> Studio:
    """All families, in place of the embedded model."""
    return all_families


@pytest.fixture(scope="module")
def source() -> np.ndarray:
    return np.random.default_rng(5).integers(0, 256, (64, 96, 3), dtype="u1")


def asked(model: str, **fields: Any) -> dict[str, Any]:
    sampler = Sampler.EULER
    return {"model": model, "prompt": PROMPT, "sampler": sampler, "steps": STEPS, **fields}


# --- the table ------------------------------------------------------------------------------------


def test_there_is_a_tiny_model_of_every_family(studio: Studio) -> None:
    found = {entry.id: entry.family for entry in studio.services.catalogue.entries()}
    for family in families.FAMILIES:
        assert found[family.key] is family
    assert set(FAMILIES) == {family.key for family in families.FAMILIES}


@pytest.mark.parametrize("family", families.FAMILIES, ids=lambda family: family.key)
def test_what_an_entry_names_is_there(studio: Studio, family: families.Family) -> None:
    for name in (family.pipeline, family.image, family.inpaint):
        assert hasattr(diffusers, name), name
    assert family.sampler in samplers_for(flow=family.flow)
    with studio.borrow(family.key) as pipe:
        for name in (*sum(family.encoders, ()), family.denoiser, family.counted):
            assert getattr(pipe, name) is not None, name


@pytest.mark.parametrize("family", families.FAMILIES, ids=lambda family: family.key)
def test_each_task_has_the_pipeline_that_the_entry_names(
    studio: Studio, family: families.Family
) -> None:
    for task, name in (("image2image", family.image), ("inpaint", family.inpaint)):
        spec = ModelSpec("diffusion", family.key, task)
        with studio.services.engine.models.borrow(spec) as view, studio.borrow(family.key) as pipe:
            assert type(view).__name__ == name
            assert getattr(view, family.denoiser) is getattr(pipe, family.denoiser)


# --- equality with diffusers' own pipelines -------------------------------------------------------


def reference(pipe: Any, seed: int, **fields: Any) -> tuple[list[torch.Tensor], np.ndarray]:
    """Latents (1, c, h, w) after every step and the picture, by the pipeline's own `__call__`."""
    seen: list[torch.Tensor] = []

    def keep(_pipe: Any, _index: int, _t: Any, state: dict[str, Any]) -> dict[str, Any]:
        seen.append(state["latents"].clone())
        return state

    factor = pipe.vae_scale_factor
    shape = (pipe.vae.config.latent_channels, SIZE[1] // factor, SIZE[0] // factor)
    noise = draw(Seeds(seed), shape)[0][None]
    in_a_row = isinstance(pipe, diffusers.FluxPipeline)
    result = pipe(
        PROMPT,
        width=SIZE[0],
        height=SIZE[1],
        num_inference_steps=STEPS,
        latents=packed(noise) if in_a_row else noise,
        callback_on_step_end=keep,
        **fields,
    )
    if in_a_row:
        seen = [unpacked(row, *shape[1:]) for row in seen]
    return seen, np.asarray(result.images[0])


CALLS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "sd1": ({"guidance_scale": 4.0, "negative_prompt": NEGATIVE}, {"cfg_scale": 4}),
    "sd2": ({"guidance_scale": 4.0, "negative_prompt": NEGATIVE}, {"cfg_scale": 4}),
    "sdxl": ({"guidance_scale": 4.0, "negative_prompt": NEGATIVE}, {"cfg_scale": 4}),
    "sd3": ({"guidance_scale": 4.0, "negative_prompt": NEGATIVE}, {"cfg_scale": 4}),
    "flux-dev": ({"guidance_scale": 2.5}, {"cfg_scale": 1, "distilled_cfg_scale": 2.5}),
    "flux-schnell": (
        {"guidance_scale": 0.0, "max_sequence_length": 256},
        {"cfg_scale": 1, "distilled_cfg_scale": 2.5},
    ),
}
"""What diffusers is called with, and what we are asked for the same."""


@pytest.mark.parametrize("key", CALLS)
def test_every_step_is_that_of_the_pipeline(studio: Studio, key: str) -> None:
    theirs, ours = CALLS[key]
    entry = studio.services.catalogue.usable(key)
    assert entry.family is not None
    pipe = getattr(diffusers, entry.family.pipeline).from_pretrained(entry.path)
    pipe.set_progress_bar_config(disable=True)
    if not entry.family.flow:
        pipe.scheduler = diffusers.EulerDiscreteScheduler.from_config(pipe.scheduler.config)
    wanted, picture = reference(pipe, 7, **theirs)
    with recorded(type(pipe.scheduler)) as seen:
        made = studio.make(
            **asked(key, width=SIZE[0], height=SIZE[1], negative_prompt=NEGATIVE, **ours)
        )
    assert picture.std() > 5, "a flat picture would prove nothing"
    assert len(seen) == len(wanted) == STEPS
    for index, (mine, expected) in enumerate(zip(seen, wanted, strict=True)):
        assert torch.allclose(mine, expected, atol=1e-4, rtol=1e-4), f"step {index}"
    assert np.abs(made.images[0].astype(int) - picture).max() <= 1


def test_true_guidance_of_flux_is_that_of_the_pipeline(studio: Studio) -> None:
    entry = studio.services.catalogue.usable("flux-dev")
    pipe = diffusers.FluxPipeline.from_pretrained(entry.path)
    pipe.set_progress_bar_config(disable=True)
    _, picture = reference(
        pipe, 7, guidance_scale=2.5, true_cfg_scale=3.0, negative_prompt=NEGATIVE
    )
    fields = {"cfg_scale": 3, "distilled_cfg_scale": 2.5, "negative_prompt": NEGATIVE}
    made = studio.pixels(**asked("flux-dev", width=SIZE[0], height=SIZE[1], **fields))
    assert np.abs(made.astype(int) - picture).max() <= 1


def test_the_refiner_is_told_scores_instead_of_a_size(studio: Studio) -> None:
    """Those of diffusers: 2.5 for what is not wanted and 6 for what is."""
    told = []

    def look(_unet: Any, _args: Any, fields: dict[str, Any]) -> None:
        told.append(fields["added_cond_kwargs"]["time_ids"].tolist())

    with studio.borrow("sdxl-refiner") as pipe:
        hook = pipe.unet.register_forward_pre_hook(look, with_kwargs=True)
        try:
            for scale in (3, 1):
                studio.make(**asked("sdxl-refiner", width=64, height=96, cfg_scale=scale))
        finally:
            hook.remove()
    assert told[0] == [[96, 64, 0, 0, 2.5], [96, 64, 0, 0, 6]]
    assert told[-1] == [[96, 64, 0, 0, 6]]


# --- what every family does -----------------------------------------------------------------------


@pytest.mark.parametrize("key", FAMILIES)
def test_a_longer_prompt_than_one_chunk_is_read_to_its_end(studio: Studio, key: str) -> None:
    first, second = (
        studio.pixels(**asked(key, prompt=prompt, width=64, height=64, cfg_scale=2))
        for prompt in (LONG, LONG + ", in green")
    )
    assert not np.array_equal(first, second)


@pytest.mark.parametrize("key", FAMILIES)
def test_a_weight_changes_the_picture(studio: Studio, key: str) -> None:
    plain, weighed = (
        studio.pixels(**asked(key, prompt=prompt, width=64, height=64))
        # Random weights read hardly any of a prompt: a small weight changes a pixel, or none.
        for prompt in ("a blue car", "(a blue car:9)")
    )
    assert not np.array_equal(plain, weighed)


@pytest.mark.parametrize("key", FAMILIES)
def test_a_picture_of_a_batch_is_the_same_on_its_own(studio: Studio, key: str) -> None:
    fields = asked(key, width=64, height=64, cfg_scale=2)
    both = studio.make(**fields, batch_size=2).images
    alone = studio.pixels(**{**fields, "seed": 8})
    assert np.abs(both[1].astype(int) - alone).max() <= 1
    assert not np.array_equal(both[0], both[1])


@pytest.mark.parametrize("key", FAMILIES)
def test_a_strength_of_nothing_returns_the_source_and_others_change_it(
    studio: Studio, source: np.ndarray, key: str
) -> None:
    """How far says nothing here: an untrained autoencoder gives noise back whatever it is given."""
    none, half, full = (
        studio.edit(source, strength=strength, **asked(key)).images[0] for strength in (0, 0.5, 1)
    )
    assert np.array_equal(none, source)
    assert not np.array_equal(half, source)
    assert not np.array_equal(half, full)


@pytest.mark.parametrize("content", MaskedContent)
@pytest.mark.parametrize("key", FAMILIES)
def test_outside_the_feather_nothing_changes(
    studio: Studio, source: np.ndarray, key: str, content: MaskedContent
) -> None:
    mask = np.zeros((64, 96), "u1")
    mask[16:48, 30:70] = 255
    fields = asked(key, strength=0.8, feather=6, masked_content=content)
    made = studio.edit(source, mask, **fields).images[0]
    outside = masks.feathered(mask, 6) == 0
    assert np.array_equal(made[outside], source[outside])
    assert not np.array_equal(made, source)


@pytest.mark.parametrize("key", FAMILIES)
def test_new_ground_is_painted(studio: Studio, source: np.ndarray, key: str) -> None:
    made = studio.edit(source, extend_right=32, strength=1, **asked(key)).images[0]
    assert made.shape == (64, 128, 3)
    assert np.array_equal(made[:, :80], source[:, :80])


@pytest.mark.parametrize("upscaler", ["latent", "lanczos"])
@pytest.mark.parametrize("key", FAMILIES)
def test_a_second_pass_has_its_size(studio: Studio, key: str, upscaler: str) -> None:
    fields = asked(key, width=64, height=96, hires_scale=1.5, hires_upscaler=upscaler)
    assert studio.pixels(**fields).shape == (144, 96, 3)


@pytest.mark.parametrize("upscaler", ["latent", "lanczos"])
def test_each_pass_is_told_its_own_size(studio: Studio, upscaler: str) -> None:
    told = []

    def look(_unet: Any, _args: Any, fields: dict[str, Any]) -> None:
        told.append(fields["added_cond_kwargs"]["time_ids"][0, :2].tolist())

    with studio.borrow("sdxl") as pipe:
        hook = pipe.unet.register_forward_pre_hook(look, with_kwargs=True)
        try:
            studio.pixels(
                **asked("sdxl", width=64, height=96, hires_scale=1.5, hires_upscaler=upscaler)
            )
        finally:
            hook.remove()
    assert told[0] == [96, 64]
    assert told[-1] == [144, 96]


@pytest.mark.parametrize("key", FAMILIES)
def test_it_is_redrawn_in_tiles(studio: Studio, source: np.ndarray, key: str) -> None:
    made = studio.upscale(source, scale=2, strength=0.5, tile=64, **asked(key)).images[0]
    whole = studio.upscale(source, scale=2, strength=0, upscaler="lanczos").images[0]
    assert made.shape == whole.shape == (128, 192, 3)
    assert np.abs(made.astype(int) - whole).mean() > 1


@pytest.mark.parametrize("key", FLOW)
def test_one_tile_is_image_to_image(studio: Studio, source: np.ndarray, key: str) -> None:
    fields = asked(key, strength=0.6)
    tiled = studio.upscale(source, scale=1, tile=96, **fields).images[0]
    whole = studio.edit(source, **fields).images[0]
    assert np.array_equal(tiled, whole)


# --- flow matching --------------------------------------------------------------------------------


@pytest.mark.parametrize("key", FLOW)
@pytest.mark.parametrize("sampler", samplers_for(flow=True))
def test_every_sampler_that_fits_makes_a_picture_and_goes_on_from_one(
    studio: Studio, source: np.ndarray, key: str, sampler: Sampler
) -> None:
    fields = {**asked(key), "sampler": sampler, "steps": 6}
    made = studio.pixels(**fields, width=64, height=64)
    assert made.std() > 5
    weak, strong = (
        studio.edit(source, strength=strength, **fields).images[0] for strength in (0.4, 0.9)
    )
    assert not np.array_equal(weak, strong)


@pytest.mark.parametrize("sampler", sorted(set(Sampler) - set(samplers_for(flow=True))))
def test_a_sampler_that_does_not_fit_is_refused(studio: Studio, sampler: Sampler) -> None:
    with pytest.raises(RequestError, match="does not fit this model") as caught:
        studio.make(**{**asked("sd3"), "sampler": sampler})
    assert caught.value.field == "sampler"
    with pytest.raises(RequestError, match="does not fit this model") as caught:
        studio.make(**asked("sd3", hires_scale=1.5, hires_sampler=sampler))
    assert caught.value.field == "hires_sampler"


@pytest.mark.parametrize("schedule", Schedule)
def test_every_schedule_is_one_for_all_samplers(studio: Studio, schedule: Schedule) -> None:
    """The noise levels of Euler, which end at none; solvers begin a little below all of it."""
    with studio.borrow("flux-dev") as pipe:
        config = pipe.scheduler.config
    flow = Flow(256, trailing=True)
    levels = build_scheduler(Sampler.EULER, schedule, config, 8, flow=flow).sigmas
    assert levels[0] == pytest.approx(1, abs=0.01)
    assert levels[-1] == 0
    assert (levels.diff() < 0).all()
    for sampler in samplers_for(flow=True):
        scheduler = build_scheduler(sampler, schedule, config, 8, flow=flow)
        assert torch.allclose(scheduler.sigmas.unique(), levels.unique(), atol=2e-6), sampler
        assert torch.allclose(scheduler.timesteps, scheduler.sigmas[:-1] * 1000), sampler


def test_a_larger_picture_keeps_more_noise_where_the_model_shifts(studio: Studio) -> None:
    with studio.borrow("flux-dev") as pipe:
        config = pipe.scheduler.config
    small, large = (
        build_scheduler(
            Sampler.EULER, Schedule.AUTOMATIC, config, 8, flow=Flow(patches, trailing=True)
        ).sigmas[4]
        for patches in (256, 4096)
    )
    # exp(0.5) and exp(1.15) are the shifts that the scheduler's configuration names for the two.
    assert small == pytest.approx(math.exp(0.5) / (math.exp(0.5) + 1), abs=1e-4)
    assert large == pytest.approx(math.exp(1.15) / (math.exp(1.15) + 1), abs=1e-4)


# --- what is kept ---------------------------------------------------------------------------------


def test_distilled_guidance_is_kept_with_the_picture_and_comes_back(studio: Studio) -> None:
    (picture,) = studio.make(
        **asked("flux-dev", width=64, height=64, distilled_cfg_scale=2.5)
    ).pictures
    assert "Distilled CFG Scale: 2.5" in picture.infotext
    assert files.read_text(picture.infotext).fields["distilled_cfg_scale"] == 2.5
    (picture,) = studio.make(**asked("sdxl", width=64, height=64, distilled_cfg_scale=2.5)).pictures
    assert "Distilled" not in picture.infotext


def test_what_was_not_asked_for_is_the_models(studio: Studio) -> None:
    for key in ("flux-schnell", "sd3", "sd1"):
        family = studio.services.catalogue.usable(key).family
        assert family is not None
        request = resolve_generation(
            GenerationRequest(model=key, width=64, height=64),
            studio.services.catalogue,
            studio.services.upscalers,
        )
        assert (request.sampler, request.steps, request.cfg_scale) == (
            family.sampler,
            family.steps,
            family.cfg_scale,
        )
        assert request.distilled_cfg_scale == family.distilled_cfg_scale


# --- sizes ----------------------------------------------------------------------------------------


def test_sides_are_multiples_of_a_patch(studio: Studio) -> None:
    with pytest.raises(RequestError, match="needs a multiple of 4; the nearest is") as caught:
        studio.make(**asked("flux-dev", width=66, height=64))
    assert caught.value.field == "width"
    assert studio.pixels(**asked("sdxl", width=66, height=64)).shape == (64, 66, 3)


@pytest.mark.parametrize(
    ("field", "fields"),
    [
        ("width", {"width": 256, "height": 64}),
        ("hires_scale", {"width": 128, "height": 64, "hires_scale": 2}),
    ],
)
def test_a_side_that_the_model_has_no_places_for_is_refused(
    studio: Studio, field: str, fields: dict[str, Any]
) -> None:
    with pytest.raises(RequestError, match="at most 192 pixels a side") as caught:
        studio.make(**asked("sd3", **fields))
    assert caught.value.field == field


def test_an_edit_beyond_the_places_is_refused(studio: Studio) -> None:
    wide = np.zeros((64, 200, 3), "u1")
    with pytest.raises(RequestError, match="at most 192 pixels a side"):
        studio.edit(wide, strength=0.5, **asked("sd3"))
    # In tiles it goes.
    assert studio.upscale(wide, scale=1, strength=0.5, tile=64, **asked("sd3")).images


def test_an_odd_source_comes_back_at_its_size(studio: Studio) -> None:
    odd = np.random.default_rng(1).integers(0, 256, (67, 91, 3), dtype="u1")
    assert studio.edit(odd, strength=0.5, **asked("flux-schnell")).images[0].shape == odd.shape


# --- without T5 -----------------------------------------------------------------------------------


def test_stable_diffusion_3_does_without_t5(tmp_path: Path, studio: Studio) -> None:
    """Saved without its largest encoder, as diffusers lets people do; zeros stand for it there."""
    whole = diffusers.StableDiffusion3Pipeline.from_pretrained(
        studio.services.catalogue.get("sd3").path, text_encoder_3=None, tokenizer_3=None
    )
    whole.save_pretrained(tmp_path / "models" / "small")
    whole.set_progress_bar_config(disable=True)
    theirs, ours = CALLS["sd3"]
    _, picture = reference(whole, 7, **theirs)
    with pytest.MonkeyPatch.context() as patch:
        clean_environment(patch)
        built = build_services(Settings(data_dir=tmp_path, device="cpu", dtype="float32"))
    fields = asked("small", width=SIZE[0], height=SIZE[1], negative_prompt=NEGATIVE, **ours)
    made = Studio(built).pixels(**fields)
    built.stop()
    assert np.abs(made.astype(int) - picture).max() <= 1
