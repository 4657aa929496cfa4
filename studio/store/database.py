"""One wrapper around SQLite: write-ahead log, short transactions, errors in words."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError

from studio.errors import StorageError
from studio.store.migrations import migrate

FILE_NAME = "atelier.db"

PATIENCE = 30.0
"""Seconds that a program waits for another one's lock."""


class Database:
    """The studio's database in `folder`; made and brought up to date on opening."""

    def __init__(self, folder: Path):
        self.path = folder / FILE_NAME
        self._engine = _engine(self.path)
        self._writing = self._engine.execution_options(immediate=True)
        with self.write() as db:
            migrate(db)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection for queries."""
        with _translated(self.path), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that is committed at the end and rolled back on an error."""
        with _translated(self.path), self._writing.begin() as connection:
            yield connection

    def close(self) -> None:
        """Give all connections back."""
        self._engine.dispose()


def _engine(path: Path) -> Engine:
    engine = create_engine(f"sqlite:///{path}", connect_args={"timeout": PATIENCE})

    @event.listens_for(engine, "connect")
    def _pragmas(connection: Any, _record: Any) -> None:
        # The driver's own transaction handling would commit before DDL: take it over.
        connection.isolation_level = None
        # SQLite's own LIKE and lower() know the case of English letters only.
        connection.create_function("fold", 1, str.casefold, deterministic=True)
        _write_ahead(connection)
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA foreign_keys = ON")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        # A writer takes the lock at once, so that two of them wait instead of failing half-way.
        immediate = connection.get_execution_options().get("immediate", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")

    return engine


def _write_ahead(connection: sqlite3.Connection) -> None:
    # Where two programs make a fresh file's log at once, SQLite refuses one of them without
    # its own waiting: each holds what the other one waits for.
    until = time.monotonic() + PATIENCE
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() >= until:
                raise
            time.sleep(0.01)


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except DBAPIError as error:
        raise StorageError(_sentence(path, error.orig)) from error
    except OverflowError as error:
        raise StorageError(f"The database {path} has no room for a number so large.") from error


def _sentence(path: Path, error: BaseException | None) -> str:
    text = str(error)
    if isinstance(error, sqlite3.OperationalError):
        if "full" in text:
            return f"The database {path} cannot grow: the disk is full; free some space."
        if "disk I/O" in text:
            return (
                f"The database {path} cannot be read or written ({text}): the disk is full or "
                "failing; free some space or choose another data folder (ATELIER_DATA_DIR)."
            )
        if "readonly" in text or "unable to open" in text:
            return (
                f"The database {path} cannot be written; "
                "choose another data folder (ATELIER_DATA_DIR)."
            )
        if "locked" in text:
            return f"The database {path} is locked by another program; close it and try again."
    if isinstance(error, sqlite3.DatabaseError) and (
        "malformed" in text or "not a database" in text
    ):
        return f"The database {path} is damaged ({text}); move it away and start again."
    return f"The database {path} reports: {text}."
