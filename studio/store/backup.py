"""Backups of a studio that may be running: all rows of one moment, and the files beside them."""

import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, inspect, text

from studio import __version__
from studio.errors import StorageError, from_os_error
from studio.store.archive import FILES, FORMAT, SETTINGS, Manifest, Table, Writing
from studio.store.database import Database
from studio.store.outputs import mask_beside
from studio.store.sqlite import FILE_NAME, SQLite
from studio.store.writing import ASIDE

MIGRATIONS = "migrations"
_AT_A_TIME = 1000
_MOMENT = 0.3
"""Seconds in which a picture that has its row comes to its place."""


@dataclass(frozen=True)
class Backup:
    """What was kept; missing: pictures that have a row and no file."""

    rows: int
    files: int
    bytes: int
    missing: int = 0


def existing(folder: Path, url: str) -> Database:
    """The database of a studio, as it is; StorageError when there is none."""
    if not url and not (folder / FILE_NAME).is_file():
        raise StorageError(f"There is no studio in {folder}; check ATELIER_DATA_DIR.")
    return Database(folder, url, as_it_is=True)


def back_up(
    database: Database, folder: Path, target: Path, settings: Path, *, pictures: bool = False
) -> Backup:
    """Write a backup of a data folder to a new file; nothing that runs there is held up.

    settings: the settings file, which need not be there. pictures: whether they are kept too.
    Raises StorageError when the file is there already or cannot be written.
    """
    if target.exists():
        raise StorageError(f"{target} is there already; name another file or move that one away.")
    aside = target.with_name(f"{ASIDE}{target.name}.part")
    try:
        # It holds keys: nobody else on this machine is to read it.
        aside.touch(0o600)
        aside.chmod(0o600)
        with aside.open("wb") as stream, Writing(stream) as writing:
            told = _written(database, folder, writing, settings, pictures)
        aside.rename(target)
        return Backup(told.rows, told.files, target.stat().st_size, told.missing)
    except OSError as error:
        raise from_os_error(error, f"write the backup {target}") from error
    finally:
        aside.unlink(missing_ok=True)


def tables(db: Connection) -> list[str]:
    """All tables but that of migrations; one that is referred to stands before who refers."""
    names = [name for name, _ in inspect(db).get_sorted_table_and_fkc_names() if name]
    return [name for name in names if name != MIGRATIONS]


def columns(db: Connection, table: str) -> dict[str, bool]:
    """The columns of a table, and whether each is (of) its key."""
    looked = inspect(db)
    key = looked.get_pk_constraint(table)["constrained_columns"]
    return {each["name"]: each["name"] in key for each in looked.get_columns(table)}


def _written(
    database: Database, folder: Path, writing: Writing, settings: Path, pictures: bool
) -> Backup:
    kept: dict[str, Table] = {}
    with _of_one_moment(database, folder) as (still, db):
        if not inspect(db).has_table(MIGRATIONS):
            raise StorageError(
                f"The database {database.shown} holds no studio yet, so there is nothing to keep; "
                "check the data folder (ATELIER_DATA_DIR) and ATELIER_DATABASE_URL."
            )
        steps = db.execute(text(f"SELECT name FROM {MIGRATIONS} ORDER BY name")).scalars().all()
        last = still.backend.counters(db)
        for table in tables(db):
            names = columns(db, table)
            order = ", ".join(name for name, is_key in names.items() if is_key) or "1"
            found = db.execute(
                text(f"SELECT {', '.join(names)} FROM {table} ORDER BY {order}"),
                execution_options={"yield_per": _AT_A_TIME},
            )
            count = writing.rows(table, (tuple(row) for row in found))
            kept[table] = Table(tuple(names), count, last.get(table))
        shown = db.execute(text("SELECT file FROM outputs ORDER BY id")).scalars().all()
        submissions = db.execute(text("SELECT id FROM submissions ORDER BY id")).scalars().all()
    files = sum(writing.file(f"files/{name}", folder / name) for name in FILES)
    files += writing.file(SETTINGS, settings)
    for number in submissions:
        place = folder / "submissions" / str(number)
        for path in sorted(place.glob("*.json.gz")):
            files += writing.file(f"submissions/{number}/{path.name}", path)
    missing = 0
    if pictures:
        more, missing = _pictures(writing, folder, list(shown))
        files += more
    manifest = Manifest(
        FORMAT, __version__, time.time(), database.name, tuple(steps), kept, dict(writing.members)
    )
    writing.end(manifest)
    return Backup(sum(each.rows for each in kept.values()), files, 0, missing)


def _pictures(writing: Writing, folder: Path, shown: list[str]) -> tuple[int, int]:
    """Write the files of pictures and of what they were made from; how many, and how many lack."""
    count, late = 0, []
    for file in shown:
        count += (found := writing.file(file, folder / file))
        if found:
            mask = mask_beside(folder / file)
            count += writing.file(mask.relative_to(folder).as_posix(), mask)
        else:
            late.append(file)
    if late:
        time.sleep(_MOMENT)
    missing = 0
    for file in late:
        found = writing.file(file, folder / file)
        count, missing = count + found, missing + (not found)
    for path in sorted((folder / "inputs").glob("??/*.png")):
        count += writing.file(path.relative_to(folder).as_posix(), path)
    return count, missing


@contextmanager
def _of_one_moment(database: Database, folder: Path) -> Iterator[tuple[Database, Connection]]:
    """The database as it is now, whoever writes meanwhile, with a connection for reading it."""
    if database.name != "sqlite":
        with database.read() as db:
            yield database, db
        return
    # SQLite's own copy, which also finds what is damaged while the backup before is still there.
    with tempfile.TemporaryDirectory(prefix=ASIDE, dir=folder) as aside:
        _copy(database, Path(aside))
        still = Database(Path(aside), as_it_is=True)
        try:
            with still.read() as db:
                faults = db.execute(text("PRAGMA quick_check(1)")).scalar()
                if faults != "ok":
                    raise StorageError(
                        f"The database {database.path} is damaged ({faults}); no backup was made: "
                        "restore an older one."
                    )
                yield still, db
        finally:
            still.close()


def _copy(database: Database, aside: Path) -> None:
    with database.read() as db:
        source = db.connection.driver_connection
        assert isinstance(source, sqlite3.Connection)
        copy = sqlite3.connect(aside / database.path.name)
        try:
            source.backup(copy)
        except sqlite3.Error as error:
            raise StorageError(SQLite(database.path).sentence(error)) from error
        finally:
            copy.close()
