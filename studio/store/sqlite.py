"""SQLite, the database in the data folder: write-ahead log, short transactions."""

import sqlite3
import time
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, text

FILE_NAME = "atelier.db"
PATIENCE = 30.0
"""Seconds that a program waits for another one's lock."""


class SQLite:
    """A database that is a file; nobody but programs of this machine uses it."""

    name = "sqlite"

    def __init__(self, path: Path):
        self.shown = str(path)
        self._path = path

    def engine(self) -> Engine:
        """What opens connections; a transaction with the option `immediate` is a writer's."""
        engine = create_engine(f"sqlite:///{self._path}", connect_args={"timeout": PATIENCE})

        @event.listens_for(engine, "connect")
        def _pragmas(connection: Any, _record: Any) -> None:
            # The driver's own transaction handling would commit before DDL: take it over.
            connection.isolation_level = None
            _write_ahead(connection)
            connection.execute("PRAGMA synchronous = NORMAL")
            # Each of the connections has pages of its own; the system keeps the file's for all.
            connection.execute("PRAGMA cache_size = -512")
            connection.execute("PRAGMA foreign_keys = ON")

        @event.listens_for(engine, "begin")
        def _begin(connection: Connection) -> None:
            # A writer takes the lock at once, so that two of them wait instead of failing half-way.
            immediate = connection.get_execution_options().get("immediate", False)
            connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")

        return engine

    def reading(self, engine: Engine) -> Engine:
        """The same for readers, who see the database as it is when they first look."""
        return engine

    def check(self, connection: Connection) -> None:
        """Any file will do that is a database."""
        connection.exec_driver_sql("PRAGMA schema_version")

    def hold(self, engine: Engine) -> Connection | None:
        """Nothing: who has the folder has the database."""
        return None

    def counters(self, connection: Connection) -> dict[str, int]:
        """The highest numbers that tables have given to their rows, also to such as are gone."""
        counted = "SELECT count(*) FROM sqlite_master WHERE name = 'sqlite_sequence'"
        if not connection.exec_driver_sql(counted).scalar():
            return {}
        rows = connection.exec_driver_sql("SELECT name, seq FROM sqlite_sequence")
        return {row.name: row.seq for row in rows}

    def count_on(self, connection: Connection, table: str, last: int | None) -> None:
        """Have a table give higher numbers only, than its rows have and than this one."""
        told = {"table": table, "last": last or 0}
        remembers = text(
            "SELECT count(*) FROM sqlite_master WHERE name = :table AND sql LIKE '%AUTOINCREMENT%'"
        )
        if not connection.execute(remembers, told).scalar():
            return  # it goes by its rows alone
        raised = text("UPDATE sqlite_sequence SET seq = max(seq, :last) WHERE name = :table")
        if not connection.execute(raised, told).rowcount and last:
            connection.execute(text("INSERT INTO sqlite_sequence VALUES (:table, :last)"), told)

    def set_aside(self, connection: Connection, name: str) -> None:
        """Nothing: the file itself is moved."""

    def comes_back(self, error: BaseException | None) -> bool:
        """Never: a file is there or it is not."""
        return False

    def sentence(self, error: BaseException | None) -> str:
        """What the driver says, in words for a person."""
        text = str(error)
        path = self._path
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
