"""Grids on the page: what is asked, what is shown, and what a press on a picture uses."""

import gradio as gr
import pytest
from PIL import Image

from studio.training.choice import export_path
from studio.training.run_folder import RunFolder
from studio.training.task import Task
from studio.training.watching.grid import make_grid
from studio.training_requests import GridRequest, TrainRequest
from tabs.blocks.train.gridding import GridHandlers, chosen, grid

RUN = "rex-1"


@pytest.fixture
def run(services, settings, things) -> RunFolder:
    """A run that has kept the steps 0, 50 and 100."""
    made = RunFolder(settings.data_dir / "runs" / RUN)
    asked = TrainRequest(
        name="rex", pictures=things, prompt="a sks dog", sample_prompts=("a sks dog", "a cat")
    )
    Task(request=asked, data=settings.data_dir, pictures=settings.data_dir).write(made.path)
    for step in (0, 50, 100):
        export_path(made, step).parent.mkdir(exist_ok=True)
        export_path(made, step).write_bytes(b"")
    return made


@pytest.fixture
def handlers(services, view):
    return GridHandlers(services, view.launcher.grid)


@pytest.fixture
def panel(view):
    return view.launcher.grid


def asked_for(panel, **given):
    usual = {"steps": [], "strengths": "0.5, 1", "prompts": "", "seed": 1, **given}
    return {getattr(panel, name): value for name, value in usual.items()}


def test_a_run_brings_its_steps_and_prompts(panel, handlers, run):
    told = handlers.fill(RUN)
    assert told[panel.steps].choices == [("50", 50), ("100", 100)]
    assert told[panel.prompts].placeholder == "a sks dog\na cat"
    assert told[panel.shown] == ""


def test_a_page_without_a_run_has_no_grid(panel, handlers):
    assert handlers.fill("")[panel.shown] == ""
    assert handlers.fill("gone-1")[panel.steps].choices == []


def test_what_is_asked_for_is_put_into_the_line(services, panel, handlers, run):
    handlers.paint(RUN, asked_for(panel, steps=[100], prompts="a\n\n b \n", seed=7))
    [row] = services.queue.unended("train-grid")
    wanted = services.queue.request(row)
    assert wanted == GridRequest(
        run=RUN, checkpoints=(100,), strengths=(0.5, 1.0), prompts=("a", "b"), seed=7
    )


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"strengths": "strong"}, "must be numbers with commas"),
        ({"strengths": "nan"}, "nan"),
        ({"strengths": "9"}, "4"),
        ({"strengths": ","}, "Strengths"),
        ({"seed": -1}, "Seed"),
        ({"steps": [7]}, "no checkpoint 7"),
    ],
)
def test_what_cannot_be_painted_is_refused_in_words(panel, handlers, run, given, said):
    with pytest.raises(gr.Error) as caught:
        handlers.paint(RUN, asked_for(panel, **given))
    assert said in str(caught.value)


def test_a_grid_shows_every_picture_with_its_button_and_marks_the_best(run):
    prompts = ("a <b>dog</b>", "a cat")
    wanted = GridRequest(run=RUN, checkpoints=(50, 100), strengths=(0.5, 1.0), prompts=prompts)
    made = make_grid(
        wanted,
        run.path / "grids",
        lambda step, *_: Image.new("RGB", (20, 20), (step, 0, 0)),
        lambda image, prompt: {"subject": image.getpixel((0, 0))[0] / 255, "prompt": None},
    )
    shown = grid(RUN, made)
    assert shown.count("<img") == shown.count('data-act="use"') == 8
    assert "<b>dog" not in shown
    assert "step 100 at strength 0.5." in shown
    assert shown.count("at-run-best") == 2, "once for each prompt"
    assert 'data-value="100@0.5"' in shown
    assert "subject 0.39" in shown
    assert f"runs/rex-1/grids/{made.digest}/7" in shown


def test_a_press_says_which_step_and_strength(event):
    assert chosen(event(act="use", value="100@0.5")) == (100, 0.5)
    for value in ("", "100", "a@b", "@", "1@"):
        assert chosen(event(act="use", value=value)) is None
