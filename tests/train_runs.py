"""Runs of trainings whose program is a stand-in: requests, and ways to follow and to end them."""

import time
from collections.abc import Callable
from pathlib import Path

import psutil

from studio.events import Event
from studio.services import Services, build_services
from studio.settings import Settings
from studio.training.launch.process import processes_of
from studio.training.run_folder import RunFolder
from studio.training_requests import TrainRequest

STAND_IN = Path(__file__).parent / "training" / "launch" / "stand_in.py"
PROGRAM = (str(STAND_IN),)
SECONDS = 60.0


def opened(folder: Path, *, apart: bool = False) -> Services:
    """Services on a data folder whose runs are done by the stand-in."""
    settings = Settings(data_dir=folder, device="cpu", dtype="float32")
    return build_services(settings, training_program=PROGRAM, apart=apart)


def request(**changes: object) -> TrainRequest:
    given = {"name": "rex", "pictures": "dogs", "prompt": "a photo of sks dog", "steps": 40}
    return TrainRequest(**{**given, **changes})


def followed(services: Services, job: str) -> list[Event]:
    """All events of a job to its end."""
    events = []
    for event in services.queue.follow(job, heartbeat=SECONDS):
        assert event is not None, "nothing happens"
        events.append(event)
    return events


def wait_until(true: Callable[[], object], seconds: float = SECONDS) -> None:
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until, "it never comes true"
        time.sleep(0.02)


def only_run(data: Path) -> RunFolder:
    """The one run of a data folder, once it is there."""
    wait_until(lambda: list((data / "runs").glob("*/task.json")))
    [task] = (data / "runs").glob("*/task.json")
    return RunFolder(task.parent)


def ended(data: Path) -> None:
    """End whatever processes work below a folder."""
    for task in (data / "runs").glob("*/task.json"):
        for each in processes_of(RunFolder(task.parent), PROGRAM):
            each.kill()
            psutil.wait_procs([each], timeout=5)
