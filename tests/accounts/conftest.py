"""Accounts on a real database."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from studio.accounts.accounts import Accounts
from studio.store.database import Database


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = Database(tmp_path)
    yield opened
    opened.close()


@pytest.fixture
def kept(database: Database) -> Accounts:
    return Accounts(database)
