"""Grids as jobs: of real checkpoints, painted by the studio's own engine."""

import io
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import gradio as gr
import numpy as np
import pytest
from PIL import Image
from training_runs import here

from studio.errors import NotFound, RequestError
from studio.events import Failed, Finished, Progress
from studio.jobs.worker import runner_name
from studio.people import EVERYBODYS
from studio.requests import GenerationRequest
from studio.services import Services, build_services
from studio.settings import Settings
from studio.training.launch.finding import checkpoint_file
from studio.training.run_folder import RunFolder
from studio.training.task import Task, read_task
from studio.training.watching.grid_picture import best
from studio.training_requests import GridRequest, Method, TrainRequest
from tabs.blocks.train.gridding import GridHandlers
from tabs.blocks.train.gridding import build as build_panel

PROMPTS = ("a photo of sks cat", "a red ball")
RUN = "cat-1a2b"


@pytest.fixture(scope="module")
def data(tmp_path_factory, training_data, tiny) -> Path:
    """A data folder with a LoRA's run of a tiny model: checkpoints at the steps 2, 4 and 6."""
    folder = tmp_path_factory.mktemp("grids")
    model = tiny("sd")
    shutil.copytree(training_data / "models" / model, folder / "models" / model)
    shutil.copytree(training_data / "pictures", folder / "pictures")
    asked = TrainRequest(
        name="cat",
        model=model,
        pictures="drawings",
        prompt=PROMPTS[0],
        trigger="sks",
        resolution=64,
        steps=6,
        rank=4,
        alpha=64.0,
        learning_rate=0.05,
        batch_size=2,
        micro_batch=2,
        held_out=0.0,
        sample_prompts=PROMPTS,
        sample_every=0,
        save_every=2,
        threads=1,
    )
    pictures = folder / "pictures" / "drawings"
    run = RunFolder(folder / "runs" / RUN)
    Task(request=asked, data=folder, pictures=pictures).write(run.path)
    here(run)
    word = asked.model_copy(update={"name": "word", "method": Method.TEXTUAL_INVERSION})
    Task(request=word, data=folder, pictures=pictures).write(folder / "runs" / "word-3c4d")
    return folder


@pytest.fixture
def services(data) -> Iterator[Services]:
    made = build_services(Settings(data_dir=data, device="cpu", dtype="float32"))
    yield made
    shutil.rmtree(data / "runs" / RUN / "grids", ignore_errors=True)
    made.stop()


def painted(services: Services, **fields: object) -> tuple[list, dict[tuple, np.ndarray]]:
    """Events of a grid's job, and its pictures by step, strength and prompt."""
    job = services.queue.submit(GridRequest(run="cat", **fields), runner=runner_name())
    work = threading.Thread(target=services.runner.run, args=(services.queue.get(job),))
    work.start()
    events = list(services.queue.follow(job))
    work.join()
    assert isinstance(events[-1], Finished), events[-1]
    made = services.gridding.made("cat")[0]
    cells = {
        (each.cell.checkpoint, each.cell.strength, each.cell.prompt): np.asarray(
            Image.open(each.file)
        )
        for each in made.painted
    }
    return events, cells


def test_what_is_left_open_follows_from_the_run(services):
    found = services.gridding.resolve(GridRequest(run="cat"))
    assert found.run == RUN
    assert found.checkpoints == (2, 4, 6)
    assert found.prompts == PROMPTS
    given = GridRequest(run=RUN, checkpoints=(4,), prompts=("a",), strengths=(1.0,), seed=9)
    assert services.gridding.resolve(given) == given


def test_checkpoints_and_strengths_are_those_that_are_worn(services):
    events, cells = painted(services, checkpoints=(2, 6), strengths=(0.0, 1.0), prompts=PROMPTS[:1])
    prompt = PROMPTS[0]
    assert np.array_equal(cells[2, 0.0, prompt], cells[6, 0.0, prompt]), "nothing is worn"
    assert not np.array_equal(cells[2, 0.0, prompt], cells[2, 1.0, prompt])
    assert not np.array_equal(cells[2, 1.0, prompt], cells[6, 1.0, prompt])
    assert cells[2, 0.0, prompt].shape == (64, 64, 3), "as large as the run's pictures"
    steps = [each.step for each in events if isinstance(each, Progress)]
    assert (steps[0], steps[-1]) == (0, 4)
    assert steps == sorted(steps)


def test_a_cell_is_what_the_generate_tab_makes_of_the_same_prompt(services, data):
    _, cells = painted(services, checkpoints=(4,), strengths=(0.5,), prompts=PROMPTS[1:], seed=5)
    asked = GenerationRequest(
        model=read_task(data / "runs" / RUN).request.model,
        prompt=f"{PROMPTS[1]} <lora:cat@4:0.5>",
        seed=5,
        width=64,
        height=64,
    )
    job = services.run_now(asked)
    [number] = services.outputs.of_job(job)
    row = services.outputs.get(number)
    image = Image.open(io.BytesIO((data / row.file).read_bytes()))
    [cell] = cells.values()
    assert np.array_equal(np.asarray(image.convert("RGB")), cell)
    assert "Lora hashes" in row.infotext


def test_a_second_grid_paints_only_what_is_new(services):
    painted(services, checkpoints=(2,), strengths=(1.0,))
    before = {each.file: each.file.stat().st_mtime_ns for each in _cells(services)}
    events, cells = painted(services, checkpoints=(2, 4), strengths=(1.0,))
    after = {each.file: each.file.stat().st_mtime_ns for each in _cells(services)}
    assert len(cells) == 4
    assert before.items() <= after.items()
    assert [each.step for each in events if isinstance(each, Progress)][-1] == 4


def test_pictures_of_the_subject_are_scored_and_the_best_is_told(services):
    painted(services, strengths=(0.5, 1.0))
    made = services.gridding.made("cat")[0]
    of_subject = [each for each in made.painted if "sks" in each.cell.prompt]
    others = [each for each in made.painted if "sks" not in each.cell.prompt]
    assert all(each.scores["subject"] is not None for each in of_subject)
    assert all(each.scores["subject"] is None for each in others)
    values = [v for each in made.painted for v in each.scores.values() if v is not None]
    assert made.best == best(made.painted)
    assert (made.best is None) == (max(values) <= 0)  # what a tiny model paints is like nothing


def test_a_grid_without_its_pictures_is_painted_and_says_so(services, data):
    pictures = data / "pictures" / "drawings"
    pictures.rename(pictures.with_name("gone"))
    try:
        events, _ = painted(services, checkpoints=(2,), strengths=(1.0,), seed=3)
    finally:
        pictures.with_name("gone").rename(pictures)
    assert any("is not scored" in getattr(each, "text", "") for each in events)
    assert services.gridding.made("cat")[0].best is None


def test_what_cannot_be_is_refused_in_a_sentence(services, data):
    def refused(kind: type[Exception], **fields: object) -> str:
        with pytest.raises(kind) as caught:
            services.queue.submit(GridRequest(**fields))
        return str(caught.value)

    assert "There is no run 'dog'" in refused(NotFound, run="dog")
    assert "'../../etc'" in refused(NotFound, run="../../etc")
    assert "no checkpoint 5; there are: 0, 2, 4, 6" in refused(
        NotFound, run="cat", checkpoints=(5,)
    )
    assert "makes no LoRA" in refused(RequestError, run="word")
    many = {"strengths": tuple(i / 10 for i in range(20)), "prompts": tuple("abcdef")}
    assert "360 pictures, but 300 are the most" in refused(RequestError, run="cat", **many)


def test_a_job_whose_run_was_removed_fails_with_words(services, data):
    job = services.queue.submit(GridRequest(run="cat"), runner=runner_name())
    run = data / "runs" / RUN
    run.rename(run.with_name(".away"))
    try:
        services.runner.run(services.queue.get(job))
    finally:
        run.with_name(".away").rename(run)
    final = list(services.queue.follow(job))[-1]
    assert isinstance(final, Failed)
    assert "There is no run" in final.reason


@pytest.mark.parametrize(
    "name", ["cat@3", "cat@", "@2", "cat", "dog@2", "cat@²", "../cat@2", "cat@-2", "cat@2.0"]
)
def test_only_checkpoints_that_are_there_are_found(data, name):
    assert checkpoint_file(data, EVERYBODYS, name) is None


def test_checkpoints_are_found_by_the_run_and_by_its_outcome(data):
    [file] = {
        checkpoint_file(data, EVERYBODYS, name) for name in ("cat@2", f"{RUN}@2", f"{RUN}@00002")
    }
    assert file == data / "runs" / RUN / "exports" / "step-00000002.safetensors"


def _cells(services: Services) -> tuple:
    return services.gridding.made("cat")[0].painted


def test_a_page_follows_a_grid_to_its_end(services):
    with gr.Blocks():
        panel = build_panel()
    handlers = GridHandlers(services, panel)
    usual = {"steps": [2], "strengths": "1", "prompts": "a", "seed": 1}
    handlers.paint(RUN, {getattr(panel, name): value for name, value in usual.items()})
    services.worker.start()
    told = list(handlers.follow(RUN))
    services.worker.stop()
    assert "0 of 1 pictures" in "".join(each.get(panel.progress, "") for each in told)
    assert [each for each in told if "<img" in each.get(panel.shown, "")]
    assert told[-1][panel.progress] == ""
