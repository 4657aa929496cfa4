"""A database in a fresh folder and its tables."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from studio.store.database import Database
from studio.store.jobs import JobTable
from studio.store.outputs import OutputTable
from studio.store.submissions import SubmissionTable


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = Database(tmp_path)
    yield opened
    opened.close()


@pytest.fixture
def jobs(database: Database) -> JobTable:
    return JobTable(database)


@pytest.fixture
def outputs(database: Database, tmp_path: Path) -> OutputTable:
    return OutputTable(database, tmp_path)


@pytest.fixture
def submissions(database: Database, tmp_path: Path) -> SubmissionTable:
    return SubmissionTable(database, tmp_path)


@pytest.fixture
def job_id(jobs: JobTable) -> str:
    """A job that pictures may belong to."""
    return jobs.add("generate", "{}").id
