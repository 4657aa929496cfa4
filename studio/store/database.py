"""One wrapper around the database: short transactions, errors in words.

It is SQLite's file in the data folder, or a PostgreSQL database where a URL names one.
"""

import functools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Concatenate, ParamSpec, Protocol, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from studio.errors import StorageError
from studio.store.migrations import migrate
from studio.store.postgresql import PostgreSQL
from studio.store.sqlite import FILE_NAME, SQLite

_START_SECONDS = 3.0
_READ_SECONDS = 5.0
_WRITE_SECONDS = 30.0
"""How long a database that is being begun again is waited for: longest where work would be lost."""
_PAUSE = 0.2
_LOOK_SECONDS = 10.0
"""How often a server that writes looks whether it still has the database for itself."""


class ConnectionLost(StorageError):
    """The database went away in the middle of a transaction, of which nothing is left."""


class Backend(Protocol):
    """In what databases differ; name: for figures, shown: for sentences."""

    name: str
    shown: str

    def engine(self) -> Engine:
        """What opens connections; a transaction with the option `immediate` is a writer's."""

    def reading(self, engine: Engine) -> Engine:
        """The same for readers, who see the database as it is when they first look."""

    def check(self, connection: Connection) -> None:
        """Raise StorageError for a database that cannot be used."""

    def hold(self, engine: Engine) -> Connection | None:
        """Have the database for this server alone; StorageError when another one has it."""

    def counters(self, connection: Connection) -> dict[str, int]:
        """The highest numbers that tables have given to their rows, also to such as are gone."""

    def count_on(self, connection: Connection, table: str, last: int | None) -> None:
        """Have a table give higher numbers only, than its rows have and than this one."""

    def set_aside(self, connection: Connection, name: str) -> None:
        """Have no tables: those that there are go to a place of this name."""

    def comes_back(self, error: BaseException | None) -> bool:
        """Whether it is worth while to ask again in a moment."""

    def sentence(self, error: BaseException | None) -> str:
        """What the driver says, in words for a person."""


class Database:
    """The studio's database, made and brought up to date on opening.

    folder: of SQLite's file. url: of a PostgreSQL database, "" for SQLite. as_it_is: whether it is
    only looked at, and neither made nor changed by opening.
    """

    def __init__(self, folder: Path, url: str = "", *, as_it_is: bool = False):
        self.path = folder / FILE_NAME
        self.backend: Backend = PostgreSQL(url) if url else SQLite(self.path)
        self._engine = self.backend.engine()
        self._reading = self.backend.reading(self._engine)
        self._writing = self._engine.execution_options(immediate=True)
        self._held: Connection | None = None
        self._holds = False
        self._looked_at = 0.0
        self._looking = threading.Lock()
        try:
            engine = self._reading if as_it_is else self._writing
            with self._transaction(engine, _START_SECONDS) as db:
                self.backend.check(db)
                if not as_it_is:
                    migrate(db)
        except BaseException:
            self.close()
            raise

    @property
    def name(self) -> str:
        """Which database it is: sqlite or postgresql."""
        return self.backend.name

    @property
    def shown(self) -> str:
        """Where it is, as sentences say it; without a password."""
        return self.backend.shown

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection for queries, all of which see the same moment."""
        with self._transaction(self._reading, _READ_SECONDS) as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that is committed at the end and rolled back on an error.

        No other one writes meanwhile. Raises ConnectionLost when it was rolled back for want of a
        connection.
        """
        with self._transaction(self._writing, _WRITE_SECONDS) as connection:
            yield connection

    def hold(self) -> None:
        """Have the database for this server alone; StorageError when another one has it."""
        with self._translated():
            self._held = self.backend.hold(self._engine)
        self._holds = self._held is not None
        self._looked_at = time.monotonic()

    def close(self) -> None:
        """Give all connections back."""
        self._holds = False
        if self._held is not None:
            self._held.invalidate()  # the lock ends with the connection, which the pool would keep
            self._held.close()
            self._held = None
        self._engine.dispose()

    @contextmanager
    def _transaction(self, engine: Engine, patience: float) -> Iterator[Connection]:
        with self._translated():
            connection = self._connected(engine, patience)
        ends = False
        try:
            if engine is self._writing and self._holds:
                self._hold_on()
            with self._translated(), connection.begin():
                yield connection
                ends = True
        except ConnectionLost as error:
            if ends and engine is self._writing:
                raise StorageError(
                    f"The database {self.shown} went away at the very end of a change, which it "
                    "may have made or not; look before you try again."
                ) from error
            raise
        finally:
            connection.close()

    def _hold_on(self) -> None:
        """Take the database again where that was lost, as when it was begun again meanwhile."""
        with self._looking:
            if time.monotonic() - self._looked_at < _LOOK_SECONDS:
                return
            try:
                if self._held is not None:
                    self._held.exec_driver_sql("SELECT 1")
                    self._looked_at = time.monotonic()
                    return
            except DBAPIError:
                pass
            if self._held is not None:
                self._held.close()
                self._held = None
            with self._translated():  # until it succeeds, nothing is written
                self._held = self.backend.hold(self._engine)
            self._looked_at = time.monotonic()

    def _connected(self, engine: Engine, patience: float) -> Connection:
        """A connection that works; one that is in its beginnings is waited for."""
        until = time.monotonic() + patience
        while True:
            try:
                return engine.connect()
            except DBAPIError as error:
                if not self.backend.comes_back(error.orig) or time.monotonic() >= until:
                    raise
            time.sleep(_PAUSE)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            sentence = self.backend.sentence(error.orig)
            if error.connection_invalidated:
                raise ConnectionLost(sentence) from error
            raise StorageError(sentence) from error
        except OverflowError as error:
            raise StorageError(
                f"The database {self.shown} has no room for a number so large."
            ) from error


_Self = TypeVar("_Self")
_Given = ParamSpec("_Given")
_Told = TypeVar("_Told")


def repeated(
    method: Callable[Concatenate[_Self, _Given], _Told],
) -> Callable[Concatenate[_Self, _Given], _Told]:
    """Have a table's method done once more when the connection was lost in the middle of it.

    For methods of a single transaction, of which then nothing is left.
    """

    @functools.wraps(method)
    def call(self: _Self, *args: _Given.args, **more: _Given.kwargs) -> _Told:
        try:
            return method(self, *args, **more)
        except ConnectionLost:
            return method(self, *args, **more)

    return call
