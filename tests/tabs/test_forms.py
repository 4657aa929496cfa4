"""The Generate form against the request that it fills: one control a field, the field's limits."""

import gradio as gr
import pytest
from annotated_types import Ge, Le
from page_events import defaults

from studio.errors import RequestError
from studio.requests import GenerationRequest, ImageFormat, Sampler
from tabs import forms

FIELDS = [name for name in GenerationRequest.model_fields if name != "kind"]


def test_every_field_has_one_control_and_every_control_a_field(parts):
    fields = parts.generate.form.fields
    assert sorted(fields) == sorted(FIELDS)
    assert len({id(component) for component in fields.values()}) == len(FIELDS)


@pytest.mark.parametrize("field", FIELDS)
def test_a_number_has_the_limits_of_its_field(parts, field):
    rules = GenerationRequest.model_fields[field].metadata
    low = [rule.ge for rule in rules if isinstance(rule, Ge)]
    high = [rule.le for rule in rules if isinstance(rule, Le)]
    control = parts.generate.form.fields[field]
    assert bool(low) == bool(high) == isinstance(control, (gr.Slider, gr.Number))
    if low:
        assert [control.minimum, control.maximum] == [*low, *high]


def test_sides_step_by_what_the_model_needs(parts, services):
    entry = services.catalogue.get("")
    for name in ("width", "height"):
        assert parts.generate.form.fields[name].step == entry.factor


def test_what_stands_in_the_form_at_first_is_a_valid_request(parts, services):
    request = parts.generate.form.request(defaults(parts.generate))
    entry = services.catalogue.get("")
    assert request.model == entry.id
    assert (request.width, request.height) == (entry.width, entry.height)
    assert (request.steps, request.cfg_scale) == (entry.steps, entry.cfg_scale)


def test_values_go_by_component_whatever_their_order(parts):
    form = parts.generate.form
    values = defaults(parts.generate, prompt="a red apple", steps=11, seed=5)
    backwards = dict(reversed(list(values.items())))
    assert form.request(values) == form.request(backwards)
    assert form.request(backwards).steps == 11


def test_a_wrong_value_names_its_field(parts):
    with pytest.raises(RequestError) as caught:
        parts.generate.form.request(defaults(parts.generate, clip_skip=99))
    assert caught.value.field == "clip_skip"


def test_updates_stand_in_the_order_of_the_controls(parts):
    form = parts.generate.form
    updates = dict(zip(form.outputs, form.updates({"seed": 3, "prompt": "x"}), strict=True))
    fields = form.fields
    assert updates.pop(fields["seed"]) == 3
    assert updates.pop(fields["prompt"]) == "x"
    assert len(updates) == len(FIELDS) - 2
    assert all(update == gr.skip() for update in updates.values())


def test_a_name_that_is_no_field_updates_nothing(parts):
    assert all(u == gr.skip() for u in parts.generate.form.updates({"kind": "generate", "no": 1}))


@pytest.mark.parametrize(
    ("stored", "kept"),
    [
        ({"steps": 30, "sampler": "Euler"}, {"steps": 30, "sampler": Sampler.EULER}),
        ({"steps": 0, "sampler": "Euler"}, {"sampler": Sampler.EULER}),
        ({"steps": "<b>", "width": [], "prompt": None, "seed": {}}, {}),
        ({"seed": 10**30, "cfg_scale": float("nan"), "batch_size": 1.5}, {}),
        ({"prompt": "x" * 20_001, "negative_prompt": "x"}, {"negative_prompt": "x"}),
        ({"image_format": "gif", "unknown": 1, "": 2}, {}),
        ({"image_format": "webp"}, {"image_format": ImageFormat.WEBP}),
        ({}, {}),
    ],
)
def test_of_stored_values_only_the_valid_are_kept(stored, kept):
    assert forms.valid_fields(stored) == kept


def test_a_slider_may_have_a_label_of_its_own():
    assert forms.slider("steps", 20, 1).label == "Steps"
    assert forms.slider("steps", 20, 1, label="Passes").label == "Passes"
    assert forms.limits("variation_strength") == (0, 1)


def test_an_empty_box_that_became_zero_says_nothing():
    with gr.Blocks(analytics_enabled=False):
        width, count = gr.Number(None), gr.Number(1)
    form = forms.Form(GenerationRequest, {"width": width, "batch_count": count})
    assert form.request({width: 0, count: 1}).width is None
    assert form.request({width: 64, count: 1}).width == 64
    with pytest.raises(RequestError, match="Batch count"):
        form.request({width: 64, count: 0})
