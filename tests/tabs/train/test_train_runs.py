"""Runs on the page: followed to their end, listed, compared, and what they made put to use."""

import json
from pathlib import Path

import gradio as gr
import pytest
from train_runs import PROGRAM, ended

from studio.errors import StorageError
from studio.services import build_services
from studio.training.run_folder import Phase, RunFolder, RunStatus
from studio.training.task import Task
from studio.training_requests import TrainRequest
from tabs.blocks.train.curves import points_of, smoothed
from tabs.blocks.train.following import FollowHandlers, with_word
from tabs.blocks.train.launching import LaunchHandlers
from tabs.blocks.train.runs import RunsHandlers


@pytest.fixture
def services(settings):
    """Services whose runs are done by a stand-in, which learns nothing."""
    built = build_services(settings, training_program=PROGRAM)
    yield built
    built.stop()
    ended(settings.data_dir)


@pytest.fixture
def follower(services, view):
    return FollowHandlers(services, view.launcher)


@pytest.fixture
def runs(services, view):
    return RunsHandlers(services, view.runs)


@pytest.fixture
def listed(view):
    def told(**given):
        said = {box: box.value for box in view.runs.asked}
        return said | {getattr(view.runs, name): value for name, value in given.items()}

    return told


@pytest.fixture
def kept(settings):
    """Puts a run into the data folder that some process has done before."""

    def put(name, phase=Phase.FINISHED, **fields):
        given = {"name": name, "pictures": "dogs", "prompt": "a sks dog", "trigger": "sks"}
        asked = TrainRequest(**{**given, "sample_prompts": ("a sks <dog>",), **fields})
        run = RunFolder(settings.data_dir / "runs" / f"{name}-0")
        Task(request=asked, data=settings.data_dir, pictures=Path("dogs")).write(run.path)
        for step in range(1, 6):
            run.measure(step, {"loss": 1 / step, "learning_rate": 1e-4, "gradient": 0.5})
        run.measure(5, {"held_out": 0.3, "subject": 0.8})
        place = run.sample_path(5, 0)
        place.parent.mkdir()
        place.write_bytes(b"picture")
        run.notice("It went <well>.")
        run.tell(RunStatus(phase, step=5, steps=5, reason="" if phase else "x"))
        return run.name

    return put


def test_a_look_that_nobody_asked_for_brings_no_message(runs, view, listed, kept, monkeypatch):
    kept("rex")
    told = runs.look(listed())
    assert "rex" in told[view.runs.table]
    assert view.runs.owner not in told, "a list that is open would close"

    def fails(*_: object) -> None:
        raise StorageError("The disk is away.")

    monkeypatch.setattr(runs._runs, "entries", fails)
    assert runs.look(listed()) == gr.skip()


def test_a_training_is_followed_to_its_end_and_found_again(
    services, view, values, follower, things
):
    launching = LaunchHandlers(services, view.launcher)
    begun = launching.start(values(pictures=things, name="rex", prompt="a thing", steps="20"))
    subject = begun[view.launcher.subject]
    first = next(follower.follow(subject))
    assert "It waits in the line" in first[view.launcher.run]
    [job] = services.queue.unended("train")
    services.trainer.start()
    seen = list(follower.follow(subject))
    services.trainer.stop()
    [entry] = services.runs.entries()
    told = entry, services.queue.get(job.id), services.runs.log(entry.name)
    assert entry.phase is Phase.FINISHED, told
    whole = {}
    for each in seen:
        whole |= each
    assert 'data-phase="finished"' in whole[view.launcher.run]
    assert "Loss" in whole[view.launcher.curves]
    assert f"runs/{subject}/samples/20/0" in whole[view.launcher.samples]
    assert whole[view.launcher.subject] == subject
    assert any("step" in each.get(view.launcher.progress, "") for each in seen)
    # Another page, or this one after it was closed, knows of nothing.
    [found] = follower.follow("")
    assert found[view.launcher.subject] == subject


def test_a_page_follows_one_run_at_a_time(follower, kept, view):
    kept("rex", Phase.FINISHED)
    first = follower.follow("")
    next(first)
    list(follower.follow(""))
    assert list(first) == []


def test_a_run_that_waits_is_taken_back(services, view, values, follower, things):
    launching = LaunchHandlers(services, view.launcher)
    begun = launching.start(values(pictures=things, name="rex", prompt="a thing"))
    follower.stop(begun[view.launcher.subject])
    assert services.queue.unended("train") == []
    [shown] = follower.follow("")
    assert "Teach a model" in shown[view.launcher.run]


def test_a_run_is_shown_with_all_it_has_told(follower, kept, view):
    name = kept("rex")
    whole = {}
    for each in follower.follow(name):
        whole |= each
    assert "It went &lt;well&gt;." in whole[view.launcher.run]
    assert "a sks &lt;dog&gt;" in whole[view.launcher.samples]
    for title in ("Loss · ", "held out", "Learning rate", "Gradient norm", "Scores"):
        assert title in whole[view.launcher.curves]


def test_runs_are_listed_filtered_and_compared(runs, view, kept, listed, event):
    kept("rex", owner="ada")
    kept("tom", Phase.PAUSED, method="dreambooth")
    shown = runs.lists(listed())[view.runs.table]
    assert shown.count("data-pick=") == 2
    for given in ({"owner": "ada"}, {"phase": "finished"}, {"method": "lora"}, {"search": "REX"}):
        shown = runs.lists(listed(**given))[view.runs.table]
        assert "rex" in shown
        assert "tom" not in shown
    told = runs.choose(listed(), event(names=["rex-0", "tom-0", "gone"]))
    assert told[view.runs.curves].count("<polyline") == 4
    assert runs.choose(listed(), event(names="x"))[view.runs.curves] == ""


def test_a_picked_run_offers_what_can_be_done_with_it(runs, view, kept, listed, event):
    kept("tom", Phase.PAUSED)
    told = runs.pick(event(pick="tom-0"))
    assert told[view.runs.resume].visible
    assert told[view.runs.remove].visible
    assert not told[view.runs.pause].visible
    assert not told[view.runs.kill].visible
    assert 'name = "tom"' in told[view.runs.toml]
    with pytest.raises(gr.Error, match="nothing to pause"):
        runs.pause(listed(picked="tom-0"))
    with pytest.raises(gr.Error, match="There is no run"):
        runs.pick(event(pick="../secret"))
    assert runs.settings(listed(picked="tom-0"))["prompt"] == "a sks dog"


def test_a_run_is_removed_at_the_second_press(services, runs, view, kept, listed):
    kept("tom", Phase.FAILED)
    first = runs.remove(listed(picked="tom-0"))
    assert first[view.runs.sure] == "remove tom-0"
    runs.remove(listed(picked="tom-0", sure="remove tom-0"))
    assert services.runs.entries() == []


def test_what_was_made_is_one_press_from_use(services, settings, follower, kept, tmp_path):
    import torch
    from safetensors.torch import save_file

    name = kept("rex")
    with pytest.raises(gr.Error, match="not among the LoRA files"):
        follower.use(name, "", "")
    stem = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q"
    file = settings.data_dir / "models" / "loras" / "rex.safetensors"
    file.parent.mkdir(parents=True)
    halves = {"lora_down.weight": (4, 32), "lora_up.weight": (32, 4)}
    save_file({f"{stem}.{part}": torch.ones(size) for part, size in halves.items()}, file)
    model = services.catalogue.get("").id
    assert follower.use(name, model, "") == ("", "a sks dog <lora:rex:1>")
    assert follower.use(name, model, "a castle") == ("", "a castle, sks <lora:rex:1>")
    whole = kept("big", method="full")
    with pytest.raises(gr.Error, match="big"):
        follower.use(whole, model, "")


def test_a_word_is_put_into_a_prompt_that_lacks_it():
    assert with_word("a castle", "sks") == "a castle, sks"
    assert with_word("an SKS castle", "sks") == "an SKS castle"
    assert with_word("", "sks") == "sks"


def test_a_smoothed_curve_is_a_mean_without_the_pull_of_its_start():
    assert smoothed([]) == []
    assert smoothed([3.0] * 50) == pytest.approx([3.0] * 50)
    noisy = [2.0 + (-1) ** number for number in range(400)]
    assert max(abs(each - 2.0) for each in smoothed(noisy)[100:]) < 0.1


def test_points_that_are_no_numbers_are_passed_over():
    lines = [
        {"step": 1, "loss": 2.0},
        {"step": 2, "loss": float("nan")},
        {"loss": 1},
        {"step": "x"},
    ]
    assert points_of(json.loads(json.dumps(lines))) == {"loss": ([1], [2.0])}
