"""Workers: one thread a device that takes jobs in order and runs them."""

import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import psutil

from studio import logs
from studio.context import Context, ModelSpec, Signal
from studio.errors import AtelierError, Cancelled, DeviceLost, ModelError, StorageError, unexpected
from studio.events import Event, Failed, Loading, Notice, Progress, Saved, Status, Waiting
from studio.jobs.channel import CancelToken, Channel
from studio.jobs.choosing import Choice
from studio.jobs.hooks import Hook
from studio.jobs.queue import JobQueue, Use
from studio.models.broker import Broker, Holder, Lease, this_thread
from studio.models.manager import ModelManager
from studio.people import acting_as
from studio.requests import Request
from studio.store.jobs import JobRow, JobTable
from studio.store.outputs import OutputTable, Picture

log = logging.getLogger(__name__)
_IDLE_SECONDS = 5.0
_BUSY_SECONDS = 0.5
_CLOCK_SECONDS = 2.0
LOSSES = 1
"""How often what runs a job may die in the middle of it before the job fails."""

_KILLED = (
    "The server was killed in the middle of the job, which had been begun again once already; ask "
    "for less at a time, or submit it again."
)


class JobContext:
    """What a work function may do: borrow, emit, check and save."""

    def __init__(
        self,
        job_id: str,
        channel: Channel,
        token: CancelToken,
        models: ModelManager | None,
        outputs: OutputTable,
        expect: Callable[[float], None] = lambda seconds: None,
    ):
        self.job_id = job_id
        self._expect = expect
        self._channel = channel
        self._token = token
        self._models = models
        self._outputs = outputs
        self._made: list[tuple[str, int]] | None = None

    def borrow(self, spec: ModelSpec) -> AbstractContextManager[Any]:
        """A loaded model, pinned while the block runs; listeners hear when it must be loaded.

        Raises Cancelled also while others are waited for.
        """
        assert self._models is not None, "models are lent where the work is done"
        return self._models.borrow(
            spec,
            on_load=lambda title: self.emit(Loading(model=title)),
            on_wait=self._token.check,
        )

    def emit(self, event: Event) -> None:
        """Tell everyone who follows this job, and those who wait for its device how long yet."""
        if isinstance(event, Progress) and event.seconds_left is not None:
            self._expect(event.seconds_left)
        self._channel.emit(event)

    def check(self) -> Signal:
        """Whether to go on or to skip; raises Cancelled."""
        return self._token.check()

    def save(self, artifact: Picture) -> int:
        """Keep a picture and tell of it; one that was kept before the job was begun again stays."""
        output_id = self._made_before(artifact)
        if output_id is None:
            output_id = self._outputs.save(self.job_id, artifact)
        self.emit(Saved(output_id=output_id))
        return output_id

    def _made_before(self, artifact: Picture) -> int | None:
        if self._made is None:  # at the first picture, when none of this time is there yet
            self._made = self._outputs.made_by(self.job_id)
        for place, (request, output_id) in enumerate(self._made):
            if request == artifact.request:
                del self._made[place]  # the same may be asked for twice
                return output_id
        return None


Work = Callable[[Request, Context], None]


class Runner:
    """Runs one job at a time in the caller's thread and records how it ended.

    broker: of the device that jobs use, None where they use none. work: who does jobs of a kind
    there; None for whoever the kind names. gives_back: whether a job whose device was lost waits
    for whichever is free first, and not for that one.
    """

    def __init__(
        self,
        queue: JobQueue,
        models: ModelManager | None,
        outputs: OutputTable,
        hooks: Sequence[Hook] = (),
        broker: Broker | None = None,
        work: Mapping[str, Work] | None = None,
        *,
        gives_back: bool = False,
    ):
        self._gives_back = gives_back
        self._broker = broker
        self._queue = queue
        self._models = models
        self._outputs = outputs
        self._hooks = hooks
        self._work_of = work or {}
        self._unrecorded: list[tuple[str, Status, str]] = []

    def run(self, job: JobRow, is_closing: Callable[[], bool] = lambda: False) -> Status:
        """Do the job; whatever happens, it ends with a status and a sentence.

        is_closing: whether a stop of the job means the end of the server.
        """
        with logs.of_job(job.id):
            return self._run(job, is_closing)

    def _run(self, job: JobRow, is_closing: Callable[[], bool]) -> Status:
        channel, _ = self._queue.live(job.id)
        self._tell(lambda hook: hook.started(job))
        status, reason = self._work(job, is_closing)
        try:
            self._record(job.id, status, reason)
        except StorageError as error:
            log.error("Job %s could not be recorded as %s: %s", job.id, status, error)
            self._unrecorded.append((job.id, status, reason))
            channel.emit(Failed(reason=reason or str(error)))
        self._tell(lambda hook: hook.ended(job, status))
        return status

    def settle(self) -> None:
        """Record the ends that could not be recorded before; StorageError when it fails again."""
        while self._unrecorded:
            self._record(*self._unrecorded[0])
            del self._unrecorded[0]

    def _record(self, job_id: str, status: Status, reason: str) -> None:
        if status is Status.QUEUED:
            self._queue.put_back(job_id)
        else:
            self._queue.end(job_id, status, reason)

    def _work(self, job: JobRow, is_closing: Callable[[], bool]) -> tuple[Status, str]:
        try:
            while (lost := self._try(job, is_closing)) is not None:
                if is_closing():
                    return Status.QUEUED, ""
                self._begin_again(job, lost)
                if self._gives_back:
                    return Status.QUEUED, ""
        except Cancelled:
            return (Status.QUEUED if is_closing() else Status.CANCELLED), ""
        except AtelierError as error:
            log.warning("Job %s failed: %s", job.id, error)
            return Status.FAILED, str(error)
        except Exception as error:  # the worker must outlive any fault in a job
            log.exception("Job %s failed", job.id)
            return Status.FAILED, unexpected(error)
        return Status.FINISHED, ""

    def _try(self, job: JobRow, is_closing: Callable[[], bool]) -> DeviceLost | None:
        """Do the job; why it must be begun again, None when it is done."""
        channel, token = self._queue.live(job.id)
        token.check()
        work = self._work_of.get(job.kind) or self._queue.work(job)
        try:
            with self._leased(job, channel, token) as expect:
                context = JobContext(job.id, channel, token, self._models, self._outputs, expect)
                context.check()
                with acting_as(job.person):  # which is shown, and owns, no more than they do
                    work(self._queue.request(job), context)
        except DeviceLost as error:
            token.check()  # what was taken back meanwhile is not begun again
            return error
        return None

    def _begin_again(self, job: JobRow, lost: DeviceLost) -> None:
        """Note and tell that a job is begun again; raises ModelError when it was already."""
        if lost.to_blame and self._queue.lose(job.id) > LOSSES:
            raise ModelError(f"{lost} The job had been begun again once already.") from lost
        log.warning("Job %s is begun again: %s", job.id, lost)
        self._queue.live(job.id)[0].emit(Notice(text=f"{lost} The job is begun again."))

    @contextmanager
    def _leased(
        self, job: JobRow, channel: Channel, token: CancelToken
    ) -> Iterator[Callable[[float], None]]:
        """The device as the job's kind uses it; who waits for it is told and can be cancelled."""
        kind = self._queue.kind(job)
        if self._broker is None or kind.use is Use.NONE:
            yield lambda seconds: None
            return

        def on_wait(held: list[Lease]) -> None:
            token.check()
            ends = [lease.until - time.time() for lease in held if lease.until]
            left = max(0.0, *ends) if len(ends) == len(held) else None
            channel.emit(Waiting(holder=held[0].holder.title, seconds_left=left))

        holder = Holder(kind.title, job.id, this_thread())
        with self._broker.lease(holder, alone=kind.use is Use.ALONE, on_wait=on_wait) as expect:
            yield expect

    def _tell(self, call: Callable[[Hook], None]) -> None:
        for hook in self._hooks:
            try:
                call(hook)
            except Exception:
                log.exception("Hook %s failed", type(hook).__name__)


class Worker:
    """The thread of one device, or of what needs none.

    kinds: of the jobs that it takes, () for all. choice: when, and which of them; None for the
    oldest at once.
    """

    def __init__(
        self,
        queue: JobQueue,
        jobs: JobTable,
        runner: Runner,
        kinds: Sequence[str] = (),
        choice: Choice | None = None,
    ):
        self._kinds = kinds
        self._choice = choice
        self._queue = queue
        self._jobs = jobs
        self.runner = runner
        self._closing = threading.Event()
        self._current = ""
        self._taken_back = False
        self._thread = threading.Thread(target=self._loop, name="worker", daemon=True)

    def start(self) -> None:
        """Put what a killed server left back into the queue, then take that up.

        Work that goes on from where it was does so as often as it has to; other work is begun again
        once, for it may be what killed the server. What a command was doing was its person's to
        begin again.
        """
        for job in self._jobs.running():
            if is_alive(job.runner):
                continue
            if self._queue.resumes(job):
                self._queue.put_back(job.id)
            elif job.by_command:
                self._queue.end(job.id, Status.INTERRUPTED)
            elif self._queue.lose(job.id) > LOSSES:
                self._queue.end(job.id, Status.FAILED, _KILLED)
            else:
                self._queue.put_back(job.id)
        self._thread.start()

    @property
    def is_idle(self) -> bool:
        """Whether it is there and has no job."""
        return self.runs and not self._current and not self.is_closed

    @property
    def is_closed(self) -> bool:
        """Whether it takes no job any more."""
        return self._closing.is_set()

    @property
    def runs(self) -> bool:
        """Whether the thread is there to take jobs."""
        return self._thread.is_alive()

    def close(self) -> None:
        """Interrupt the running job and take no more; queued jobs stay queued."""
        if self._closing.is_set():
            return
        token = self._queue.live(self._current)[1] if self._current else None
        # What a person has taken back just before does not come again with the next server.
        self._taken_back = token is not None and token.is_cancelled
        self._closing.set()
        if token is not None:
            token.cancel(closing=True)
        with self._queue.arrived:
            self._queue.arrived.notify_all()

    def stop(self, seconds: float = 30.0) -> None:
        """Close, and wait for the thread."""
        self.close()
        if self._thread.is_alive():
            self._thread.join(seconds)

    def _loop(self) -> None:
        seen = -1
        while not self._closing.is_set():
            with self._queue.arrived:
                if self._queue.arrivals == seen:
                    self._queue.arrived.wait(_IDLE_SECONDS)
                seen = self._queue.arrivals
            try:
                self._drain()
            except Exception as error:  # a full disk must not end the thread
                logs.fault(log, "The queue could not be read", error)
                self._closing.wait(_IDLE_SECONDS)

    def _drain(self) -> None:
        self.runner.settle()
        while not self._closing.is_set():
            job = self._claimed()
            if job is None:
                return
            self._current = job.id
            if self._closing.is_set():  # stop() may have looked before there was a job to cancel
                self._queue.live(job.id)[1].cancel(closing=True)
            self._queue.tell_positions()
            self.runner.run(job, lambda: self._closing.is_set() and not self._taken_back)
            self._current = ""

    def _claimed(self) -> JobRow | None:
        """The next job, which is this worker's now; None when it has to wait for one."""
        if self._choice is None:
            return self._jobs.claim_next(runner_name(), *((self._kinds,) if self._kinds else ()))
        while True:
            while not self._choice.is_free():
                if not self._jobs.queued() or self._closing.wait(_BUSY_SECONDS):
                    return None
            job, was_left = self._chosen(self._choice)
            # Whoever it was left to may have taken another one meanwhile.
            if job is not None or not was_left or self._closing.wait(_BUSY_SECONDS):
                return job

    def _chosen(self, choice: Choice) -> tuple[JobRow | None, bool]:
        """The next job, which is this worker's now, and whether any was left to others."""
        left = False

        def choose(waiting: list[JobRow]) -> JobRow | None:
            nonlocal left
            chosen = choice.choose(waiting)
            left = chosen is None
            return chosen

        return self._jobs.claim_next(runner_name(), self._kinds, choose), left


def runner_name() -> str:
    """This process, told apart from an earlier one with the same number."""
    pid = os.getpid()
    return f"{socket.gethostname()}:{pid}:{psutil.Process(pid).create_time():.0f}"


def is_alive(runner: str) -> bool:
    """Whether the process of that name still runs on this machine."""
    host, _, process = runner.partition(":")
    pid, _, started = process.partition(":")
    if host != socket.gethostname() or not pid.isdigit():
        return False
    try:
        # The start is told from the clock of the machine, which may be set right in between.
        return abs(psutil.Process(int(pid)).create_time() - float(started)) <= _CLOCK_SECONDS
    except (psutil.Error, ValueError):
        return False
