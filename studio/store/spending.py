"""What a person has made and keeps, counted from the rows."""

from dataclasses import dataclass

from sqlalchemy import text

from studio.events import Status
from studio.people import Deed, needs
from studio.store.database import Database, repeated


@dataclass(frozen=True)
class Share:
    """How much of the studio a person has at the moment; images and training_hours: lately."""

    waiting: int = 0
    running: int = 0
    images: int = 0
    training_hours: float = 0.0


class Spending:
    """Counts for one person each, by their id; times are seconds since 1970."""

    def __init__(self, database: Database):
        self._database = database

    @repeated
    def waiting(self, person: int) -> int:
        """How many of their jobs wait."""
        with self._database.read() as db:
            number = db.execute(
                text("SELECT count(*) FROM jobs WHERE owner = :owner AND status = :queued"),
                {"owner": person, "queued": Status.QUEUED},
            ).scalar()
        return int(number or 0)

    @repeated
    def images(self, person: int, since: float) -> list[float]:
        """When their pictures since a time were made, the oldest first."""
        with self._database.read() as db:
            times = db.execute(
                text(
                    "SELECT created_at FROM outputs WHERE owner = :owner AND created_at > :since"
                    " ORDER BY created_at"
                ),
                {"owner": person, "since": since},
            ).scalars()
            return [float(each) for each in times]

    @repeated
    def unended(self, person: int) -> list[tuple[str, str, int]]:
        """Kind and request of their jobs that wait or run, and how many pictures each has made."""
        with self._database.read() as db:
            rows = db.execute(
                text(
                    "SELECT kind, request,"
                    " (SELECT count(*) FROM outputs WHERE outputs.job_id = jobs.id) AS made"
                    " FROM jobs WHERE owner = :owner AND status IN (:queued, :running)"
                ),
                {"owner": person, "queued": Status.QUEUED, "running": Status.RUNNING},
            ).all()
        return [(row.kind, row.request, int(row.made)) for row in rows]

    @repeated
    def trainings(
        self, person: int, kinds: tuple[str, ...], since: float, now: float
    ) -> list[tuple[float, float]]:
        """Begin and end of their jobs of some kinds since a time, cut off there; oldest first."""
        names = ", ".join(f":k{i}" for i in range(len(kinds)))
        with self._database.read() as db:
            rows = db.execute(
                text(
                    "SELECT started_at, ended_at FROM jobs WHERE owner = :owner"
                    f" AND kind IN ({names}) AND started_at IS NOT NULL AND status != :queued"
                    " AND (ended_at IS NULL OR ended_at > :since) ORDER BY started_at"
                ),
                {
                    "owner": person,
                    "since": since,
                    "queued": Status.QUEUED,
                    **{f"k{i}": kind for i, kind in enumerate(kinds)},
                },
            ).all()
        return [(max(since, row.started_at), row.ended_at or now) for row in rows]

    @needs(Deed.SEE_EVERYTHING)
    @repeated
    def of_all(
        self, kinds: tuple[str, ...], images_since: float, trained_since: float, now: float
    ) -> dict[int, Share]:
        """What everybody has, by their ids; kinds: of jobs that train."""
        names = ", ".join(f":k{i}" for i in range(len(kinds)))
        with self._database.read() as db:
            jobs = db.execute(
                text(
                    "SELECT owner, status, count(*) AS jobs FROM jobs"
                    " WHERE status IN (:queued, :running) GROUP BY owner, status"
                ),
                {"queued": Status.QUEUED, "running": Status.RUNNING},
            ).all()
            images = db.execute(
                text(
                    "SELECT owner, count(*) AS images FROM outputs WHERE created_at > :since"
                    " GROUP BY owner"
                ),
                {"since": images_since},
            ).all()
            trained = db.execute(
                text(
                    "SELECT owner, started_at, ended_at FROM jobs"
                    f" WHERE kind IN ({names}) AND started_at IS NOT NULL AND status != :queued"
                    " AND (ended_at IS NULL OR ended_at > :since)"
                ),
                {
                    "queued": Status.QUEUED,
                    "since": trained_since,
                    **{f"k{i}": kind for i, kind in enumerate(kinds)},
                },
            ).all()
        line = {(int(row.owner), Status(row.status)): int(row.jobs) for row in jobs}
        made = {int(row.owner): int(row.images) for row in images}
        hours: dict[int, float] = {}
        for row in trained:
            seconds = (row.ended_at or now) - max(trained_since, row.started_at)
            hours[int(row.owner)] = hours.get(int(row.owner), 0.0) + seconds / 3600
        return {
            person: Share(
                line.get((person, Status.QUEUED), 0),
                line.get((person, Status.RUNNING), 0),
                made.get(person, 0),
                hours.get(person, 0.0),
            )
            for person in {*(owner for owner, _ in line), *made, *hours}
        }

    @repeated
    def bytes(self, person: int) -> int:
        """Of their saved pictures, those in the trash too, and of those that they have sent."""
        total = 0
        with self._database.read() as db:
            for table, column in (("outputs", "owner"), ("inputs", "person")):
                found = db.execute(
                    text(f"SELECT sum(bytes) FROM {table} WHERE {column} = :person"),
                    {"person": person},
                ).scalar()
                total += int(found or 0)
        return total
