"""Jobs as rows: what was asked, where it stands, how it ended."""

import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, text

from studio.errors import NotFound
from studio.events import LEGAL_MOVES, Status
from studio.people import HOME, Deed, Person, Role, needs
from studio.store.database import Database, repeated
from studio.store.owning import shown
from studio.store.turns import Place, in_turn, takeable

_LOOKED_AT = 100
"""Waiting jobs among which one is chosen; more would only be passed over."""


@dataclass(frozen=True)
class JobRow:
    """One job; times are seconds since 1970, request is JSON.

    losses: how often what ran it has died in the middle of it. owner: id of the person whose it is.
    role: that they had when they asked. raised_at: when an administrator put it before all others,
    None if nobody did.
    """

    number: int
    id: str
    kind: str
    request: str
    status: Status
    reason: str
    runner: str
    created_at: float
    started_at: float | None
    ended_at: float | None
    losses: int = 0
    owner: int = 0
    raised_at: float | None = None
    role: Role = Role.ADMINISTRATOR

    @property
    def person(self) -> Person:
        """Whose the job is."""
        return Person(self.owner, "", self.role)

    @property
    def by_command(self) -> bool:
        """Whether whoever submitted it ran it at once, as commands do, and it never waited."""
        return self.started_at == self.created_at


@dataclass(frozen=True)
class JobPage:
    """Some jobs, newest first; total counts all that match."""

    rows: tuple[JobRow, ...]
    total: int


class JobTable:
    """All jobs, oldest first by number; whose they are, the queue looks at."""

    def __init__(self, database: Database):
        self._database = database

    @repeated
    def add(self, kind: str, request: str, runner: str = "", person: Person = HOME) -> JobRow:
        """Append a job: queued, or already running when a runner takes it itself."""
        job_id, now = uuid.uuid4().hex, time.time()
        with self._database.write() as db:
            row = db.execute(
                text(
                    "INSERT INTO jobs"
                    " (id, kind, request, status, runner, created_at, started_at, owner, role)"
                    " VALUES"
                    " (:id, :kind, :request, :status, :runner, :now, :started, :owner, :role)"
                    " RETURNING *"
                ),
                {
                    "id": job_id,
                    "kind": kind,
                    "request": request,
                    "status": Status.RUNNING if runner else Status.QUEUED,
                    "runner": runner,
                    "now": now,
                    "started": now if runner else None,
                    "owner": person.id,
                    "role": person.role,
                },
            ).one()
        return _row(row)

    @repeated
    def get(self, job_id: str) -> JobRow:
        """The job of this id, or NotFound."""
        with self._database.read() as db:
            row = db.execute(text("SELECT * FROM jobs WHERE id = :id"), {"id": job_id}).first()
        if row is None:
            raise no_job(job_id)
        return _row(row)

    @repeated
    def page(
        self, offset: int, limit: int, statuses: Sequence[Status] = (), kind: str = ""
    ) -> JobPage:
        """Jobs newest first, of these statuses (() for any) and this kind ("" for any).

        Those of others are left out.
        """
        mine, own = shown("owner")
        names = ", ".join(f":s{i}" for i in range(len(statuses)))
        wanted = [mine]
        wanted += [f"status IN ({names})"] * bool(statuses) + ["kind = :kind"] * bool(kind)
        where = " AND ".join(wanted)
        values = {f"s{i}": status for i, status in enumerate(statuses)} | {"kind": kind} | own
        with self._database.read() as db:
            total = db.execute(text(f"SELECT count(*) FROM jobs WHERE {where}"), values).scalar()
            rows = db.execute(
                text(
                    f"SELECT * FROM jobs WHERE {where}"
                    " ORDER BY number DESC LIMIT :limit OFFSET :offset"
                ),
                {**values, "limit": limit, "offset": offset},
            ).all()
        return JobPage(tuple(_row(row) for row in rows), int(total or 0))

    @repeated
    def claim_next(
        self,
        runner: str,
        kinds: Sequence[str] = (),
        choose: Callable[[list[JobRow]], JobRow | None] = lambda waiting: waiting[0],
    ) -> JobRow | None:
        """A queued job, now running under this runner, or None; kinds: of a lane, () for any.

        choose: which of those that may be taken, the next in turn first and at most a hundred; None
        for none.
        """
        with self._database.write() as db:
            places = takeable(_lane(db, kinds))[:_LOOKED_AT]
            if not places:
                return None
            names = ", ".join(f":i{i}" for i in range(len(places)))
            found = db.execute(
                text(f"SELECT * FROM jobs WHERE id IN ({names})"),
                {f"i{i}": place.id for i, place in enumerate(places)},
            )
            rows = {each.id: _row(each) for each in found}
            chosen = choose([rows[place.id] for place in places])
            if chosen is None:
                return None
            # Not looked up afterwards: where that failed, nobody would know of the job any more.
            row = db.execute(
                text(
                    "UPDATE jobs SET status = :running, runner = :runner, started_at = :now"
                    " WHERE id = :id RETURNING *"
                ),
                {
                    "running": Status.RUNNING,
                    "runner": runner,
                    "now": time.time(),
                    "id": chosen.id,
                },
            ).one()
        return _row(row)

    @repeated
    def move(self, job_id: str, status: Status, reason: str = "") -> bool:
        """Bring a job to another status; False when that move is not legal from where it is.

        A job that is put back into the queue keeps its place there.
        """
        sources = [source for source, targets in LEGAL_MOVES.items() if status in targets]
        names = ", ".join(f":s{i}" for i in range(len(sources)))
        with self._database.write() as db:
            done = db.execute(
                text(
                    "UPDATE jobs SET status = :status, reason = :reason, ended_at = :now"
                    f" WHERE id = :id AND status IN ({names})"
                ),
                {
                    "id": job_id,
                    "status": status,
                    "reason": reason,
                    "now": time.time() if status.is_final else None,
                    **{f"s{i}": source for i, source in enumerate(sources)},
                },
            )
        return bool(done.rowcount)

    @repeated
    def lose(self, job_id: str) -> int:
        """Note that what ran a job has died in the middle of it; how often that was so far."""
        with self._database.write() as db:
            row = db.execute(
                text("UPDATE jobs SET losses = losses + 1 WHERE id = :id RETURNING losses"),
                {"id": job_id},
            ).one()
        return int(row.losses)

    @repeated
    def raise_(self, job_id: str) -> bool:
        """Put a waiting job before all that are not raised; False when it waits no more."""
        with self._database.write() as db:
            done = db.execute(
                text("UPDATE jobs SET raised_at = :now WHERE id = :id AND status = :queued"),
                {"now": time.time(), "id": job_id, "queued": Status.QUEUED},
            )
        return bool(done.rowcount)

    @repeated
    def queued(self, *kinds: str) -> list[str]:
        """Ids of the waiting jobs in the order in which they will run.

        kinds: of a lane; without, those of all of them, as if they waited for each other.
        """
        with self._database.read() as db:
            return [place.id for _, place in _lane(db, kinds)]

    @repeated
    def waiting(self, owner: int | None = None) -> int:
        """How many jobs wait: of a person, or of everybody."""
        mine = "" if owner is None else " AND owner = :owner"
        with self._database.read() as db:
            number = db.execute(
                text(f"SELECT count(*) FROM jobs WHERE status = :queued{mine}"),
                {"queued": Status.QUEUED, "owner": owner},
            ).scalar()
        return int(number or 0)

    @repeated
    def finished(self, kind: str, limit: int) -> list[JobRow]:
        """The last finished jobs of a kind, whosever they are, the newest first."""
        with self._database.read() as db:
            rows = db.execute(
                text(
                    "SELECT * FROM jobs WHERE kind = :kind AND status = :finished"
                    " ORDER BY number DESC LIMIT :limit"
                ),
                {"kind": kind, "finished": Status.FINISHED, "limit": limit},
            ).all()
        return [_row(row) for row in rows]

    @needs(Deed.SEE_EVERYTHING)
    @repeated
    def ended(self, limit: int) -> list[JobRow]:
        """The jobs that were over last, whosever they are, the latest first."""
        with self._database.read() as db:
            rows = db.execute(
                text(
                    "SELECT * FROM jobs WHERE ended_at IS NOT NULL"
                    " ORDER BY ended_at DESC LIMIT :limit"
                ),
                {"limit": limit},
            ).all()
        return [_row(row) for row in rows]

    def running(self) -> list[JobRow]:
        """Jobs that a runner holds."""
        return [self.get(job_id) for job_id in self._ids(Status.RUNNING)]

    @repeated
    def counts(self) -> dict[Status, int]:
        """How many jobs wait, and how many run."""
        with self._database.read() as db:
            rows = db.execute(
                text(
                    "SELECT status, count(*) AS jobs FROM jobs"
                    " WHERE status IN (:queued, :running) GROUP BY status"
                ),
                {"queued": Status.QUEUED, "running": Status.RUNNING},
            )
            return {Status(row.status): int(row.jobs) for row in rows}

    def unended(self, kind: str) -> list[JobRow]:
        """Jobs of a kind that wait or run, oldest first."""
        rows = [self.get(each) for each in self._ids(Status.RUNNING, Status.QUEUED)]
        return [row for row in rows if row.kind == kind]

    @repeated
    def _ids(self, *statuses: Status) -> list[str]:
        # In one look: between two, a job that is taken would be in neither.
        names = ", ".join(f":s{i}" for i in range(len(statuses)))
        with self._database.read() as db:
            rows = db.execute(
                text(f"SELECT id FROM jobs WHERE status IN ({names}) ORDER BY number"),
                {f"s{i}": status for i, status in enumerate(statuses)},
            )
            return [row.id for row in rows]


def no_job(job_id: str) -> NotFound:
    """What somebody is told who asks for a job that is not there, or not theirs."""
    return NotFound(f"There is no job {job_id!r}; it may belong to another data folder.")


def _lane(db: Connection, kinds: Sequence[str]) -> list[tuple[int, Place]]:
    """The waiting jobs of some kinds in the order of `turns`, each with its turn."""
    among = f" AND kind IN ({', '.join(f':k{i}' for i in range(len(kinds)))})" if kinds else ""
    values = {f"k{i}": kind for i, kind in enumerate(kinds)}
    found = db.execute(
        text(f"SELECT id, number, owner, kind, raised_at FROM jobs WHERE status = :queued{among}"),
        {**values, "queued": Status.QUEUED},
    )
    waiting = [Place(**each._mapping) for each in found]
    people = {place.owner for place in waiting}
    if len(people) < 2:  # the order of one person's jobs is that in which they came
        return in_turn(waiting, {}, {})
    running = db.execute(
        text(f"SELECT owner FROM jobs WHERE status = :running{among}"),
        {**values, "running": Status.RUNNING},
    ).scalars()
    return in_turn(waiting, Counter(running), _begun(db, people, among, values))


def _begun(
    db: Connection, people: Iterable[int], among: str, values: dict[str, str]
) -> dict[int, float]:
    """When each person's last job was begun; one that was put back counts as not begun."""
    begun = {}
    for owner in people:
        last = db.execute(
            text(
                "SELECT started_at FROM jobs WHERE owner = :owner AND started_at IS NOT NULL"
                f" AND status != :queued{among} ORDER BY started_at DESC LIMIT 1"
            ),
            {**values, "owner": owner, "queued": Status.QUEUED},
        ).scalar()
        if last is not None:
            begun[owner] = float(last)
    return begun


def _row(row: Row[Any]) -> JobRow:
    return JobRow(**{**row._mapping, "status": Status(row.status), "role": Role(row.role)})
