"""The job of a run: waits for the device, begins the process, and follows it wherever it is.

The process belongs to nobody: a job that ends with its server leaves it, and the next server's job
finds it by its files.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from filelock import FileLock, Timeout

from studio.context import Context
from studio.errors import AtelierError, Cancelled, DeviceLost, ModelError, RequestError, ServerEnds
from studio.events import Notice, Progress, Waiting
from studio.models.broker import Lease
from studio.models.devices import Device
from studio.training.launch.asking import Asking
from studio.training.launch.class_pictures import ClassPictures, Recipe
from studio.training.launch.finding import run_folders
from studio.training.launch.following import Follower
from studio.training.launch.hold import DeviceHold
from studio.training.launch.process import (
    PROGRAM,
    begin,
    end_processes,
    is_dead,
    is_running,
    job_of,
    kill,
    last_words,
    processes_of,
)
from studio.training.run_folder import LOG, Phase, RunFolder, RunStatus, Wish
from studio.training.task import Task, read_task
from studio.training_requests import TrainRequest

_POLL = 0.5
_PATIENCE = 60.0
"""Seconds that a run has for its last checkpoint once it is told to stop."""
_END_SECONDS = 30.0
"""Seconds that a process may take to be gone once it has told its end."""
_SYSTEM_SECONDS = 10.0
"""Seconds in which a server ends too when the system has ended its run."""
_BEAT_SECONDS = 5.0


Check = Callable[[TrainRequest, Callable[[int, int], None]], None]
"""Raises RequestError for pictures that no training is begun with; tells how many it has seen."""


class Training:
    """The work function of trainings, and what completes their requests.

    data: the data folder. device: tells it once torch may be imported. empty: takes idle models off
    the device. check: looks at a request's pictures before its run begins. program: what Python is
    told to do.
    """

    def __init__(
        self,
        data: Path,
        asking: Asking,
        hold: DeviceHold,
        class_pictures: ClassPictures,
        device: Callable[[], Device],
        empty: Callable[[], object],
        *,
        check: Check = lambda request, on_progress: None,
        program: Sequence[str] = PROGRAM,
    ):
        self._data = data
        self._asking = asking
        self._hold = hold
        self._class_pictures = class_pictures
        self._device = device
        self._empty = empty
        self._check = check
        self._program = program

    def resolve(self, request: TrainRequest) -> TrainRequest:
        """The request with nothing left open, or a refusal in one sentence."""
        return self._asking(request)

    def folder(self, request: TrainRequest) -> RunFolder:
        """The folder of a complete request's run, which need not be there yet."""
        return self._asking.folder(request)

    def adopt(self) -> None:
        """Note that runs that go on have the device, before anybody else takes it."""
        self._hold.adopt(run_folders(self._data))

    def __call__(self, request: TrainRequest, context: Context) -> None:
        """Begin a run, or go on with it, or only follow it; until it has ended.

        Raises Cancelled when a person has paused, stopped or cancelled it, which saves first, and
        ModelError when it failed or was broken off.
        """
        run = self._asking.folder(request)
        if is_running(run):
            status = run.status()
            self._hold.keep(run, context.job_id)
            context.emit(Notice(text=f"The run goes on at step {status.step:,} and is followed."))
        elif not self._has_ended(run, context.job_id):
            self._asking.keep(request)
            self._begin(run, request, context)
        self._follow(run, context)

    def _has_ended(self, run: RunFolder, job_id: str) -> bool:
        """Whether the run came to its end for this job while no server looked."""
        status = run.status()
        if status.phase is Phase.PAUSED and run.wished() is None:
            return False  # by the end of the machine: it goes on
        ours = bool(job_id) and job_of(run) == job_id
        return status.phase is Phase.FINISHED or (ours and status.phase.is_final)

    def _begin(self, run: RunFolder, request: TrainRequest, context: Context) -> None:
        """Wait for the device, make what pictures of the class lack, and begin the process."""
        self._check(request, lambda done, of: _tell_looked(done, of, context))
        device = self._device()
        recipe = self._recipe(request, context)
        with _beginning(run):
            if is_running(run):  # another process has begun it just now
                self._hold.keep(run, context.job_id)
                return
            end_processes(run, self._program)  # workers that outlived a launcher
            self._write_task(run, request, recipe)
            before = run.status()
            run.wish(None)
            run.tell(replace(before, phase=Phase.WAITING, pid=0, started=0.0, reason=""))
            try:
                self._hold.take(run, context.job_id, _waits(run, context))
                if recipe is not None:
                    self._make(run, request, recipe, context)
                _check(run, context)
                configuration = self._asking.configuration(request)
                begin(
                    run,
                    device,
                    request.processes,
                    configuration,
                    job_id=context.job_id,
                    program=self._program,
                )
            except BaseException as error:
                self._hold.give_back(run)
                _tell_unbegun(run, before, error)
                raise
            self._hold.keep(run, context.job_id)

    def _recipe(self, request: TrainRequest, context: Context) -> Recipe | None:
        if not request.preservation:
            return None
        return self._class_pictures.recipe(request, context.check)

    def _write_task(self, run: RunFolder, request: TrainRequest, recipe: Recipe | None) -> None:
        """Write the task, also again: who asks, folders and devices may be others now."""
        task = Task(
            request=request,
            data=self._data,
            pictures=self._asking.pictures(request),
            class_pictures=None if recipe is None else self._class_pictures.folder(recipe),
        )
        with suppress(AtelierError):
            if read_task(run.path) == task:
                return  # its time says when the run was made
        task.write(run.path)

    def _make(
        self, run: RunFolder, request: TrainRequest, recipe: Recipe, context: Context
    ) -> None:
        told = 0.0

        def on_step(there: int) -> None:
            nonlocal told
            _check(run, context)
            if time.monotonic() - told > _BEAT_SECONDS:
                told = time.monotonic()
                run.tell(replace(run.status(), step=there, steps=request.class_pictures or 0))

        self._class_pictures.make(request, recipe, context, on_step)
        self._empty()

    def _follow(self, run: RunFolder, context: Context) -> None:
        follower = Follower(run, context.emit, lambda seconds: self._hold.expect(run, seconds))
        try:
            while not (status := follower.look()).phase.is_final:
                if is_dead(run):
                    if run.wished() is not None:
                        kill(run, self._program)
                        raise Cancelled
                    end_processes(run, self._program)
                    raise ModelError(_broken_off(run, status))
                context.check()
                time.sleep(_POLL)
            self._see_out(run)
        except ServerEnds:
            raise
        except Cancelled:
            self._stop(run, follower)
            raise
        finally:
            if not is_running(run):
                self._hold.give_back(run)
        self._conclude(run, status, context)

    def _stop(self, run: RunFolder, follower: Follower) -> None:
        """Let the run save and end; after a minute it is killed."""
        run.wish(Wish.STOP)
        until = time.monotonic() + _PATIENCE
        while not follower.look().phase.is_final and not is_dead(run):
            if time.monotonic() > until:
                kill(run, self._program)
            time.sleep(_POLL)
        self._see_out(run)

    def _see_out(self, run: RunFolder) -> None:
        """Wait until the processes of a run that has told its end have left the device."""
        until = time.monotonic() + _END_SECONDS
        while processes_of(run, self._program):
            if time.monotonic() > until:
                end_processes(run, self._program)
            time.sleep(_POLL / 5)

    def _conclude(self, run: RunFolder, status: RunStatus, context: Context) -> None:
        match status.phase:
            case Phase.FAILED:
                raise ModelError(status.reason or f"The training failed; {run.path / LOG} has why.")
            case Phase.STOPPED:
                raise Cancelled
            case Phase.PAUSED if run.wished() is not None:
                raise Cancelled
            case Phase.PAUSED:
                # Whoever stops a machine may end the run before this server hears of it.
                until = time.monotonic() + _SYSTEM_SECONDS
                while time.monotonic() < until:
                    context.check()
                    time.sleep(_POLL)
                raise ModelError(
                    "The training was told to end by the system; resume it and it goes on from "
                    f"step {status.step:,}."
                )


def _tell_looked(done: int, of: int, context: Context) -> None:
    """How many pictures have been looked at, of how many; raises Cancelled."""
    context.check()
    context.emit(Progress(step=done, steps=of, item=1, items=1, label="check", unit="picture"))


@contextmanager
def _beginning(run: RunFolder) -> Iterator[None]:
    """For the time in which one job, of whatever process, begins a run."""
    run.path.mkdir(parents=True, exist_ok=True)
    lock = FileLock(run.path / "beginning.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise RequestError(
            f"The run {run.name} is being begun by another Atelier; wait for it."
        ) from None
    try:
        yield
    finally:
        lock.release()


def _waits(run: RunFolder, context: Context) -> Callable[[list[Lease]], None]:
    def on_wait(held: list[Lease]) -> None:
        _check(run, context)
        ends = [lease.until - time.time() for lease in held if lease.until]
        left = max(0.0, *ends) if len(ends) == len(held) else None
        context.emit(Waiting(holder=held[0].holder.title, seconds_left=left))

    return on_wait


def _check(run: RunFolder, context: Context) -> None:
    """Raises Cancelled also for a wish that is told by the run's folder."""
    context.check()
    if run.wished() is not None:
        raise Cancelled


def _tell_unbegun(run: RunFolder, before: RunStatus, error: BaseException) -> None:
    """Where a run is whose process did not begin."""
    if isinstance(error, ServerEnds):
        return  # it waits for the next server
    if isinstance(error, DeviceLost):  # while it had class pictures made: it may be begun again
        run.tell(replace(before, pid=0))
        return
    if isinstance(error, Cancelled):
        phase = Phase.PAUSED if run.wished() is Wish.PAUSE else Phase.STOPPED
        run.tell(replace(before, phase=phase, pid=0, reason=""))
    else:
        run.tell(replace(before, phase=Phase.FAILED, pid=0, reason=str(error)))


def _broken_off(run: RunFolder, status: RunStatus) -> str:
    words = last_words(run)
    said = f", which ends with {words!r}" if words else ""
    return (
        f"The training was broken off at step {status.step:,}; resume it and it goes on from its "
        f"last checkpoint. Its log is {run.path / LOG}{said}."
    )
