"""The Edit tab's form against its request, and its handlers as the page would call them."""

import io
from dataclasses import replace

import gradio as gr
import numpy as np
import pytest
from annotated_types import Ge, Le
from page_events import defaults, sent
from PIL import Image
from sample_pictures import picture

from studio.requests import EditRequest, GenerationRequest
from tabs import edit
from tabs.blocks.stage import PageJobs

FIELDS = [name for name in EditRequest.model_fields if name != "kind"]


@pytest.fixture
def handlers(services, parts) -> edit.Handlers:
    return edit.Handlers(services, parts.edit)


@pytest.fixture
def source(services) -> str:
    """The hash of a picture that was sent."""
    pixels = np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype="u1")
    return services.inputs.add_image(Image.fromarray(pixels)).hash


@pytest.fixture
def saved_edit(services, source):
    """Keeps a picture as if an edit of this request had made it and returns its id."""

    def save(**fields: object) -> int:
        request = EditRequest(source=source, seed=7, prompt="a pear", **fields)
        job_id = services.queue.submit(request)
        resolved = services.queue.request(services.queue.get(job_id))
        services.queue.cancel(job_id)
        made = replace(
            picture(resolved.prompt, 7, resolved.model), request=resolved.model_dump_json()
        )
        return services.outputs.save(job_id, made)

    return save


def by_name(parts, updates: list) -> dict[str, object]:
    named = zip(parts.edit.form.fields, updates, strict=True)
    return {name: value for name, value in named if value != gr.skip()}


def test_every_field_has_one_control_and_every_control_a_field(parts):
    fields = parts.edit.form.fields
    assert sorted(fields) == sorted(FIELDS)
    assert len({id(component) for component in fields.values()}) == len(FIELDS)


@pytest.mark.parametrize("field", FIELDS)
def test_a_slider_has_the_limits_of_its_field_and_its_default(parts, field):
    control = parts.edit.form.fields[field]
    told = EditRequest.model_fields[field]
    if isinstance(control, gr.Slider):
        low = next(rule.ge for rule in told.metadata if isinstance(rule, Ge))
        high = next(rule.le for rule in told.metadata if isinstance(rule, Le))
        assert [control.minimum, control.maximum] == [low, high]
    if isinstance(control, (gr.Slider, gr.Radio, gr.Checkbox)) and told.default is not None:
        assert control.value == told.default


def test_a_press_queues_an_edit_with_what_the_form_says(services, parts, handlers, source):
    values = defaults(parts.edit, source=source, prompt="a pear", strength=0.3, steps=3)
    page = handlers.submit(values)[parts.edit.jobs]
    request = services.queue.request(services.queue.get(page.ids[0]))
    assert isinstance(request, EditRequest)
    assert (request.source, request.strength, request.prompt) == (source, 0.3, "a pear")
    assert request.width is None


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"source": ""}, "no picture to change"),
        ({"source": "../../etc/passwd"}, "Source"),
        ({"source": "0" * 64}, "send the picture again"),
        ({"mask": "0" * 64}, "send the picture again"),
        ({"curve_points": "0:1, 2"}, "pairs of position and hold"),
        ({"curve": "points"}, "needs curve points"),
        ({"width": 3}, "Width"),
        ({"width": 100}, "multiple of"),
        ({"strength": 1.5}, "Strength"),
    ],
)
def test_what_cannot_be_done_is_told_in_words(services, parts, handlers, source, fields, words):
    with pytest.raises(gr.Error, match=words):
        handlers.submit(defaults(parts.edit, **{"source": source, **fields}))
    assert services.queue.line().waiting == 0


def test_own_points_are_read_as_they_are_written(services, parts, handlers, source):
    values = defaults(parts.edit, source=source, curve="points", curve_points="0:1, 0.5:0.25")
    page = handlers.submit(values)[parts.edit.jobs]
    request = services.queue.request(services.queue.get(page.ids[0]))
    assert request.curve_points == ((0.0, 1.0), (0.5, 0.25))


def test_many_pictures_become_a_job_each_and_what_is_none_is_left_out(
    services, parts, handlers, source, tmp_path, monkeypatch
):
    warned: list[str] = []
    monkeypatch.setattr(gr, "Warning", lambda text, title: warned.append(text))
    files = []
    for name, colour in (("a.png", "red"), ("b.png", "blue")):
        Image.new("RGB", (64, 64), colour).save(tmp_path / name)
        files.append(str(tmp_path / name))
    (tmp_path / "c.png").write_text("hello")
    values = defaults(parts.edit, source=source, mask=source, prompt="a pear")
    after = handlers.submit({**values, parts.edit.batch: [*files, str(tmp_path / "c.png")]})
    ids = after[parts.edit.told]
    asked = [services.queue.request(services.queue.get(job_id)) for job_id in ids]
    assert [services.inputs.open(each.source).getpixel((0, 0)) for each in asked] == [
        (255, 0, 0),
        (0, 0, 255),
    ]
    assert all(each.mask == "" and each.prompt == "a pear" for each in asked)
    assert len(warned) == 1
    assert "c.png" in warned[0]
    assert after[parts.edit.batch] is None


def test_a_picture_is_received_with_its_prompt_and_what_is_shared(services, parts, handlers):
    request = GenerationRequest(prompt="a blue cat", seed=3, steps=9, width=192, height=128)
    job_id = services.queue.submit(request)
    stored = services.queue.request(services.queue.get(job_id)).model_dump_json()
    output_id = services.outputs.save(job_id, replace(picture(), request=stored))
    canvas, *updates = handlers.receive(sent(id=output_id))
    with Image.open(io.BytesIO(picture().data)) as image:
        assert np.array_equal(np.asarray(services.inputs.open(canvas["source"])), np.asarray(image))
    filled = by_name(parts, updates)
    assert (filled["prompt"], filled["seed"], filled["steps"]) == ("a blue cat", 3, 9)
    assert not {"width", "height", "strength", "source"} & set(filled)


def test_all_settings_of_an_edit_come_back_with_its_source(parts, handlers, saved_edit, source):
    output_id = saved_edit(strength=0.4, feather=11, soft=True, curve="points", curve_points="0:1")
    canvas, *updates = handlers.use_settings(sent(id=output_id))
    assert canvas == {"source": source, "mask": ""}
    filled = by_name(parts, updates)
    assert (filled["strength"], filled["feather"], filled["soft"]) == (0.4, 11, True)
    assert (filled["curve"], filled["curve_points"]) == ("points", "0:1")


def test_settings_that_the_browser_kept_come_back_as_far_as_they_are_valid(parts, handlers):
    kept = {
        "strength": 0.2,
        "feather": 9999,
        "curve_points": "0:1",
        "blend": "poisson",
        "mask": "x",
    }
    filled = by_name(parts, handlers.restore(kept))
    assert filled == {"strength": 0.2, "blend": "poisson", "curve_points": "0:1"}
    assert by_name(parts, handlers.restore("nonsense")) == {}


def test_a_pictures_seed_is_taken_and_a_stranger_is_refused(handlers, saved_edit):
    assert handlers.reuse_seed(sent(id=saved_edit())) == 7
    for event in (sent(id=99), sent(id="1"), sent()):
        with pytest.raises(gr.Error):
            handlers.receive(event)


def test_choosing_a_model_brings_its_defaults(services, parts, handlers):
    entry = services.catalogue.get("")
    *updates, examples = handlers.choose_model(entry.id)
    assert by_name(parts, updates)["cfg_scale"] == entry.cfg_scale
    assert examples == list(entry.examples)


def test_the_stage_follows_the_tabs_own_jobs(parts, handlers, source):
    page = handlers.submit(defaults(parts.edit, source=source))[parts.edit.jobs]
    assert isinstance(page, PageJobs)
    assert handlers.attach(page.ids).ids == page.ids
    assert parts.edit.name == "edit" != parts.generate.name


def test_the_canvas_is_put_among_the_values_by_their_place(parts):
    script = edit._with_canvas(parts.edit)
    view = parts.edit
    order = sorted({*view.form.inputs, view.jobs, *view.also}, key=lambda c: c._id)
    for name in ("source", "mask"):
        place = order.index(parts.edit.form.fields[name])
        assert f"values[{place}] = {name};" in script
