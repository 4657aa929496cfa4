"""Fine-tuning on the page: its form, its curves, and a real training of a tiny reader."""

from pathlib import Path

import gradio as gr
import pytest
from tiny_readers import make_reader

from studio.events import Measured
from studio.reader_requests import FinetuneRequest
from tabs.blocks import tuning
from tabs.blocks.tuning import Curves, TuningHandlers

SMALL = Path(__file__).resolve().parents[1] / "data" / "small-v2.0.json"


@pytest.fixture
def view():
    with gr.Blocks(analytics_enabled=False):
        return tuning.build()


@pytest.fixture
def handlers(services, settings, view):
    make_reader(settings.data_dir / "models" / "readers" / "tiny")
    services.data_sets.add(SMALL.read_bytes(), "small-v2.0.json")
    return TuningHandlers(services, view)


def values(view, **given):
    told = {component: component.value for component in view.form.fields.values()}
    return told | {view.form.fields[name]: value for name, value in given.items()}


def test_the_form_has_every_field_with_its_default(view):
    assert set(view.form.fields) == set(FinetuneRequest.model_fields) - {"kind"}
    given = {"base": "b", "train": "t", "name": "n", "dev": ""}
    request = view.form.request(values(view, **given))
    assert request == FinetuneRequest(**given)


def test_sliders_stay_within_what_is_allowed(view):
    for name, component in view.form.fields.items():
        if isinstance(component, gr.Slider):
            for end in (component.minimum, component.maximum):
                FinetuneRequest(base="b", train="t", name="n", **{name: end})


def test_lists_name_what_is_here(handlers):
    base, train, dev, teachers = handlers.lists()
    assert ("tiny", "tiny") in base.choices
    assert train.choices == [("small-v2.0", "small-v2.0")]
    assert dev.choices == [("nothing", ""), ("small-v2.0", "small-v2.0")]
    assert ("tiny", "tiny") in teachers.choices


def test_what_is_not_chosen_is_told(handlers, view):
    with pytest.raises(gr.Error, match="Choose what to begin with"):
        handlers.start(values(view))
    with pytest.raises(gr.Error, match="Choose a data set"):
        handlers.start(values(view, base="tiny"))
    with pytest.raises(gr.Error, match="Name"):
        handlers.start(values(view, base="tiny", train="small-v2.0"))
    with pytest.raises(gr.Error, match="no data set 'other'"):
        handlers.start(values(view, base="tiny", train="other", name="n"))


def test_curves_take_each_step_once():
    curves = Curves()
    for step in (1, 2, 2, 1, 3):
        curves.add(Measured(step=step, values={"loss": float(step)}))
    curves.add(Measured(step=3, values={"f1": 50.0, "exact": 40.0}))
    assert curves.points["loss"] == ([1, 2, 3], [1, 2, 3])
    drawn = curves.plots()
    assert "Loss · 3.000" in drawn
    assert "Dev set" in drawn
    assert "Learning rate" not in drawn
    assert Curves().plots() == ""


def test_a_training_is_followed_to_its_scores(handlers, view, services):
    given = {"base": "tiny", "train": "small-v2.0", "dev": "small-v2.0", "name": "mine"}
    job_id = handlers.start(values(view, **given, epochs=1, processes=1))
    services.trainer.start()
    shown = [update[view.curves] for update in handlers.follow(job_id) if view.curves in update]
    services.trainer.stop()
    assert services.queue.get(job_id).status == "finished"
    row = services.leaderboard.of_job(job_id)
    assert f"{row.f1:.2f}" in shown[-1]
    assert "Dev set" in shown[-1]
    assert services.readers.usable("mine")
    assert services.answering.threshold("mine") != 0.5, "it was calibrated"
