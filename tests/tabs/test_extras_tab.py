"""The Extras tab's form against its request, and its handlers as the page would call them."""

import io
from dataclasses import replace

import gradio as gr
import numpy as np
import pytest
from page_events import defaults, sent
from PIL import Image
from sample_pictures import picture

from studio.requests import EditRequest, GenerationRequest, UpscaleRequest
from tabs import extras
from tabs.forms import limits

# One result for each picture, as large as the scale says, whatever its variation.
UNUSED = {"kind", "width", "height", "batch_size", "batch_count"} | {
    "variation_seed",
    "variation_strength",
}
MODELS_OWN = {"steps", "cfg_scale", "distilled_cfg_scale"}
FIELDS = sorted(set(UpscaleRequest.model_fields) - UNUSED)


@pytest.fixture
def handlers(services, parts) -> extras.Handlers:
    return extras.Handlers(services, parts.extras)


@pytest.fixture
def source(services) -> str:
    """The hash of a picture that was sent."""
    pixels = np.random.default_rng(1).integers(0, 256, (40, 64, 3), dtype="u1")
    return services.inputs.add_image(Image.fromarray(pixels)).hash


@pytest.fixture
def saved(services):
    """Keeps a picture as if a job of this request had made it and returns its id."""

    def save(request) -> int:
        job_id = services.queue.submit(request)
        resolved = services.queue.request(services.queue.get(job_id))
        services.queue.cancel(job_id)
        made = picture(resolved.prompt, 7, resolved.model)
        return services.outputs.save(job_id, replace(made, request=resolved.model_dump_json()))

    return save


def by_name(parts, updates: list) -> dict[str, object]:
    named = zip(parts.extras.form.fields, updates, strict=True)
    return {name: value for name, value in named if value != gr.skip()}


def test_every_field_that_counts_has_one_control(parts):
    fields = parts.extras.form.fields
    assert sorted(fields) == FIELDS
    assert len({id(component) for component in fields.values()}) == len(FIELDS)


@pytest.mark.parametrize("field", FIELDS)
def test_a_slider_has_the_limits_of_its_field_and_its_default(parts, field):
    control = parts.extras.form.fields[field]
    if isinstance(control, gr.Slider):
        assert [control.minimum, control.maximum] == list(limits(field, UpscaleRequest))
        default = UpscaleRequest.model_fields[field].default
        assert control.value == default or field in MODELS_OWN


def test_a_press_queues_a_job_with_what_the_form_says(services, parts, handlers, source):
    values = defaults(parts.extras, source=source, scale=3, upscaler="nearest")
    page = handlers.submit(values)[parts.extras.jobs]
    request = services.queue.request(services.queue.get(page.ids[0]))
    assert isinstance(request, UpscaleRequest)
    assert (request.source, request.scale, request.upscaler) == (source, 3, "nearest")
    assert request.strength == 0


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"source": ""}, "no picture to enlarge"),
        ({"source": "../../etc/passwd"}, "Source"),
        ({"source": "0" * 64}, "send the picture again"),
        ({"upscaler": "waifu"}, "not installed"),
        ({"strength": 0.5, "tile": 65}, "Tile is 65"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_sentence(parts, handlers, source, fields, words):
    values = defaults(parts.extras, **{"source": source, **fields})
    with pytest.raises(gr.Error, match=words):
        handlers.submit(values)


def test_many_pictures_give_a_job_each_and_the_broken_ones_are_named(
    services, parts, handlers, tmp_path
):
    good, broken = tmp_path / "good.png", tmp_path / "broken.png"
    stream = io.BytesIO()
    Image.new("RGB", (20, 20), "red").save(stream, "PNG")
    good.write_bytes(stream.getvalue())
    broken.write_text("hello")
    values = defaults(parts.extras)
    values[parts.extras.batch] = [str(good), str(broken), str(good)]
    with _warned() as told:
        updates = handlers.submit(values)
    assert len(updates[parts.extras.jobs].ids) == 2
    assert any("broken.png" in text for text in told)
    assert updates[parts.extras.batch] is None


class _warned:
    """Collects what the page would be warned of."""

    def __enter__(self) -> list[str]:
        self._patch = pytest.MonkeyPatch()
        told: list[str] = []
        self._patch.setattr(gr, "Warning", lambda text, **more: told.append(text))
        return told

    def __exit__(self, *error: object) -> None:
        self._patch.undo()


def test_a_picture_sent_here_brings_its_prompt_but_not_its_strength(parts, handlers, saved, source):
    made = saved(EditRequest(source=source, strength=0.9, prompt="a pear", steps=9))
    first, *updates = handlers.receive(sent(id=made))
    named = by_name(parts, updates)
    assert named["prompt"] == "a pear"
    assert named["steps"] == 9
    assert named["source"] == first["source"] != source
    assert "strength" not in named


def test_an_upscale_comes_back_with_source_and_all_settings(parts, handlers, saved, source):
    made = saved(UpscaleRequest(source=source, scale=3, upscaler="bicubic", strength=0.3, tile=64))
    first, *updates = handlers.use_settings(sent(id=made))
    named = by_name(parts, updates)
    assert first == {"source": source}
    assert (named["scale"], named["strength"], named["tile"]) == (3, 0.3, 64)
    assert named["upscaler"].value == "bicubic"


def test_settings_of_another_kind_leave_the_source_alone(parts, handlers, saved):
    first, *updates = handlers.use_settings(
        sent(id=saved(GenerationRequest(prompt="a cat", seed=5)))
    )
    assert first == gr.skip()
    assert by_name(parts, updates)["seed"] == 5


def test_an_upscaler_that_is_gone_gives_way_to_the_first(parts, handlers):
    named = by_name(parts, handlers.restore({"upscaler": "gone", "scale": 4, "strength": 7}))
    assert named["upscaler"].value == "lanczos"
    assert named["scale"] == 4
    assert "strength" not in named
