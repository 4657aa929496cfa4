"""A fresh database of each sort, and its tables in a fresh folder."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from kept_studio import fill

from studio.store.backup import back_up
from studio.store.database import Database
from studio.store.jobs import JobTable
from studio.store.outputs import OutputTable
from studio.store.submissions import SubmissionTable


@pytest.fixture
def database(tmp_path: Path, database_url: str) -> Iterator[Database]:
    opened = Database(tmp_path, database_url)
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


@pytest.fixture
def source(database, tmp_path) -> Database:
    """The database of a studio in tmp_path, with something of everything in both."""
    fill(database, tmp_path)
    return database


@pytest.fixture
def kept(source, tmp_path, tmp_path_factory) -> Path:
    """A backup of it, without pictures."""
    target = tmp_path_factory.mktemp("kept") / "studio.zip"
    back_up(source, tmp_path, target, tmp_path / "none.toml")
    return target
