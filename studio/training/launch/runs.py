"""The list of runs: what is in the runs folder, whoever began it and whatever became of it."""

import os
import shutil
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from studio.audit import UNNOTED, Act, Audit
from studio.errors import AtelierError, RequestError, from_os_error
from studio.people import EVERYBODYS, HOME, Deed, Owned, acting, needs
from studio.requests import Request
from studio.training.choice import put_to_use
from studio.training.launch.asking import CHECKPOINTS, place_of
from studio.training.launch.finding import RUNS, find_run, shown_runs
from studio.training.launch.process import PROGRAM, is_dead, is_running, kill
from studio.training.run_folder import LOG, RESULT, TASK, Phase, RunFolder, RunStatus, Wish
from studio.training.task import read_task
from studio.training_requests import Method, TrainRequest

_LOG_BYTES = 64_000


@dataclass(frozen=True)
class RunEntry:
    """A run as people see it.

    name: of its folder. title: what the outcome is called. phase: "failed" also for one that was
    broken off without a word, which is_dead tells. step, steps: of the optimiser while it trains.
    made, changed: seconds since 1970. result: file or folder of the outcome, None before there is
    one. reason: one sentence on why it failed.
    """

    name: str
    title: str
    method: Method
    model: str
    owner: str
    phase: Phase
    is_alive: bool
    is_dead: bool
    step: int
    steps: int
    seconds_left: float | None
    reason: str
    made: float
    changed: float
    result: Path | None = None

    @property
    def can_resume(self) -> bool:
        """Whether it can be gone on with."""
        return self.phase in (Phase.PAUSED, Phase.STOPPED, Phase.FAILED)


class Runs:
    """The runs of a data folder.

    submit: puts a request into the queue and returns its job's id. owned: who is shown which run.
    whose: id of a run's owner. audit: notes what is done to others' runs.
    """

    def __init__(
        self,
        data: Path,
        submit: Callable[[Request], str],
        program: Sequence[str] = PROGRAM,
        owned: Owned = EVERYBODYS,
        whose: Callable[[str], int] = lambda name: HOME.id,
        audit: Audit = UNNOTED,
    ):
        self._whose = whose
        self._audit = audit
        self._data = data
        self._owned = owned
        self._submit = submit
        self._program = program

    def entries(
        self,
        phase: Phase | None = None,
        method: Method | None = None,
        owner: str = "",
        text: str = "",
    ) -> list[RunEntry]:
        """Runs that fit all that is given, the newest first; text: in name, model or owner."""
        found = []
        for run in shown_runs(self._data, self._owned):
            try:
                entry = self._entry(run)
            except AtelierError:
                continue  # its task is damaged; the folder stays
            words = f"{entry.name}\n{entry.model}\n{entry.owner}".casefold()
            if (
                phase in (None, entry.phase)
                and method in (None, entry.method)
                and owner in ("", entry.owner)
                and text.casefold() in words
            ):
                found.append(entry)
        return sorted(found, key=lambda each: each.made, reverse=True)

    def get(self, name: str) -> RunEntry:
        """The run of a name; NotFound when there is none."""
        return self._entry(self.folder(name))

    def folder(self, name: str) -> RunFolder:
        """The folder of a run by its name, or by that of its outcome; NotFound for neither."""
        return find_run(self._data, name, self._owned)

    def request(self, name: str) -> TrainRequest:
        """What a run was asked."""
        return read_task(self.folder(name).path).request

    @needs(Deed.MAKE)
    def resume(self, name: str) -> str:
        """Go on with a run where it was; the id of the job that does.

        Raises RequestError for one that goes on, waits or is finished.
        """
        return self._submit(self.resumable(name))

    def resumable(self, name: str) -> TrainRequest:
        """The request that goes on with a run; RequestError as above."""
        entry = self.get(name)
        self._owned.demand(entry.name)
        if not entry.can_resume:
            raise RequestError(
                f"The run {entry.name} is {entry.phase.value} and cannot be resumed; "
                "only one that was paused, stopped or has failed can."
            )
        return self.request(name)

    @needs(Deed.MAKE)
    def pause(self, name: str) -> None:
        """Let a run save and end, to be gone on with; RequestError when it does not go on."""
        self._wish(name, Wish.PAUSE)

    @needs(Deed.MAKE)
    def stop(self, name: str) -> None:
        """Let a run save and end for good; RequestError when it does not go on."""
        self._wish(name, Wish.STOP)

    @needs(Deed.MAKE)
    def kill(self, name: str) -> None:
        """End a run at once; what it has learnt since its last checkpoint is lost."""
        run = self.folder(name)
        entry = self._entry(run)
        self._owned.demand(run.name)
        if not entry.is_alive:
            raise RequestError(f"The run {entry.name} has no process; there is nothing to kill.")
        kill(run, self._program)
        self._note(run.name, "kill")

    @needs(Deed.MAKE)
    def remove(self, name: str) -> None:
        """Delete a run's folder; what it has put into the models folder stays.

        Raises RequestError while it goes on or waits.
        """
        run = self.folder(name)
        entry = self._entry(run)
        self._owned.demand(run.name)
        if entry.is_alive or entry.phase is Phase.WAITING:
            raise RequestError(
                f"The run {entry.name} is {entry.phase.value}; stop it before you remove it."
            )
        self._note(run.name, "remove")
        gone = run.path.with_name(f".removed-{uuid.uuid4().hex}")
        try:
            run.path.rename(gone)  # so that a kill leaves no half of a run
            shutil.rmtree(gone)
        except OSError as error:
            raise from_os_error(error, f"remove the run {entry.name}") from None
        self._owned.forget(run.name)

    def curve(self, name: str, start: int = 0) -> tuple[list[dict[str, Any]], int]:
        """The points from a byte of the run's curve on, and where to go on reading."""
        return self.folder(name).curve(start)

    def notices(self, name: str) -> list[str]:
        """What the run has told its person, oldest first."""
        return [str(each.get("text", "")) for each in self.folder(name).notices()[0]]

    def samples(self, name: str) -> list[tuple[int, int, Path]]:
        """Step, number of the prompt, and file of each sample, in that order."""
        return list(self.folder(name).samples())

    def checkpoints(self, name: str) -> list[tuple[int, Path]]:
        """Step and folder of each checkpoint, oldest first."""
        found = []
        for folder in (self.folder(name).path / CHECKPOINTS).glob("step-*"):
            digits = folder.name.removeprefix("step-")
            if digits.isdigit():
                found.append((int(digits), folder))
        return sorted(found)

    @needs(Deed.MAKE)
    def use(self, name: str, step: int) -> Path:
        """Let a step be what the run has made, instead of the last one; the file that it is now.

        Raises RequestError while the run goes on, NotFound when nothing was kept of the step.
        """
        entry, run = self.get(name), self.folder(name)
        self._owned.demand(run.name)
        if entry.is_alive:
            raise RequestError(f"The run {name!r} goes on; wait for its end, or stop it.")
        place = place_of(read_task(run.path).request, self._data / "models")
        put_to_use(run, step, place)
        return place

    def log(self, name: str) -> str:
        """The end of what the run's process has printed."""
        try:
            with (self.folder(name).path / LOG).open("rb") as stream:
                stream.seek(max(0, stream.seek(0, os.SEEK_END) - _LOG_BYTES))
                return stream.read().decode("utf-8", "replace")
        except OSError:
            return ""

    def sweep(self) -> None:
        """Delete what a kill has left of removed runs."""
        for each in (self._data / RUNS).glob(".removed-*"):
            shutil.rmtree(each, ignore_errors=True)

    def _wish(self, name: str, wish: Wish) -> None:
        run = self.folder(name)
        entry = self._entry(run)
        self._owned.demand(run.name)
        if not entry.is_alive and entry.phase is not Phase.WAITING:
            raise RequestError(
                f"The run {entry.name} is {entry.phase.value}; there is nothing to {wish.value}."
            )
        run.wish(wish)
        self._note(run.name, wish.value)

    def _note(self, name: str, deed: str) -> None:
        owner = self._whose(name)
        if owner != acting().id:
            whose = self._audit.name_of(owner)
            self._audit.note(Act.TRAINING, f"{name}{' of ' * bool(whose)}{whose}: {deed}")

    def _entry(self, run: RunFolder) -> RunEntry:
        request, status = read_task(run.path).request, run.status()
        dead = is_dead(run)
        return RunEntry(
            name=run.name,
            title=request.name,
            method=request.method,
            model=request.model,
            owner=request.owner,
            phase=Phase.FAILED if dead else status.phase,
            is_alive=is_running(run),
            is_dead=dead,
            step=status.step,
            steps=status.steps or request.steps or 0,
            seconds_left=None if dead else status.seconds_left,
            reason=_broken_off(status) if dead else status.reason,
            made=(run.path / TASK).stat().st_mtime,
            changed=status.beat,
            result=self._result(run, request, status),
        )

    def _result(self, run: RunFolder, request: TrainRequest, status: RunStatus) -> Path | None:
        places = [run.path / RESULT]
        if status.phase is Phase.FINISHED:
            places.insert(0, place_of(request, self._data / "models"))
        return next((place for place in places if place.exists()), None)


def _broken_off(status: RunStatus) -> str:
    return f"It was broken off at step {status.step:,}; resumed, it goes on from its checkpoint."
