"""Runs and their checkpoints by name, looked up among those that are there."""

from collections.abc import Iterator
from pathlib import Path

from studio.errors import AtelierError, NotFound
from studio.people import EVERYBODYS, Owned
from studio.training.choice import export_path, steps_of
from studio.training.run_folder import TASK, RunFolder
from studio.training.task import read_task

RUNS = "runs"


def run_folders(data: Path) -> Iterator[RunFolder]:
    """All runs of a data folder that train from pictures, those of readers left out."""
    for task in sorted((data / RUNS).glob(f"[!.]*/{TASK}")):
        yield RunFolder(task.parent)


def title_of(run: RunFolder) -> str:
    """What the outcome of a run is called, "" when its task is damaged."""
    try:
        return read_task(run.path).request.name
    except AtelierError:
        return ""


def shown_runs(data: Path, owned: Owned) -> list[RunFolder]:
    """The runs that are shown to who is at work."""
    runs = list(run_folders(data))
    shown = owned.shown(run.name for run in runs)
    return [run for run in runs if run.name in shown]


def find_run(data: Path, name: str, owned: Owned = EVERYBODYS) -> RunFolder:
    """The run of a name, or the newest of that of its outcome; NotFound for neither."""
    runs = shown_runs(data, owned)
    for run in runs:
        if run.name == name:
            return run
    fitting = [run for run in runs if title_of(run) == name]
    if fitting:
        return max(fitting, key=lambda run: (run.path / TASK).stat().st_mtime)
    names = ", ".join(run.name for run in runs) or "none"
    raise NotFound(f"There is no run {name!r}; there are: {names}.")


def checkpoint_name(run: RunFolder, step: int) -> str:
    """What a prompt calls the LoRA of a checkpoint by."""
    return f"{run.name}@{step}"


def checkpoint_file(data: Path, owned: Owned, name: str) -> Path | None:
    """The LoRA of a checkpoint, by run@step, where run is as in `find_run`; None for no such."""
    title, at, step = name.rpartition("@")
    if not at or not step.isdecimal():
        return None
    try:
        run = find_run(data, title, owned)
    except NotFound:
        return None
    return next((export_path(run, each) for each in steps_of(run) if each == int(step)), None)
