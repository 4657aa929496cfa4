"""The queue: jobs go in as requests, are told of by events, and are stopped by id."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum

from studio.context import Context
from studio.errors import RequestError
from studio.events import FINAL, Event, Failed, Finished, Queued, Status, Stopped
from studio.jobs.channel import CancelToken, Channel
from studio.requests import Request
from studio.store.jobs import JobRow, JobTable
from studio.store.outputs import OutputTable

_REMEMBERED = 200
"""Channels of ended jobs that are kept for listeners who come late; rows last for ever."""
_LOOK_AGAIN = 5.0
"""Seconds without news after which a job's row is read again."""


class Use(Enum):
    """How a kind of work uses the device of its worker."""

    NONE = "none"
    SHARED = "shared"
    ALONE = "alone"


@dataclass(frozen=True)
class Kind:
    """One kind of work: its request, how that is completed at submission, and who does it.

    use: of the device. title: what one is called where it has the device. resumes: whether the work
    goes on from where it was when it is begun again; then the end of a server only makes it wait.
    """

    request: type[Request]
    resolve: Callable[[Request], Request]
    work: Callable[[Request, Context], None]
    use: Use = Use.SHARED
    title: str = "a job"
    resumes: bool = False


@dataclass(frozen=True)
class Line:
    """How many jobs run and wait."""

    running: int
    waiting: int


class JobQueue:
    """All jobs of a data folder, run first come first served."""

    def __init__(
        self, jobs: JobTable, outputs: OutputTable, kinds: Mapping[str, Kind], longest: int
    ):
        self._jobs = jobs
        self._outputs = outputs
        self._kinds = kinds
        self._longest = longest
        self._live: OrderedDict[str, tuple[Channel, CancelToken]] = OrderedDict()
        self._lock = threading.Lock()
        self._admitting = threading.Lock()
        self._telling = threading.Lock()
        self.arrived = threading.Condition()
        self.arrivals = 0

    def submit(self, request: Request, runner: str = "") -> str:
        """Complete and store a request and return its job's id.

        runner: set by who runs the job itself at once, so that no worker takes it.
        Raises RequestError when it cannot be done or when too many wait.
        """
        kind = request.kind  # type: ignore[attr-defined]
        resolved = self._kinds[kind].resolve(request)
        with self._admitting:
            if not runner and len(self._jobs.queued()) >= self._longest:
                raise RequestError(
                    f"{self._longest} jobs are waiting already; try again when some have ended."
                )
            row = self._jobs.add(kind, resolved.model_dump_json(), runner)
        self.live(row.id)
        if not runner:
            self.tell_positions()
            with self.arrived:
                self.arrivals += 1
                self.arrived.notify_all()
        return row.id

    def request(self, row: JobRow) -> Request:
        """The request of a stored job."""
        return self._kinds[row.kind].request.model_validate_json(row.request)

    def work(self, row: JobRow) -> Callable[[Request, Context], None]:
        """The function that does a stored job."""
        return self._kinds[row.kind].work

    def kind(self, row: JobRow) -> Kind:
        """The kind of a stored job."""
        return self._kinds[row.kind]

    def resumes(self, row: JobRow) -> bool:
        """Whether the job goes on from where it was when it is begun again."""
        kind = self._kinds.get(row.kind)
        return kind is not None and kind.resumes

    def unended(self, kind: str) -> list[JobRow]:
        """Jobs of a kind that wait or run, oldest first."""
        return self._jobs.unended(kind)

    def get(self, job_id: str) -> JobRow:
        """The job's row, or NotFound."""
        return self._jobs.get(job_id)

    def outputs(self, job_id: str) -> tuple[int, ...]:
        """Ids of the pictures that the job has made so far."""
        return self._outputs.of_job(job_id)

    def cancel(self, job_id: str) -> None:
        """Take a job back: at once when it waits, within a step when it runs."""
        if self._jobs.get(job_id).status.is_final:
            return
        status = self._jobs.get(job_id).status
        if status.is_final:
            return
        self.live(job_id)[1].cancel()
        if status is Status.QUEUED:
            self.end(job_id, Status.CANCELLED)
            self.tell_positions()

    def leave(self, job_id: str) -> None:
        """Stop a running job as the end of the server does: what can go on waits for the next."""
        if self._jobs.get(job_id).status is Status.RUNNING:
            self.live(job_id)[1].cancel(closing=True)

    def skip(self, job_id: str) -> None:
        """Leave out the picture (or batch) that a running job is making."""
        if self._jobs.get(job_id).status is Status.RUNNING:
            self.live(job_id)[1].skip()

    def follow(self, job_id: str, heartbeat: float | None = None) -> Iterator[Event | None]:
        """The job's events from its start to its end, however late one comes.

        heartbeat: seconds after which None comes when nothing happened.
        Raises NotFound for an unknown id.
        """
        row = self._jobs.get(job_id)
        if row.status.is_final:
            yield self._final(row)
            return
        for event in self.live(job_id)[0].listen(heartbeat or _LOOK_AGAIN):
            if event is None:
                # Another process may run the job: its end shows in the row alone.
                row = self._jobs.get(job_id)
                event = self._final(row) if row.status.is_final else None
            if event is not None or heartbeat is not None:
                yield event
            if isinstance(event, FINAL):
                return

    def line(self) -> Line:
        """How many jobs run and wait right now."""
        return Line(len(self._jobs.running()), len(self._jobs.queued()))

    def live(self, job_id: str) -> tuple[Channel, CancelToken]:
        """The job's channel and cancel token, made when it has none yet."""
        with self._lock:
            if job_id not in self._live:
                self._live[job_id] = (Channel(), CancelToken())
                self._forget()
            return self._live[job_id]

    def end(self, job_id: str, status: Status, reason: str = "") -> None:
        """Write how a job ended and tell its listeners."""
        if self._jobs.move(job_id, status, reason):
            self.live(job_id)[0].emit(self._final(self._jobs.get(job_id)))

    def put_back(self, job_id: str) -> None:
        """Let a job that ran wait again, in its old place."""
        if self._jobs.move(job_id, Status.QUEUED):
            channel, _ = self.live(job_id)
            with self._lock:
                # The wish to stop was the server's, and it has been granted.
                self._live[job_id] = (channel, CancelToken())
            self.tell_positions()

    def tell_positions(self) -> None:
        """Tell all who wait where they are."""
        with self._telling:  # or a slow thread's older list would be told after a newer one
            for position, job_id in enumerate(self._jobs.queued(), start=1):
                self.live(job_id)[0].emit(Queued(position=position))

    def _final(self, row: JobRow) -> Event:
        outputs = self._outputs.of_job(row.id)
        match row.status:
            case Status.FINISHED:
                seconds = (row.ended_at or 0) - (row.started_at or 0)
                return Finished(outputs=outputs, seconds=seconds)
            case Status.FAILED:
                return Failed(reason=row.reason, outputs=outputs)
            case Status.INTERRUPTED:
                return Stopped(status="interrupted", outputs=outputs)
            case _:
                return Stopped(status="cancelled", outputs=outputs)

    def _forget(self) -> None:
        """Drop the oldest channels of ended jobs; the caller holds the lock."""
        for job_id in list(self._live)[: max(0, len(self._live) - _REMEMBERED)]:
            if self._live[job_id][0].closed:
                del self._live[job_id]
