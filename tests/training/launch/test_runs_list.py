"""The list of runs: what each says of itself, filters, and what is done to one by its name."""

import json
import os
import time

import psutil
import pytest
from train_runs import request

from studio.errors import NotFound, RequestError
from studio.training.launch.runs import Runs
from studio.training.run_folder import Phase, RunFolder, RunStatus, Wish
from studio.training.task import Task


@pytest.fixture
def runs(tmp_path) -> Runs:
    return Runs(tmp_path, lambda wanted: f"job of {wanted.name}")


@pytest.fixture
def make(tmp_path):
    """Makes a run's folder by hand; age: seconds since it was made."""

    def make(name: str, status: RunStatus | None = None, age: float = 0, **changes) -> RunFolder:
        run = RunFolder(tmp_path / "runs" / f"{name}-12ab34cd")
        wanted = request(name=name, **changes)
        Task(request=wanted, data=tmp_path, pictures=tmp_path).write(run.path)
        when = time.time() - age
        os.utime(run.path / "task.json", (when, when))
        if status is not None:
            run.tell(status)
        return run

    return make


def living(phase: Phase = Phase.TRAINING, **more) -> RunStatus:
    me = psutil.Process()
    return RunStatus(phase, pid=me.pid, started=me.create_time(), **more)


def test_what_each_says(runs, make, tmp_path):
    make("old", RunStatus(Phase.FINISHED, step=40, steps=40), age=50, method="full")
    make("new", living(step=3, steps=40, seconds_left=9.5), owner="ann")
    make("waits", age=20)
    make("dead", RunStatus(Phase.SAVING, pid=2**22 + 1, step=7, steps=40, seconds_left=1), age=30)
    make("bad", RunStatus(Phase.FAILED, reason="Why."), age=40)
    entries = runs.entries()
    assert [each.title for each in entries] == ["new", "waits", "dead", "bad", "old"]
    new, waits, dead, bad, old = entries
    assert (new.name, new.method, new.owner, new.phase) == (
        "new-12ab34cd",
        "lora",
        "ann",
        "training",
    )
    assert (new.step, new.steps, new.seconds_left, new.is_alive) == (3, 40, 9.5, True)
    assert (waits.phase, waits.is_dead, waits.steps) == (Phase.WAITING, False, 40)
    assert (dead.phase, dead.is_dead, dead.seconds_left) == (Phase.FAILED, True, None)
    assert "step 7" in dead.reason
    assert (bad.reason, bad.is_dead) == ("Why.", False)
    assert [each.can_resume for each in entries] == [False, False, True, True, False]
    assert old.result is None
    (tmp_path / "models" / "old").mkdir(parents=True)
    assert runs.get("old").result == tmp_path / "models" / "old"
    (tmp_path / "runs" / "new-12ab34cd" / "result").mkdir()
    assert runs.get("new").result == tmp_path / "runs" / "new-12ab34cd" / "result"


def test_filters(runs, make):
    make("one", owner="ann")
    make("two", RunStatus(Phase.PAUSED), owner="bob", method="dreambooth", age=5)
    make("three", RunStatus(Phase.TRAINING, pid=2**22 + 1), owner="bob", age=9)

    def titles(**wanted) -> list[str]:
        return [each.title for each in runs.entries(**wanted)]

    assert titles() == ["one", "two", "three"]
    assert titles(phase=Phase.FAILED) == ["three"]
    assert titles(phase=Phase.TRAINING) == []
    assert titles(method="dreambooth") == ["two"]
    assert titles(owner="bob") == ["two", "three"]
    assert titles(text="TH") == ["three"]
    assert titles(text="ann") == ["one"]
    assert titles(owner="bob", text="one") == []


def test_damaged_runs_and_those_of_readers_are_left_out(runs, make, tmp_path):
    (make("bad").path / "task.json").write_text("{")
    (tmp_path / "runs" / "reader-1").mkdir()
    (tmp_path / "runs" / "reader-1" / "options.json").write_text("{}")
    assert runs.entries() == []


@pytest.mark.parametrize("name", ["..", "../runs/one-12ab34cd", "/etc", "nobody", ""])
def test_a_name_is_no_path(name, runs, make):
    make("one")
    with pytest.raises(NotFound, match="there are: one-12ab34cd"):
        runs.get(name)


def test_wishes_and_resumes(runs, make):
    run = make("one", living(step=5))
    runs.pause("one")
    assert run.wished() is Wish.PAUSE
    runs.stop("one-12ab34cd")
    assert run.wished() is Wish.STOP
    with pytest.raises(RequestError, match="is training and cannot be resumed"):
        runs.resume("one")
    run.tell(RunStatus(Phase.PAUSED, step=5))
    for act in (runs.pause, runs.stop, runs.kill):
        with pytest.raises(RequestError, match=r"there is nothing to|no process"):
            act("one")
    assert runs.resume("one") == "job of one"
    run.tell(RunStatus(Phase.FINISHED))
    with pytest.raises(RequestError, match="is finished and cannot be resumed"):
        runs.resume("one")


def test_what_lies_in_its_folder(runs, make):
    run = make("one", RunStatus(Phase.PAUSED))
    for name in ("step-00000010", "step-00000005", "step-00000007.part", "best"):
        (run.path / "checkpoints" / name).mkdir(parents=True)
    assert [step for step, _ in runs.checkpoints("one")] == [5, 10]
    run.measure(1, {"loss": 0.5})
    run.notice("Hear this.")
    place = run.sample_path(5, 1)
    place.parent.mkdir()
    place.write_bytes(b"x")
    (run.path / "log.txt").write_text("words\n")
    points, at = runs.curve("one")
    assert points == [{"step": 1, "loss": 0.5}]
    assert runs.curve("one", at) == ([], at)
    assert runs.notices("one") == ["Hear this."]
    assert runs.samples("one") == [(5, 1, place)]
    assert runs.log("one") == "words\n"


def test_removing(runs, make):
    run = make("one", living())
    with pytest.raises(RequestError, match="is training; stop it"):
        runs.remove("one")
    run.tell(RunStatus())
    with pytest.raises(RequestError, match="is waiting; stop it"):
        runs.remove("one")
    run.tell(RunStatus(Phase.STOPPED))
    runs.remove("one")
    assert list(run.path.parent.iterdir()) == []


def test_what_a_kill_has_left_of_a_removed_one_is_no_run(runs, make):
    run = make("one", RunStatus(Phase.STOPPED))
    run.path.rename(run.path.with_name(".removed-1"))
    assert runs.entries() == []
    runs.sweep()
    assert list(run.path.parent.iterdir()) == []


def test_of_two_with_one_title_the_newer_is_meant(runs, make, tmp_path):
    older = make("one", RunStatus(Phase.STOPPED), age=100)
    newer = RunFolder(tmp_path / "runs" / "one-ffffffff")
    told = json.loads((older.path / "task.json").read_text())
    Task.model_validate(told).write(newer.path)
    assert runs.folder("one").path == newer.path
    assert runs.folder("one-12ab34cd").path == older.path
