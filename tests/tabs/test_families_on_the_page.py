"""What the page shows for models of other families, which no tab knows anything of."""

import gradio as gr
import pytest
from page_events import defaults
from tiny_models import tiny_model

from studio.diffusion.samplers import samplers_for
from studio.requests import Sampler, Schedule


@pytest.fixture
def flux(settings, services):
    """The tiny FLUX models in the data folder."""
    tokenizer = services.catalogue.get("").path / "tokenizer"
    for key in ("flux-dev", "flux-schnell"):
        tiny_model(key, settings.data_dir / "models" / key, tokenizer)


def by_name(parts, updates: list) -> dict[str, object]:
    named = zip(parts.generate.form.fields, updates, strict=True)
    return {name: value for name, value in named if value != gr.skip()}


def values(dropdown: gr.Dropdown) -> list[str]:
    return [value for _, value in dropdown.choices]


def test_a_model_brings_the_samplers_that_fit_it(flux, parts, handlers, embedded_id):
    *updates, _, _ = handlers.choose_model("flux-dev")
    changed = by_name(parts, updates)
    assert values(changed["sampler"]) == list(samplers_for(flow=True))
    assert changed["sampler"].value == "Euler"
    assert values(changed["schedule"]) == list(Schedule)
    *updates, _, _ = handlers.choose_model(embedded_id)
    assert values(by_name(parts, updates)["sampler"]) == list(Sampler)


def test_distilled_guidance_shows_where_a_model_takes_it(flux, parts, handlers):
    for model, shown in (("flux-dev", True), ("flux-schnell", False)):
        *updates, _, _ = handlers.choose_model(model)
        control = by_name(parts, updates)["distilled_cfg_scale"]
        assert (control.visible, control.value) == (shown, 3.5)


def test_what_is_hidden_does_not_reach_the_request(flux, parts, handlers, services):
    asked = {"prompt": "a car", "sampler": "Euler", "distilled_cfg_scale": 9}
    for model, value in (("flux-dev", 9), ("flux-schnell", None)):
        page = handlers.submit(defaults(parts.generate, model=model, **asked))[parts.generate.jobs]
        request = services.queue.request(services.queue.get(page.ids[-1]))
        assert request.distilled_cfg_scale == value


@pytest.mark.parametrize("sampler", samplers_for(flow=True))
def test_every_sampler_offers_every_schedule(flux, handlers, sampler):
    assert values(handlers.choose_sampler(sampler, "Karras", "flux-dev")) == list(Schedule)


def test_settings_of_another_model_come_back_with_what_fits_it(flux, parts, handlers):
    saved = {"model": "flux-dev", "sampler": "DPM++ 2M", "schedule": "Beta", "steps": 9}
    changed = by_name(parts, handlers.restore({**saved, "distilled_cfg_scale": 2.5}))
    assert values(changed["sampler"]) == list(samplers_for(flow=True))
    assert (changed["sampler"].value, changed["schedule"].value) == ("DPM++ 2M", "Beta")
    assert (changed["distilled_cfg_scale"].visible, changed["distilled_cfg_scale"].value) == (
        True,
        2.5,
    )
    changed = by_name(parts, handlers.restore({**saved, "sampler": "DDIM"}))
    assert changed["sampler"].value == "Euler"


def test_tokens_are_counted_as_the_family_reads(flux, handlers):
    """T5 of FLUX.1: 511 tokens beside its end for dev, 255 for schnell."""
    count = handlers.count(composable=True)
    assert count("a red car", "flux-dev", 4) == "3 of 511 tokens"
    assert count("a red car", "flux-schnell", 4) == "3 of 255 tokens"
