"""Jobs as rows: what was asked, where it stands, how it ended."""

import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import text

from studio.errors import NotFound
from studio.events import LEGAL_MOVES, Status
from studio.store.database import Database


@dataclass(frozen=True)
class JobRow:
    """One job; times are seconds since 1970, request is JSON."""

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


class JobTable:
    """All jobs, oldest first by number."""

    def __init__(self, database: Database):
        self._database = database

    def add(self, kind: str, request: str, runner: str = "") -> JobRow:
        """Append a job: queued, or already running when a runner takes it itself."""
        job_id, now = uuid.uuid4().hex, time.time()
        with self._database.write() as db:
            db.execute(
                text(
                    "INSERT INTO jobs (id, kind, request, status, runner, created_at, started_at)"
                    " VALUES (:id, :kind, :request, :status, :runner, :now, :started)"
                ),
                {
                    "id": job_id,
                    "kind": kind,
                    "request": request,
                    "status": Status.RUNNING if runner else Status.QUEUED,
                    "runner": runner,
                    "now": now,
                    "started": now if runner else None,
                },
            )
        return self.get(job_id)

    def get(self, job_id: str) -> JobRow:
        """The job of this id, or NotFound."""
        with self._database.read() as db:
            row = db.execute(text("SELECT * FROM jobs WHERE id = :id"), {"id": job_id}).first()
        if row is None:
            raise NotFound(f"There is no job {job_id!r}; it may belong to another data folder.")
        return JobRow(**{**row._mapping, "status": Status(row.status)})

    def claim_next(self, runner: str, kinds: Sequence[str] = ()) -> JobRow | None:
        """The oldest queued job, now running under this runner, or None; kinds: () for any."""
        names = ", ".join(f":k{i}" for i in range(len(kinds)))
        with self._database.write() as db:
            row = db.execute(
                text(
                    "UPDATE jobs SET status = :running, runner = :runner, started_at = :now"
                    " WHERE number = (SELECT number FROM jobs WHERE status = :queued"
                    + (f" AND kind IN ({names})" if kinds else "")
                    + " ORDER BY number LIMIT 1) RETURNING id"
                ),
                {
                    "running": Status.RUNNING,
                    "queued": Status.QUEUED,
                    "runner": runner,
                    "now": time.time(),
                    **{f"k{i}": kind for i, kind in enumerate(kinds)},
                },
            ).first()
        return None if row is None else self.get(row.id)

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

    def queued(self) -> list[str]:
        """Ids of the waiting jobs in the order in which they will run."""
        return self._ids(Status.QUEUED)

    def running(self) -> list[JobRow]:
        """Jobs that a runner holds."""
        return [self.get(job_id) for job_id in self._ids(Status.RUNNING)]

    def unended(self, kind: str) -> list[JobRow]:
        """Jobs of a kind that wait or run, oldest first."""
        rows = [self.get(each) for each in (*self._ids(Status.RUNNING), *self.queued())]
        return [row for row in rows if row.kind == kind]

    def _ids(self, status: Status) -> list[str]:
        with self._database.read() as db:
            rows = db.execute(
                text("SELECT id FROM jobs WHERE status = :status ORDER BY number"),
                {"status": status},
            )
            return [row.id for row in rows]
