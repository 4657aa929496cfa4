"""The form of a training: its fields are the request's, and what it hides it does not ask for."""

import gradio as gr
import pytest

from studio.errors import RequestError
from studio.training.presets import FOLDER
from studio.training.toml_files import read_toml
from studio.training_requests import CaptionSource, Method, TrainRequest
from tabs.blocks.train.fields import OPEN, defaults, shown, unused


def test_the_form_has_every_field_with_its_default(services, view, values):
    form = view.launcher.form
    assert set(form.fields) == set(TrainRequest.model_fields) - {"kind"}
    asked = form.request(values(name="rex", pictures="dogs"))
    model = services.catalogue.get("").id
    assert asked == TrainRequest(name="rex", pictures="dogs", model=model)


def test_controls_stay_within_what_is_allowed(view, values):
    for name, box in view.launcher.form.fields.items():
        if isinstance(box, gr.Slider):
            for end in (box.minimum, box.maximum):
                TrainRequest(name="n", pictures="p", **{name: end})
        if isinstance(box, gr.Dropdown) and name not in ("pictures", "model"):
            for _, choice in box.choices:
                view.launcher.form.request(values(name="n", pictures="p", **{name: choice}))


def test_open_boxes_take_numbers_as_people_write_them(view, values):
    form = view.launcher.form
    asked = form.request(
        values(
            name="n",
            pictures="p",
            steps=" 1,200 ",
            learning_rate="1e-4",
            sample_every="0",
            held_out="0",
            checkpointing="off",
            sample_prompts="a dog\n\n a cat ",
        )
    )
    assert (asked.steps, asked.learning_rate, asked.checkpointing) == (1200, 1e-4, False)
    assert (asked.sample_every, asked.held_out) == (0, 0.0)
    assert asked.sample_prompts == ("a dog", "a cat")
    with pytest.raises(RequestError, match="Steps"):
        form.request(values(name="n", pictures="p", steps="many"))


def test_what_a_method_does_not_use_is_not_asked_for(view, values):
    form = view.launcher.form
    given = {"name": "n", "pictures": "p", "preservation": True, "class_prompt": "", "rank": 99}
    asked = form.request(values(method="full", **given))
    assert (asked.preservation, asked.rank) == (False, TrainRequest.model_fields["rank"].default)
    for method in ("lora", "dreambooth"):
        with pytest.raises(RequestError, match="Class prompt is empty"):
            form.request(values(method=method, **given))


@pytest.mark.parametrize("file", sorted(FOLDER.glob("*.toml")), ids=lambda file: file.stem)
def test_no_preset_sets_what_its_method_hides(file):
    fields = read_toml(file.read_text(encoding="utf-8"))
    hidden = unused(Method(fields["method"]), bool(fields.get("whole")))
    assert not hidden & set(fields)


def test_every_value_goes_into_the_form_and_comes_back(view, values):
    form = view.launcher.form
    asked = TrainRequest(
        name="n",
        pictures="p",
        method=Method.DREAMBOOTH,
        preservation=True,
        class_prompt="a dog",
        class_pictures=12,
        captions=CaptionSource.NAMES,
        steps=7,
        learning_rate=2e-6,
        checkpointing=True,
        sample_prompts=("a dog", "a cat"),
        model="m",
    )
    given = asked.model_dump(exclude={"kind"})
    back = values(**{name: shown(name, value) for name, value in given.items()})
    assert form.request(back) == asked
    assert set(defaults()) == set(TrainRequest.model_fields) - {"kind", "name", "pictures"}


def test_what_is_wrong_is_passed_over_where_only_what_follows_is_asked(view, values):
    form = view.launcher.form
    asked = form.as_far_as_known(values(steps="many", batch_size=4))
    assert (asked.steps, asked.batch_size) == (None, 4)
    asked = form.as_far_as_known(values(method="textual-inversion", pictures="dogs"))
    assert (asked.method, asked.pictures) == (Method.TEXTUAL_INVERSION, "dogs")
    asked = form.as_far_as_known(values(method="dreambooth", preservation=True))
    assert asked.method is Method.DREAMBOOTH
    assert set(OPEN) >= {"steps", "learning_rate", "resolution", "alpha"}
