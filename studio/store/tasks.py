"""Tasks: jobs by the names that programs gave them, and by who asked for them."""

from dataclasses import dataclass

from sqlalchemy import text

from studio.events import Status
from studio.store.database import Database, repeated
from studio.store.owning import shown


@dataclass(frozen=True)
class TaskRow:
    """A job that a program asked for.

    id: its name for it, "" for none. caller: how whoever asked is known. parameters: what was
    asked in the program's own words, as JSON.
    """

    number: int
    id: str
    job_id: str
    caller: str
    parameters: str


class TaskTable:
    """All tasks of a data folder; several jobs may go by one name. Others' are not shown."""

    def __init__(self, database: Database):
        self._database = database

    @repeated
    def add(self, task_id: str, job_id: str, caller: str, parameters: str) -> None:
        """Remember who asked for a job, and as what."""
        with self._database.write() as db:
            db.execute(
                text(
                    "INSERT INTO tasks (id, job_id, caller, parameters)"
                    " VALUES (:id, :job_id, :caller, :parameters)"
                ),
                {"id": task_id, "job_id": job_id, "caller": caller, "parameters": parameters},
            )

    @repeated
    def find(self, name: str) -> TaskRow | None:
        """The newest task of a name, or else that of a job's id; None when there is none."""
        mine, own = shown("jobs.owner")
        with self._database.read() as db:
            row = db.execute(
                text(
                    "SELECT tasks.* FROM tasks JOIN jobs ON jobs.id = tasks.job_id"
                    " WHERE ((tasks.id = :name AND tasks.id != '') OR tasks.job_id = :name)"
                    f" AND {mine}"
                    " ORDER BY CASE WHEN tasks.id = :name THEN 0 ELSE 1 END, tasks.number DESC"
                    " LIMIT 1"
                ),
                {"name": name, **own},
            ).first()
        return None if row is None else TaskRow(**row._mapping)

    @repeated
    def unended(self, caller: str) -> list[TaskRow]:
        """A caller's tasks whose jobs run, and then those that wait; each group oldest first."""
        mine, own = shown("jobs.owner")
        with self._database.read() as db:
            rows = db.execute(
                text(
                    "SELECT tasks.* FROM tasks JOIN jobs ON jobs.id = tasks.job_id"
                    " WHERE tasks.caller = :caller AND jobs.status IN (:running, :queued)"
                    f" AND {mine}"
                    " ORDER BY CASE WHEN jobs.status = :running THEN 0 ELSE 1 END, tasks.number"
                ),
                {"caller": caller, "running": Status.RUNNING, "queued": Status.QUEUED, **own},
            )
            return [TaskRow(**row._mapping) for row in rows]
