"""What somebody does to another's training is noted, and what they do to their own is not."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from studio.audit import Act
from studio.people import HOME, Person, Role, acting_as
from studio.store.audit import AuditTable
from studio.store.belongings import Belongings, Sort
from studio.store.database import Database
from studio.store.people import PeopleTable
from studio.training.launch.runs import Runs
from studio.training.run_folder import Phase, RunFolder, RunStatus
from studio.training.task import Task
from studio.training_requests import TrainRequest

ADA = Person(1, "Ada", Role.ADMINISTRATOR)
BEN = Person(2, "Ben", Role.MEMBER)


@pytest.fixture
def log(tmp_path: Path) -> Iterator[AuditTable]:
    database = Database(tmp_path)
    people = PeopleTable(database)
    for person in (ADA, BEN):
        people.add(person.name, person.name.lower(), person.role, "a hash")
    yield AuditTable(database)
    database.close()


@pytest.fixture
def runs(log: AuditTable, tmp_path: Path) -> Runs:
    """The runs of a folder in which one of Ben's, one of nobody's, waits."""
    things = Belongings(log._database).of(Sort.RUN)
    for name in ("dog-12ab34cd", "cat-12ab34cd"):
        run = RunFolder(tmp_path / "runs" / name)
        request = TrainRequest(name=name[:3], pictures="dogs", owner="", steps=9)
        Task(request=request, data=tmp_path, pictures=tmp_path).write(run.path)
        run.tell(RunStatus(Phase.WAITING))
    with acting_as(BEN):
        things.keep("dog-12ab34cd")
    return Runs(tmp_path, lambda request: "", owned=things, whose=things.owner, audit=log)


def acts(log: AuditTable) -> list[tuple[str, str, str]]:
    return [(row.name, row.act, row.thing) for row in reversed(log.page(0, 20).rows)]


def test_others_trainings(log, runs):
    with acting_as(BEN):
        runs.pause("dog-12ab34cd")
    with acting_as(ADA):
        runs.stop("dog-12ab34cd")
    runs.stop("cat-12ab34cd")
    assert acts(log) == [("Ada", Act.TRAINING, "dog-12ab34cd of Ben: stop")]
    runs.folder("dog-12ab34cd").tell(RunStatus(Phase.STOPPED))
    with acting_as(HOME, "command"):
        runs.remove("dog-12ab34cd")
    assert acts(log)[1:] == [("", Act.TRAINING, "dog-12ab34cd of Ben: remove")]
