"""A queue with its worker, real tables and work that a test decides."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest

from studio.context import Context
from studio.events import Status
from studio.jobs.queue import JobQueue, Kind, Use
from studio.jobs.worker import Runner, Worker
from studio.models.broker import Broker
from studio.models.journal import Journal
from studio.models.manager import ModelManager
from studio.requests import Request
from studio.store.database import Database
from studio.store.jobs import JobTable
from studio.store.outputs import OutputTable

LONGEST = 5
WAIT = 10.0
"""Seconds after which a job that has not ended never will."""


class ErrandRequest(Request):
    """Something to be done; what it is, a test says by name."""

    kind: Literal["errand", "training", "download", "resuming"] = "errand"
    name: str = ""


@dataclass
class Desk:
    """All that runs jobs, and a table of what the jobs do."""

    database: Database
    jobs: JobTable
    outputs: OutputTable
    queue: JobQueue
    models: ModelManager
    broker: Broker
    runner: Runner
    worker: Worker
    errands: dict[str, Callable[[Context], None]] = field(default_factory=dict)

    def submit(self, name: str, kind: str = "errand") -> str:
        return self.queue.submit(ErrandRequest(kind=kind, name=name))

    def wait(self, job_id: str) -> Status:
        """How the job ended, once it has."""
        for event in self.queue.follow(job_id, heartbeat=WAIT):
            assert event is not None, f"job {job_id} hangs"
        return self.queue.get(job_id).status


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """A desk whose worker a test starts itself."""
    made = open_desk(tmp_path)
    yield made
    made.worker.stop(WAIT)
    made.database.close()


@pytest.fixture
def open_again() -> Callable[[Path], Desk]:
    """Opens a desk on a folder: as the next start of the server does."""
    return open_desk


def open_desk(folder: Path) -> Desk:
    database = Database(folder)
    jobs = JobTable(database)
    outputs = OutputTable(database, folder)
    errands: dict[str, Callable[[Context], None]] = {}
    models = ModelManager({}, lambda: 0)
    kind = Kind(
        ErrandRequest,
        lambda request: request,
        lambda request, context: errands[request.name](context),
    )
    training = Kind(kind.request, kind.resolve, kind.work, Use.ALONE)
    download = Kind(kind.request, kind.resolve, kind.work, Use.NONE)
    resuming = Kind(kind.request, kind.resolve, kind.work, resumes=True)
    kinds = {"errand": kind, "training": training, "download": download, "resuming": resuming}
    queue = JobQueue(jobs, outputs, kinds, LONGEST)
    broker = Broker(models.clear, Journal())
    runner = Runner(queue, models, outputs, broker=broker)
    worker = Worker(queue, jobs, runner)
    return Desk(database, jobs, outputs, queue, models, broker, runner, worker, errands)
