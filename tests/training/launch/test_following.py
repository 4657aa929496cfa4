"""A run's files as events: each thing once, also when the run goes back."""

import pytest
from train_runs import request

from studio.events import Event, Measured, Notice, Preview, Progress
from studio.training.launch.following import Follower
from studio.training.run_folder import Phase, RunFolder, RunStatus
from studio.training.task import Task


class Listener:
    def __init__(self) -> None:
        self.events: list[Event] = []

    def emit(self, event: Event) -> None:
        self.events.append(event)

    def new(self, kind: type) -> list:
        """What came since the last question."""
        found = [event for event in self.events if isinstance(event, kind)]
        self.events = [event for event in self.events if not isinstance(event, kind)]
        return found


@pytest.fixture
def run(tmp_path) -> RunFolder:
    made = RunFolder(tmp_path / "rex-1")
    Task(request=request(), data=tmp_path, pictures=tmp_path).write(made.path)
    return made


@pytest.fixture
def listener() -> Listener:
    return Listener()


@pytest.fixture
def expected() -> list[float]:
    return []


@pytest.fixture
def follower(run, listener, expected) -> Follower:
    return Follower(run, listener.emit, expected.append)


def test_progress_is_told_when_something_has_changed(run, follower, listener, expected):
    follower.look()
    assert listener.events == [], "one that waits is told of by its job"
    run.tell(RunStatus(Phase.TRAINING, pid=1, step=3, steps=9, seconds_left=4.0))
    assert follower.look().step == 3
    follower.look()
    [progress] = listener.new(Progress)
    assert (progress.step, progress.steps, progress.label) == (3, 9, "training")
    assert expected == [4.0]
    run.tell(RunStatus(Phase.SAVING, pid=1, step=3, steps=9, seconds_left=4.0))
    follower.look()
    assert listener.new(Progress)[0].label == "saving"


def test_points_that_are_told_again_after_going_back(run, follower, listener):
    for step in (1, 2, 3, 4):
        run.measure(step, {"loss": 1.0})
    follower.look()
    assert [each.step for each in listener.new(Measured)] == [1, 2, 3, 4]
    run.cut(2)
    for step in (3, 4, 5):
        run.measure(step, {"loss": 0.5})
    follower.look()
    assert [(each.step, each.values["loss"]) for each in listener.new(Measured)] == [
        (3, 0.5),
        (4, 0.5),
        (5, 0.5),
    ]
    run.cut(5)
    run.measure(6, {"loss": 0.5})
    follower.look()
    assert [each.step for each in listener.new(Measured)] == [6]


def test_what_is_no_number_is_left_out(run, follower, listener):
    run.measure(1, {"loss": float("nan"), "held_out": 0.5})
    run.measure(2, {"loss": float("inf")})
    with (run.path / "curve.jsonl").open("a") as stream:
        stream.write('{"step": "x"}\n{"loss": 1}\n{"step": 3, "lo')
    follower.look()
    [point] = listener.new(Measured)
    assert point.values == {"held_out": 0.5}


def test_the_newest_sample_is_shown_once(run, follower, listener):
    for step, number in ((5, 0), (5, 1), (10, 0)):
        place = run.sample_path(step, number)
        place.parent.mkdir(exist_ok=True)
        place.write_bytes(f"{step}".encode())
    follower.look()
    follower.look()
    [preview] = listener.new(Preview)
    assert (preview.step, preview.image) == (10, b"10")


def test_notices_are_told_once(run, follower, listener):
    run.notice("One.")
    follower.look()
    run.notice("Two.", 5)
    follower.look()
    assert [each.text for each in listener.new(Notice)] == ["One.", "Two."]
