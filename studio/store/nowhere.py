"""The database of a process that is to have none."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection

from studio.errors import StorageError
from studio.store.database import FILE_NAME, Database


class NoDatabase(Database):
    """Stands where only the server may write; whoever asks it for anything gets a StorageError."""

    def __init__(self) -> None:
        self.path = Path(FILE_NAME)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Refuse."""
        raise StorageError("A node of a cluster has no database; the server keeps it.")
        yield

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Refuse."""
        raise StorageError("A node of a cluster has no database; the server keeps it.")
        yield

    def close(self) -> None:
        """There is nothing to give back."""
