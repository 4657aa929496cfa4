"""`atelier train`: what is asked of a run, Ctrl+C, leaving it, and the list of runs."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from command_line import Result, ended, jobs
from PIL import Image
from train_runs import PROGRAM, only_run, opened, wait_until
from train_runs import ended as end_runs

from studio.cli import running
from studio.services import build_services
from studio.training.launch.process import is_running
from studio.training.run_folder import Phase
from studio.training.task import read_task

ROOT = Path(__file__).resolve().parents[2]
LONG = ("--steps", 4000)


@pytest.fixture
def pictures(tmp_path) -> Path:
    """A folder of pictures whose name is no plain one."""
    folder = tmp_path / "my dog's pictures"
    folder.mkdir()
    for number in range(3):
        Image.new("RGB", (96, 96), (80 * number, 40, 90)).save(folder / f"{number}.png")
    return folder


@pytest.fixture
def train(atelier, data, monkeypatch) -> Iterator[Callable[..., Result]]:
    """`atelier train …` in this process, whose runs are done by the stand-in."""
    stood_in = partial(build_services, training_program=PROGRAM)
    monkeypatch.setattr(running, "build_services", stood_in)
    yield partial(atelier, "train")
    end_runs(data)


@pytest.fixture
def start(data) -> Iterator[Callable[..., subprocess.Popen]]:
    """The same in a process of its own."""
    started: list[subprocess.Popen] = []

    def begin(*arguments: object) -> subprocess.Popen:
        process = subprocess.Popen(
            [sys.executable, str(ROOT / "tests/cli/stand_in_command.py"), *map(str, arguments)],
            env=os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        process.kill()
        with process:
            pass
    end_runs(data)


def test_a_run_from_a_folder(train, data, pictures):
    done = train("lora", "--data", pictures, "--prompt", "a photo of sks dog", "--steps", 12)
    assert done.code == 0, done.err
    run = only_run(data)
    request = read_task(run.path).request
    assert (request.pictures, request.name) == ("my dog_s pictures", "my-dog_s-pictures-lora")
    assert (request.method, request.steps) == ("lora", 12)
    assert done.out.startswith("my-dog_s-pictures-lora is trained: ")
    assert jobs(data) == ["finished"]

    listed = train("list").out
    assert f"{run.name}  finished  12/12  lora" in listed
    [told] = json.loads(train("list", "--json", "--phase", "finished").out)
    assert (told["name"], told["phase"], told["step"]) == (run.name, "finished", 12)
    assert train("list", "--phase", "paused").out == ""
    assert "must be one of: waiting" in train("list", "--phase", "odd").sentence()
    assert "is finished" in train("resume", run.name).sentence()
    assert train("remove", run.name).code == 0
    assert train("list").out == ""


def test_what_counts_of_preset_file_options_and_settings(train, data, pictures, tmp_path):
    """The later ones win."""
    file = tmp_path / "mine.toml"
    file.write_text('name = "mine"\n[shape]\nrank = 3\nalpha = 2.0\n[learning]\nseed = 5\n')
    shown = train(
        *("lora", "--data", pictures, "--preset", "sd15-12gb", "--config", file, "--rank", 8),
        *("--set", "learning.noise_offset=0.05", "--set", "pictures.keep_tokens=2", "--flip"),
        *("--set", "learning.schedule=linear", "--prompt", "a sks dog", "--show"),
    )
    assert shown.code == 0, shown.err
    assert list((data / "runs").glob("*")) == [] if (data / "runs").is_dir() else True
    (tmp_path / "shown.toml").write_text(shown.out)
    for line in (
        *('name = "mine"', "rank = 8", "alpha = 2.0", "seed = 5", "noise_offset = 0.05"),
        *("keep_tokens = 2", "flip = true", 'schedule = "linear"'),
    ):
        assert f"\n{line}\n" in shown.out
    # Of three pictures none can be held out; which views are measured follows in the run.
    assert [line for line in shown.out.splitlines() if "(derived)" in line] == [
        "# held_out = (derived)"
    ]
    again = train("lora", "--config", tmp_path / "shown.toml", "--show")
    assert again.out == shown.out, "what it shows can be given again"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (("--data", "{none}"), "nowhere"),
        (("--data", "{set}", "--preset", "huge"), "no preset 'huge'"),
        (("--data", "{set}", "--set", "rank=3"), "names no setting"),
        (("--data", "{set}", "--set", "shape.rank"), "names no setting"),
        (("--data", "{set}", "--set", "shape.rank=0"), "Rank must be greater than or equal to 1"),
        (("--data", "{set}", "--learning-rate", "10"), "Learning rate"),
        (("--data", "{set}", "--model", "gone"), "'gone' is not installed"),
        (("--data", "{set}", "--config", "{none}"), "read the settings"),
        ((), "Pictures"),
    ],
)
def test_what_cannot_be_done_is_refused(line, words, train, pictures, tmp_path):
    places = {"{none}": tmp_path / "nowhere", "{set}": pictures}
    assert words in train("lora", *(places.get(each, each) for each in line)).sentence()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGINT")
def test_ctrl_c_pauses_and_resume_goes_on(start, data, pictures):
    first = start("train", "lora", "--data", pictures, "--name", "rex", *LONG)
    run = only_run(data)
    wait_until(lambda: run.status().step > 3)
    first.send_signal(signal.SIGINT)
    done = ended(first)
    assert done.code == 130, done.err
    assert run.status().phase is Phase.PAUSED
    assert not is_running(run)
    assert f"`atelier train resume {run.name}` goes on." in done.err
    reached = run.status().step

    second = start("train", "resume", "rex")
    wait_until(lambda: run.status().step > reached)
    assert ended(start("train", "stop", "rex")).code == 0
    done = ended(second)
    assert done.code == 1
    assert f"Goes on from step {reached}." in done.err
    assert jobs(data) == ["cancelled", "cancelled"]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_a_run_outlives_its_command(start, data, pictures):
    line = ("train", "lora", "--data", pictures, "--name", "rex", *LONG)
    done = ended(start(*line, "--detach"))
    assert done.code == 0, done.err
    assert "goes on; `atelier train list`" in done.out
    run = only_run(data)
    assert is_running(run)
    pid = run.status().pid
    assert jobs(data) == ["queued"], "a server that comes follows it"

    second = start("train", "resume", "rex")
    wait_until(lambda: "running" in jobs(data))
    second.kill()
    second.wait()
    assert is_running(run)
    third = start(*line)
    wait_until(lambda: jobs(data).count("interrupted") >= 1 and "running" in jobs(data))
    assert run.status().pid == pid, "it is the same process"
    assert ended(start("train", "pause", "rex")).code == 0
    assert "Paused at step" in ended(third).err


@pytest.mark.slow
def test_where_there_is_a_server_that_trains(start, data, pictures):
    data.mkdir()
    services = opened(data)
    try:
        services.acquire()
        services.trainer.start()
        command = start("train", "lora", "--data", pictures, "--name", "rex", *LONG)
        run = only_run(data)
        wait_until(lambda: run.status().step > 3)
        assert [(e.holder.title, e.alone) for e in services.engine.broker.leases()] == [
            ("a training", True)
        ]
        command.send_signal(signal.SIGINT)
        done = ended(command)
        assert done.code == 130, done.err
        assert "The server of this data folder trains" in done.err
        assert run.status().phase is Phase.PAUSED
    finally:
        services.stop()
