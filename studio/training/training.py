"""Trains: a run from where it is to its end."""

import threading

from studio.training.assembly import assembled
from studio.training.beat import Beat
from studio.training.loop import Outcome
from studio.training.results import Results
from studio.training.run_folder import Phase, RunFolder
from studio.training.task import Task
from studio.training.watcher import FolderWatcher


class Ended(Exception):
    """The run was told to end before its first step."""


def train(task: Task, folder: RunFolder, beat: Beat | None, ending: threading.Event) -> bool:
    """Do what is left of a run; whether it is finished.

    beat: of the process that tells how it goes; None in the others. ending: set when the process
    is to save and end.
    """

    def on_done(done: int, total: int) -> None:
        if ending.is_set() or folder.wished() is not None:
            raise Ended
        if beat is not None:
            beat.set(phase=Phase.CACHING, step=done, steps=total)

    parts = assembled(task, folder)
    try:
        parts.cache((), on_done)
    except Ended:
        return False
    results = Results(parts)
    learner = parts.learner()
    with FolderWatcher(parts, learner, results, beat, ending) as watcher:
        loop = parts.loop(learner, watcher)
        if loop.go() is not Outcome.FINISHED:
            return False
    if parts.accelerator.is_main_process:
        if beat is not None:
            beat.set(phase=Phase.SAVING)
        with loop.at_rest():
            results.publish()
    return True
