"""What submission fills in and refuses."""

from pathlib import Path

import pytest

from studio.diffusion.resolve import of_one_picture, resolve_generation
from studio.errors import ModelError, PromptError, RequestError
from studio.models.catalogue import Catalogue
from studio.models.upscalers import UpscalerShelf
from studio.requests import SEED_LIMIT, GenerationRequest, Sampler, Schedule

SHELF = UpscalerShelf(Path("no such folder"))


@pytest.fixture
def catalogue() -> Catalogue:
    return Catalogue(Path("/nonexistent"))


def test_open_fields_take_the_models_defaults(catalogue: Catalogue) -> None:
    entry = catalogue.get("")
    resolved = resolve_generation(GenerationRequest(), catalogue, SHELF)
    assert (resolved.model, resolved.width, resolved.height) == (
        entry.id,
        entry.width,
        entry.height,
    )
    assert resolved.cfg_scale == entry.cfg_scale
    assert 0 <= resolved.seed < 2**32
    assert 0 <= resolved.variation_seed < 2**32


def test_given_fields_stay(catalogue: Catalogue) -> None:
    given = GenerationRequest(
        model=catalogue.get("").id,
        cfg_scale=1,
        width=64,
        height=192,
        seed=0,
        variation_seed=SEED_LIMIT,
    )
    assert resolve_generation(given, catalogue, SHELF) == given


def test_resolving_twice_changes_nothing(catalogue: Catalogue) -> None:
    once = resolve_generation(GenerationRequest(prompt="x"), catalogue, SHELF)
    assert resolve_generation(once, catalogue, SHELF) == once


def test_drawn_seeds_differ(catalogue: Catalogue) -> None:
    seeds = {resolve_generation(GenerationRequest(), catalogue, SHELF).seed for _ in range(20)}
    assert len(seeds) == 20


@pytest.mark.parametrize(
    ("field", "value", "nearest"),
    [("width", 100, "96"), ("height", 101, "104"), ("height", 2047, "2048"), ("width", 67, "64")],
)
def test_sizes_between_multiples_are_refused_with_the_nearest(
    catalogue: Catalogue, field: str, value: int, nearest: str
) -> None:
    with pytest.raises(RequestError, match=f"is {value}, but .* nearest is {nearest}\\.") as caught:
        resolve_generation(GenerationRequest(**{field: value}), catalogue, SHELF)
    assert caught.value.field == field


def test_unknown_model_is_refused_with_those_that_are_there(catalogue: Catalogue) -> None:
    with pytest.raises(ModelError, match=catalogue.get("").id):
        resolve_generation(GenerationRequest(model="nobody"), catalogue, SHELF)


def test_schedule_that_the_sampler_lacks_is_refused(catalogue: Catalogue) -> None:
    request = GenerationRequest(sampler=Sampler.EULER_A, schedule=Schedule.KARRAS)
    with pytest.raises(RequestError) as caught:
        resolve_generation(request, catalogue, SHELF)
    assert caught.value.field == "schedule"


@pytest.mark.parametrize("field", ["prompt", "negative_prompt"])
def test_prompt_that_cannot_be_encoded_is_refused_at_its_field(
    catalogue: Catalogue, field: str
) -> None:
    with pytest.raises(PromptError) as caught:
        resolve_generation(GenerationRequest(**{field: "(x:99999)"}), catalogue, SHELF)
    assert caught.value.field == field


def test_one_picture_of_a_job_keeps_all_but_seeds_and_count() -> None:
    job = GenerationRequest(prompt="x", seed=3, batch_size=4, batch_count=2, steps=9)
    one = of_one_picture(job, 5, 8)
    assert (one.seed, one.variation_seed, one.image_count) == (5, 8, 1)
    assert (one.prompt, one.steps) == ("x", 9)
