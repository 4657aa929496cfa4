"""The job that makes a reader, from the request to the leaderboard, over kills and stops."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import torch
from tuning_runs import ROOT, SECONDS, weights

from studio.errors import AtelierError, ModelError, RequestError
from studio.events import Failed, Finished, Measured, Notice, Progress, Status, Stopped
from studio.reader.documents import pasted
from studio.reader_requests import AskRequest, FinetuneRequest
from studio.services import Services, build_services
from studio.settings import Settings

pytestmark = pytest.mark.slow
HERE = Path(__file__).parent
SETTINGS = {
    "name": "ours",
    "base": "encoder",
    "train": "town",
    "dev": "town",
    "epochs": 6,
    "learning_rate": 3e-3,
    "batch_size": 8,
    "max_length": 64,
    "overlap": 16,
    "held_out": 0.2,
    "who": "tests",
}


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also of the child, so that it makes the same weights each time."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def filled(folder: Path, encoder: Path, data: Path) -> Path:
    """A data folder with the encoder and the data set in it."""
    (folder / "models").mkdir(parents=True)
    shutil.copytree(encoder, folder / "models" / "encoder")
    (folder / "data_sets").mkdir()
    shutil.copy(data, folder / "data_sets" / "town.json")
    return folder


def opened(folder: Path) -> Services:
    return build_services(Settings(data_dir=folder, device="cpu", dtype="float32"))


@pytest.fixture
def services(tmp_path: Path, encoder: Path, data: Path) -> Iterator[Services]:
    made = opened(filled(tmp_path / "data", encoder, data))
    yield made
    made.stop()


def request(**changes: object) -> FinetuneRequest:
    return FinetuneRequest(**{**SETTINGS, **changes})


def followed(services: Services, job: str) -> list:
    events = []
    for event in services.queue.follow(job, heartbeat=SECONDS):
        assert event is not None, "nothing happens"
        events.append(event)
    return events


def children(folder: Path) -> list[psutil.Process]:
    """Training programs that work below a folder."""
    found = []
    for process in psutil.process_iter():
        try:
            line = process.cmdline()
        except psutil.Error:
            continue
        if "studio.reader.finetuning" in line and any(str(folder) in each for each in line):
            found.append(process)
    return found


def test_a_job_makes_a_reader_and_submits_it(services):
    job = services.queue.submit(request())
    services.trainer.start()
    events = followed(services, job)
    assert isinstance(events[-1], Finished)
    measured = [event for event in events if isinstance(event, Measured)]
    assert {"loss", "learning_rate"} in [set(event.values) for event in measured]
    assert sum("f1" in event.values for event in measured) == 6, "after each epoch"
    assert any(isinstance(e, Notice) and "Calibrated on" in e.text for e in events)

    place = services.settings.data_dir / "models" / "readers" / "ours"
    assert services.readers.usable("ours").path == place
    told = json.loads((place / "training.json").read_text())
    assert (told["base"], told["held_out"] > 0) == ("encoder", True)
    row = services.leaderboard.of_job(job)
    assert (row.model, row.who, row.questions) == ("ours", "tests", 48)
    card = (place / "README.md").read_text()
    assert "model-index:" in card
    assert f"{row.scores['f1']:.2f}" in card
    assert told["train_sha256"] in card
    assert str(place.parent) not in card, "a card tells nobody's folders"
    found = services.answering.ask(
        pasted("The old mill was built by Anna in 1900."),
        AskRequest(question="Who built the mill?", reader="ours"),
    )
    assert 0 < found.probability < 1
    [run] = (services.settings.data_dir / "runs").iterdir()
    assert {path.name for path in run.iterdir()} >= {"options.json", "curve.jsonl"}
    assert not (run / "checkpoints").exists(), "they are no longer of use"

    with pytest.raises(AtelierError, match="taken"):
        services.queue.submit(request(epochs=7))


def test_a_cancelled_training_can_be_gone_on_with(services):
    services.trainer.start()
    long = request(epochs=1000)
    job = services.queue.submit(long)
    for event in services.queue.follow(job, heartbeat=SECONDS):
        assert event is not None
        if isinstance(event, Progress) and event.step > 5:
            break
    services.queue.cancel(job)
    assert followed(services, job)[-1] == Stopped(status="cancelled")
    assert children(services.settings.data_dir) == []

    # The same file is the same data, also after somebody deleted it and added it again.
    content = services.data_sets.path("town").read_bytes()
    services.data_sets.remove("town")
    assert services.data_sets.add(content, "town.json") == "town"
    again = services.queue.submit(long)
    for event in services.queue.follow(again, heartbeat=SECONDS):
        assert event is not None
        if isinstance(event, Notice):
            assert event.text.startswith("Goes on from step ")
            break
    services.queue.cancel(again)
    assert followed(services, again)[-1] == Stopped(status="cancelled")


def test_what_the_program_cannot_do_is_told_in_its_words(services):
    config = services.settings.data_dir / "models" / "encoder" / "config.json"
    told = json.loads(config.read_text())
    config.write_text(json.dumps(told | {"model_type": "nonsense"}))
    services.trainer.start()
    [*_, last] = followed(services, services.queue.submit(request()))
    assert isinstance(last, Failed)
    assert "cannot be fine-tuned" in last.reason


def test_a_child_that_is_killed_is_told_of(services):
    services.trainer.start()
    job = services.queue.submit(request(epochs=1000))
    for event in services.queue.follow(job, heartbeat=SECONDS):
        if isinstance(event, Progress):
            break
    [child] = children(services.settings.data_dir)
    child.kill()
    [*_, last] = followed(services, job)
    assert isinstance(last, Failed)
    assert "goes on from its last checkpoint" in last.reason


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"base": "../elsewhere"}, RequestError, "neither a model"),
        ({"base": "/etc"}, RequestError, "neither a model"),
        ({"train": "nowhere"}, AtelierError, "no data set 'nowhere'"),
        ({"dev": "nowhere"}, AtelierError, "no data set 'nowhere'"),
        ({"teachers": ["nobody"]}, ModelError, "'nobody' is not installed"),
        ({"name": "encoder"}, RequestError, "taken"),
    ],
)
def test_a_request_with_a_part_that_is_missing_is_refused(changes, error, words, services):
    with pytest.raises(error, match=words):
        services.queue.submit(request(**changes))


def test_an_encoder_is_kept_once(services, encoder, tmp_path):
    first = services.finetuning.keep_encoder(encoder)
    assert services.finetuning.keep_encoder(encoder) == first
    other = tmp_path / encoder.name
    shutil.copytree(encoder, other)
    config = other / "config.json"
    config.write_text(config.read_text() + " ")
    assert services.finetuning.keep_encoder(other) != first
    with pytest.raises(ModelError, match="no config"):
        services.finetuning.keep_encoder(tmp_path)


# Servers that end


def server(folder: Path, wanted: FinetuneRequest, *orders: str) -> subprocess.Popen:
    command = [sys.executable, str(HERE / "training_server.py"), str(folder)]
    return subprocess.Popen(
        [*command, wanted.model_dump_json(), *orders],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def wait_for_end(folder: Path) -> None:
    until = time.monotonic() + SECONDS
    while children(folder):
        assert time.monotonic() < until, "the child outlives its server"
        time.sleep(0.1)


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
@pytest.mark.parametrize("how", ["killed", "stopped"])
def test_a_training_outlives_its_server(how, tmp_path, encoder, data):
    # Long enough to be met in the middle, and each step is told.
    wanted = request(max_steps=150, dev="")
    unbroken = opened(filled(tmp_path / "unbroken", encoder, data))
    try:
        unbroken.trainer.start()
        assert isinstance(followed(unbroken, unbroken.queue.submit(wanted))[-1], Finished)
    finally:
        unbroken.stop()

    folder = filled(tmp_path / "data", encoder, data)
    with server(folder, wanted, *(["stop"] if how == "stopped" else [])) as first:
        try:
            job = first.stdout.readline().split()[1]
            assert first.stdout.readline().startswith("step")
            if how == "killed":
                first.send_signal(signal.SIGKILL)
            else:
                first.stdin.close()
                assert "stopped" in first.stdout.read()
            first.wait(SECONDS)
        finally:
            first.kill()
    wait_for_end(folder)

    services = opened(folder)
    try:
        expected = Status.RUNNING if how == "killed" else Status.QUEUED
        assert services.queue.get(job).status is expected
        services.acquire()
        services.trainer.start()
        events = followed(services, job)
        assert isinstance(events[-1], Finished)
        [notice] = [e.text for e in events if isinstance(e, Notice) and "Goes on" in e.text]
        assert notice.endswith("of 150.")
        steps = [event.step for event in events if isinstance(event, Measured)]
        assert steps == sorted(steps)
        assert steps[0] == 20, "the curve is told from its beginning"
    finally:
        services.stop()
    ours, theirs = (
        weights(tmp_path / name / "models/readers/ours") for name in ("data", "unbroken")
    )
    for name in ours:
        assert torch.equal(ours[name], theirs[name]), name
