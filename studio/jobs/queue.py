"""The queue: jobs go in as requests, are told of by events, and are stopped by id."""

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import partial

from studio.audit import UNNOTED, Act, Audit, audited
from studio.context import Context
from studio.errors import AtelierError, QueueFull, StorageError
from studio.events import (
    FINAL,
    TRANSIENT,
    Event,
    Failed,
    Finished,
    Progress,
    Queued,
    Status,
    Stopped,
)
from studio.jobs.channel import CancelToken, Channel
from studio.jobs.foreseeing import Foresight
from studio.people import Deed, acting, needs
from studio.requests import Request
from studio.store.jobs import JobPage, JobRow, JobTable, no_job
from studio.store.outputs import OutputTable

log = logging.getLogger(__name__)
_REMEMBERED = 200
"""Channels of ended jobs that are kept for listeners who come late; rows last for ever."""
INSTALLING = frozenset({"download"})
"""Kinds of jobs that put there what holds for everybody."""
LAST = 2**31
"""Number of the final event of a job that this process knows nothing else of."""
_TOLD_AGAIN = 2.0
"""Seconds after which those who wait are told anew how long yet, while a job tells of itself."""
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
    goes on from where it was when it is begun again, however often; other work begins anew, once.
    lane: kinds of the same one are taken by the same workers, and wait for each other alone. deed:
    what one has to be allowed to ask for it.
    """

    request: type[Request]
    resolve: Callable[[Request], Request]
    work: Callable[[Request, Context], None]
    use: Use = Use.SHARED
    title: str = "a job"
    resumes: bool = False
    lane: str = ""
    deed: Deed = Deed.MAKE


@dataclass(frozen=True)
class Line:
    """How many jobs run and wait."""

    running: int
    waiting: int


def lanes(kinds: Mapping[str, Kind]) -> tuple[tuple[str, ...], ...]:
    """The kinds that wait for each other, lane by lane; () where all of them do."""
    names = dict.fromkeys(kind.lane for kind in kinds.values())
    if len(names) < 2:
        return ((),)
    return tuple(tuple(k for k, kind in kinds.items() if kind.lane == lane) for lane in names)


class JobQueue:
    """All jobs of a data folder; people take turns, as `studio.store.turns` says.

    What belongs to others is not there for who is at work, except for administrators.
    watch: is given every event of every job, with the job's id. admit: raises for a complete
    request for which its person has no room left. foresight: tells when waiting jobs should begin.
    audit: notes what is done to others' jobs, and what holds for everybody.
    """

    def __init__(
        self,
        jobs: JobTable,
        outputs: OutputTable,
        kinds: Mapping[str, Kind],
        longest: int,
        watch: Callable[[str, Event], None] = lambda job_id, event: None,
        admit: Callable[[Request], None] = lambda request: None,
        foresight: Foresight | None = None,
        audit: Audit = UNNOTED,
    ):
        self._foresight = foresight
        self._told_at = 0.0
        self._watch = watch
        self.audit = audit
        self._admit = admit
        self._jobs = jobs
        self._outputs = outputs
        self._kinds = kinds
        self._lanes = lanes(kinds)
        self._longest = longest
        self._live: OrderedDict[str, tuple[Channel, CancelToken]] = OrderedDict()
        self._lock = threading.Lock()
        self._admitting = threading.Lock()
        self._telling = threading.Lock()
        self._closing = False
        self.arrived = threading.Condition()
        self.arrivals = 0

    def submit(self, request: Request, runner: str = "") -> str:
        """Complete and store a request and return its job's id.

        runner: set by who runs the job itself at once, so that no worker takes it.
        Raises RequestError when it cannot be done, QueueFull when too many wait, Forbidden for who
        may only look.
        """
        kind = request.kind  # type: ignore[attr-defined]
        installs = self._kinds[kind].deed is Deed.MANAGE_MODELS
        return (self._install if installs else self._submit)(request, kind, runner)

    @audited(Act.INSTALL, lambda self, request, *_: _in_words(request))
    def _install(self, request: Request, kind: str, runner: str) -> str:
        return self._submit(request, kind, runner)

    def _submit(self, request: Request, kind: str, runner: str) -> str:
        acting().must_be_allowed(self._kinds[kind].deed)
        resolved = self._kinds[kind].resolve(request)
        with self._admitting:
            if not runner and self.line().waiting >= self._longest:
                raise QueueFull(
                    f"{self._longest} jobs are waiting already; try again when some have ended."
                )
            self._admit(resolved)
            row = self._jobs.add(kind, resolved.model_dump_json(), runner, acting())
        self.live(row.id)
        if not runner:
            self.tell_positions()
            self._tell_of_arrival()
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
        return [row for row in self._jobs.unended(kind) if acting().sees(row.owner)]

    def get(self, job_id: str) -> JobRow:
        """The job's row, or NotFound, also when it is another person's."""
        row = self._jobs.get(job_id)
        if not acting().sees(row.owner):
            raise no_job(job_id)
        return row

    def page(
        self, offset: int, limit: int, statuses: Sequence[Status] = (), kind: str = ""
    ) -> JobPage:
        """Jobs newest first, of these statuses (() for any) and this kind ("" for any)."""
        return self._jobs.page(offset, limit, statuses, kind)

    @needs(Deed.SEE_EVERYTHING)
    def at_work(self) -> list[JobRow]:
        """All jobs that run, whosever they are."""
        return self._jobs.running()

    @needs(Deed.SEE_EVERYTHING)
    def in_order(self, limit: int) -> list[tuple[int, JobRow]]:
        """The waiting jobs of everybody that come next, each with its place in its own line."""
        places = [
            (position, job_id)
            for kinds in self._lanes
            for position, job_id in enumerate(self._jobs.queued(*kinds)[:limit], 1)
        ]
        places.sort(key=lambda each: each[0])
        return [(position, self._jobs.get(job_id)) for position, job_id in places[:limit]]

    @needs(Deed.SEE_EVERYTHING)
    def ended(self, limit: int) -> list[JobRow]:
        """The jobs of everybody that were over last, the latest first."""
        return self._jobs.ended(limit)

    def outputs(self, job_id: str) -> tuple[int, ...]:
        """Ids of the pictures that the job has made so far."""
        return self._outputs.of_job(self.get(job_id).id)

    @needs(Deed.MAKE)
    def cancel(self, job_id: str) -> None:
        """Take a job back: at once when it waits, within a step when it runs."""
        row = self.get(job_id)
        status = row.status
        if status.is_final:
            return
        self.live(job_id)[1].cancel()
        if row.owner != acting().id:
            self.audit.note(Act.CANCEL, self._whose(row))
        if status is Status.QUEUED:
            self.end(job_id, Status.CANCELLED)
            self.tell_positions()

    def raise_(self, job_id: str) -> None:
        """Put a waiting job before all that are not raised; Forbidden but for administrators."""
        self._raise(self.get(job_id))

    @audited(Act.RAISE, lambda self, row: self._whose(row))
    @needs(Deed.PUT_FIRST)
    def _raise(self, row: JobRow) -> None:
        if self._jobs.raise_(row.id):
            self.tell_positions()

    def _whose(self, row: JobRow) -> str:
        owner = self.audit.name_of(row.owner)
        return f"{row.kind} {row.id[:8]}" + (f" of {owner}" if owner else "")

    def leave(self, job_id: str) -> None:
        """Stop a running job as the end of the server does: what can go on waits for the next."""
        if self.get(job_id).status is Status.RUNNING:
            self.live(job_id)[1].cancel(closing=True)

    @needs(Deed.MAKE)
    def skip(self, job_id: str) -> None:
        """Leave out the picture (or batch) that a running job is making."""
        if self.get(job_id).status is Status.RUNNING:
            self.live(job_id)[1].skip()

    def follow(
        self, job_id: str, heartbeat: float | None = None, *, missed: bool = False
    ) -> Iterator[Event | None]:
        """The job's events from its start to its end, however late one comes; of an ended one that.

        heartbeat: seconds after which None comes when nothing happened. missed: of one that has
        ended just now also what it told before, for whoever began it.
        Raises NotFound for an unknown id.
        """
        # Now and not at the first event: that may be asked for where nobody knows who asks.
        return self._followed(self.get(job_id), heartbeat, missed=missed)

    def _followed(
        self, row: JobRow, heartbeat: float | None, *, missed: bool
    ) -> Iterator[Event | None]:
        job_id = row.id
        if row.status.is_final and not (missed and self._is_live(job_id)):
            yield self._final(row)
            return
        for event in self.live(job_id)[0].listen(heartbeat or _LOOK_AGAIN):
            if event is None:
                if self._closing:
                    return  # the job goes on with the next server, and nobody can wait for that
                # Another process may run the job: its end shows in the row alone.
                row = self._jobs.get(job_id)
                event = self._final(row) if row.status.is_final else None
            if event is not None or heartbeat is not None:
                yield event
            if isinstance(event, FINAL):
                return

    def now(self, job_id: str) -> list[Event]:
        """What the job has told so far, stale progress left out; nothing of one long ended."""
        return self.live(self.get(job_id).id)[0].now()

    def told(self, job_id: str, after: int = 0) -> list[tuple[int, Event]]:
        """What the job has told, each with its number, beyond one; of one long ended its end alone.

        Raises NotFound for an unknown id.
        """
        row = self.get(job_id)
        if not row.status.is_final:
            return self.live(job_id)[0].told(after)
        known: list[tuple[int, Event]] = []
        if self._is_live(job_id):
            channel = self.live(job_id)[0]
            closed, known = channel.closed, channel.told(after)
            if closed or (known and isinstance(known[-1][1], FINAL)):
                return known
            known = [item for item in known if not isinstance(item[1], TRANSIENT)]
        # The row is ended before that is told, by this process or never.
        return [*known, (LAST, self._final(row))] if after < LAST else []

    def attach(self, job_id: str, call: Callable[[], object]) -> Callable[[], None]:
        """Have something called after every event of a job, until what is returned is called.

        Of a job that another process runs its row alone tells; look there now and then.
        """
        channel = self.live(self.get(job_id).id)[0]
        channel.attach(call)
        return partial(channel.detach, call)

    def when_ended(self, job_id: str, call: Callable[[], object]) -> None:
        """Have something called when this process learns that the job has ended.

        Of a job that another process runs its row alone tells; look there now and then.
        """
        if self.get(job_id).status.is_final:
            call()
        else:
            self.live(job_id)[0].when_closed(call)

    def line(self) -> Line:
        """How many jobs run and wait right now, whosever they are."""
        counts = self._jobs.counts()
        return Line(counts.get(Status.RUNNING, 0), counts.get(Status.QUEUED, 0))

    def live(self, job_id: str) -> tuple[Channel, CancelToken]:
        """The job's channel and cancel token, made when it has none yet; for who runs jobs."""
        with self._lock:
            if job_id not in self._live:
                self._live[job_id] = (Channel(partial(self._watched, job_id)), CancelToken())
                self._forget()
            return self._live[job_id]

    def _watched(self, job_id: str, event: Event) -> None:
        self._watch(job_id, event)
        if (
            self._foresight is not None
            and isinstance(event, Progress)
            and time.monotonic() - self._told_at > _TOLD_AGAIN
        ):
            try:
                self.tell_positions()
            except AtelierError as error:  # which is no fault of the job that tells of itself
                log.warning("Nobody could be told how long it will be: %s", error)

    def _is_live(self, job_id: str) -> bool:
        with self._lock:
            return job_id in self._live

    def end(self, job_id: str, status: Status, reason: str = "") -> None:
        """Write how a job ended and tell its listeners."""
        if self._jobs.move(job_id, status, reason):
            self.live(job_id)[0].emit(self._final(self._jobs.get(job_id)))

    def lose(self, job_id: str) -> int:
        """Note that what ran a job has died in the middle of it; how often that was so far."""
        return self._jobs.lose(job_id)

    def put_back(self, job_id: str) -> None:
        """Let a job that ran wait again, in its old place."""
        if self._jobs.move(job_id, Status.QUEUED):
            channel, token = self.live(job_id)
            with self._lock:
                # The wish to stop was the server's, and it has been granted.
                self._live[job_id] = (channel, CancelToken())
            if token.is_taken_back:
                self.end(job_id, Status.CANCELLED)
            self.tell_positions()
            self._tell_of_arrival()

    def tell_positions(self) -> None:
        """Tell all who wait where they are; with the next change, when that cannot be read now."""
        with self._telling:  # or a slow thread's older list would be told after a newer one
            self._told_at = time.monotonic()
            try:
                for kinds in self._lanes:
                    order = self._jobs.queued(*kinds)
                    begins = self._begins(kinds, order)
                    for position, (job_id, seconds) in enumerate(
                        zip(order, begins, strict=True), 1
                    ):
                        self.live(job_id)[0].emit(Queued(position=position, seconds=seconds))
            except StorageError as error:  # what has changed the line is done, and stays so
                log.warning("Who waits could not be told where they are: %s", error)

    def _begins(self, kinds: Sequence[str], order: Sequence[str]) -> list[float | None]:
        if self._foresight is None or not order:
            return [None] * len(order)
        running = [
            row
            for row in self._jobs.running()
            if (not kinds or row.kind in kinds) and not row.by_command
        ]
        on_devices = not kinds or not self._kinds[kinds[0]].lane
        return self._foresight.begins(
            order, running, lambda job_id: self.live(job_id)[0].now(), on_devices
        )

    def _tell_of_arrival(self) -> None:
        with self.arrived:
            self.arrivals += 1
            self.arrived.notify_all()

    def close(self) -> None:
        """Let go of who follows jobs: the server ends, and they wait for the next one."""
        self._closing = True
        with self._lock:
            channels = [channel for channel, _ in self._live.values()]
        for channel in channels:
            channel.wake()

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


def _in_words(request: Request) -> str:
    """What a request asks for, without its kind."""
    asked = request.model_dump(exclude={"kind"})
    return " ".join(str(value) for value in asked.values() if value)
