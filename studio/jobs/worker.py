"""Workers: one thread a device that takes jobs in order and runs them."""

import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import psutil

from studio.context import ModelSpec, Signal
from studio.errors import AtelierError, Cancelled, StorageError
from studio.events import Event, Failed, Loading, Progress, Saved, Status, Waiting
from studio.jobs.channel import CancelToken, Channel
from studio.jobs.hooks import Hook
from studio.jobs.queue import JobQueue, Use
from studio.models.broker import Broker, Holder, Lease, this_thread
from studio.models.manager import ModelManager
from studio.store.jobs import JobRow, JobTable
from studio.store.outputs import OutputTable, Picture

log = logging.getLogger(__name__)
_IDLE_SECONDS = 5.0
_CLOCK_SECONDS = 2.0


class JobContext:
    """What a work function may do: borrow, emit, check and save."""

    def __init__(
        self,
        job_id: str,
        channel: Channel,
        token: CancelToken,
        models: ModelManager,
        outputs: OutputTable,
        expect: Callable[[float], None] = lambda seconds: None,
    ):
        self.job_id = job_id
        self._expect = expect
        self._channel = channel
        self._token = token
        self._models = models
        self._outputs = outputs

    def borrow(self, spec: ModelSpec) -> AbstractContextManager[Any]:
        """A loaded model, pinned while the block runs; listeners hear when it must be loaded.

        Raises Cancelled also while others are waited for.
        """
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
        """Keep a picture and tell of it."""
        output_id = self._outputs.save(self.job_id, artifact)
        self.emit(Saved(output_id=output_id))
        return output_id


class Runner:
    """Runs one job at a time in the caller's thread and records how it ended.

    broker: of the device that jobs use, None where they use none.
    """

    def __init__(
        self,
        queue: JobQueue,
        models: ModelManager,
        outputs: OutputTable,
        hooks: Sequence[Hook] = (),
        broker: Broker | None = None,
    ):
        self._broker = broker
        self._queue = queue
        self._models = models
        self._outputs = outputs
        self._hooks = hooks
        self._unrecorded: list[tuple[str, Status, str]] = []

    def run(self, job: JobRow, is_closing: Callable[[], bool] = lambda: False) -> Status:
        """Do the job; whatever happens, it ends with a status and a sentence.

        is_closing: whether a stop of the job means the end of the server.
        """
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
        channel, token = self._queue.live(job.id)
        try:
            token.check()
            with self._leased(job, channel, token) as expect:
                context = JobContext(job.id, channel, token, self._models, self._outputs, expect)
                context.check()
                self._queue.work(job)(self._queue.request(job), context)
        except Cancelled:
            return (self._left(job) if is_closing() else Status.CANCELLED), ""
        except AtelierError as error:
            log.warning("Job %s failed: %s", job.id, error)
            return Status.FAILED, str(error)
        except Exception as error:  # the worker must outlive any fault in a job
            log.exception("Job %s failed", job.id)
            first = str(error).strip().partition("\n")[0][:200]
            return Status.FAILED, (
                f"An unexpected fault stopped the job ({type(error).__name__}: {first}); "
                "the log has the details."
            )
        return Status.FINISHED, ""

    def _left(self, job: JobRow) -> Status:
        """What a job is when its server ends."""
        return Status.QUEUED if self._queue.resumes(job) else Status.INTERRUPTED

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

    kinds: of the jobs that it takes, () for all.
    """

    def __init__(self, queue: JobQueue, jobs: JobTable, runner: Runner, kinds: Sequence[str] = ()):
        self._kinds = kinds
        self._queue = queue
        self._jobs = jobs
        self.runner = runner
        self._closing = threading.Event()
        self._current = ""
        self._taken_back = False
        self._thread = threading.Thread(target=self._loop, name="worker", daemon=True)

    def start(self) -> None:
        """Put what a killed server left back into the queue, then take that up.

        Work that cannot go on from where it was is interrupted instead.
        """
        for job in self._jobs.running():
            if is_alive(job.runner):
                continue
            if self._queue.resumes(job):
                self._queue.put_back(job.id)
            else:
                self._queue.end(job.id, Status.INTERRUPTED)
        self._thread.start()

    def stop(self, seconds: float = 30.0) -> None:
        """Interrupt the running job and wait for the thread; queued jobs stay queued."""
        token = self._queue.live(self._current)[1] if self._current else None
        # What a person has taken back just before does not come again with the next server.
        self._taken_back = token is not None and token.is_cancelled
        self._closing.set()
        if token is not None:
            token.cancel(closing=True)
        with self._queue.arrived:
            self._queue.arrived.notify_all()
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
            except Exception:  # a full disk must not end the thread
                log.exception("The queue could not be read")
                self._closing.wait(_IDLE_SECONDS)

    def _drain(self) -> None:
        self.runner.settle()
        while not self._closing.is_set():
            job = self._jobs.claim_next(runner_name(), *([self._kinds] if self._kinds else []))
            if job is None:
                return
            self._current = job.id
            if self._closing.is_set():  # stop() may have looked before there was a job to cancel
                self._queue.live(job.id)[1].cancel(closing=True)
            self._queue.tell_positions()
            self.runner.run(job, lambda: self._closing.is_set() and not self._taken_back)
            self._current = ""


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
