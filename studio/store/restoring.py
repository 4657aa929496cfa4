"""Restoring a backup: all of it is checked and built aside before anything takes its place.

The database may be of another sort than the one that the backup was made of.
"""

import re
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout
from sqlalchemy import Connection, inspect, text

from studio.errors import StorageError, from_os_error
from studio.store import migrations
from studio.store.archive import FILES, SETTINGS, Reading, refuse_unknown
from studio.store.backup import MIGRATIONS, columns, tables
from studio.store.database import Database
from studio.store.sqlite import FILE_NAME
from studio.store.writing import ASIDE

RESTORED_SETTINGS = "restored-atelier.toml"
"""Where the settings file comes: those in force are nobody's but the machine's."""
SERVER_LOCK = "server.lock"
_AT_A_TIME = 500
_PICTURES = ("outputs", "inputs")
_EMPTY = "before_restore"
_SHOWN = re.compile(r"outputs(/[0-9A-Za-z][0-9A-Za-z.-]*)+")


@dataclass(frozen=True)
class Restored:
    """What was restored; before: where what there was before is now, "" where there was nothing."""

    rows: int
    files: int
    before: str = ""
    settings: Path | None = None


def restore(backup: Path, folder: Path, url: str = "", *, replace: bool = False) -> Restored:
    """Restore a backup into a data folder, and its rows into the database that url names.

    replace: whether what is there already may be put aside, where it is kept. Raises StorageError
    when a server is at work there, when something is in the way, and for a backup that is not
    whole; nothing has been changed then.
    """
    reading = Reading(backup)
    try:
        refuse_unknown(backup, reading.manifest.steps, [name for name, _ in migrations.STEPS])
        try:
            with _alone(folder), tempfile.TemporaryDirectory(prefix=ASIDE, dir=folder) as aside:
                return _restored(reading, folder, Path(aside), url, replace)
        except OSError as error:
            raise from_os_error(error, f"restore to {folder}") from error
    finally:
        reading.close()


def _restored(reading: Reading, folder: Path, aside: Path, url: str, replace: bool) -> Restored:
    files = {name: aside.joinpath(*parts) for name, parts in reading.files()}
    for name, place in files.items():
        reading.copy(name, place)
    obstacles = _in_the_way(folder, aside, files.values())
    if _has_rows(folder, url):
        obstacles.append("a database with rows")
    if obstacles and not replace:
        raise StorageError(
            f"{folder} is not empty: {obstacles[0]} is in the way; choose another data folder "
            "(ATELIER_DATA_DIR), or use --replace, which keeps what is there aside."
        )
    before = f"before_restore_{time.strftime('%Y%m%d_%H%M%S')}" if obstacles else ""
    # The tables of PostgreSQL change at the end of this; all that follows are renamings.
    rows = _fill(reading, Database(aside, url, as_it_is=True), before)
    _put_aside(folder, before, reading.manifest.has_pictures, with_database=not url)
    for path in sorted(path for path in aside.rglob("*") if path.is_file()):
        target = folder / path.relative_to(aside)
        target.parent.mkdir(parents=True, exist_ok=True)
        path.replace(target)
    settings = None
    if SETTINGS in reading.manifest.members:
        settings = folder / RESTORED_SETTINGS
        settings.unlink(missing_ok=True)
        reading.copy(SETTINGS, settings)
        settings.chmod(0o600)
    where = f"{folder / before}" + (f" and schema {before} of the database" if url else "")
    return Restored(rows, len(files), where if before else "", settings)


def _fill(reading: Reading, database: Database, before: str) -> int:
    """Write all rows in one transaction; how many. before: a name for what is put aside, or ""."""
    manifest = reading.manifest
    try:
        database.hold()
        with database.write() as db:
            if database.name != "sqlite":
                # Tables without rows are in the way as well, but nobody misses them.
                database.backend.set_aside(db, before or _EMPTY)
                if not before:
                    db.execute(text(f"DROP SCHEMA {_EMPTY} CASCADE"))
            migrations.migrate(db, only=manifest.steps)
            there = tables(db)
            if sorted(there) != sorted(manifest.tables):
                raise StorageError(_unfit(reading, "its tables are others"))
            rows = sum(_insert(reading, db, table) for table in there)
            for table in there:
                database.backend.count_on(db, table, manifest.tables[table].last)
            migrations.migrate(db)
    finally:
        database.close()
    return rows


def _insert(reading: Reading, db: Connection, table: str) -> int:
    told = reading.manifest.tables[table]
    if sorted(told.columns) != sorted(columns(db, table)):
        raise StorageError(_unfit(reading, f"the columns of {table} are others"))
    names = [f"c{number}" for number in range(len(told.columns))]
    statement = text(
        f"INSERT INTO {table} ({', '.join(told.columns)})"
        f" VALUES ({', '.join(f':{name}' for name in names)})"
    )
    count, waiting = 0, []
    for row in reading.rows(table):
        values = dict(zip(told.columns, row, strict=True))
        if table == "outputs" and not _SHOWN.fullmatch(str(values["file"])):
            # The studio shows whatever file stands in such a row.
            raise StorageError(_unfit(reading, "a picture's file is in no place for pictures"))
        waiting.append(dict(zip(names, row, strict=True)))
        count += 1
        if len(waiting) == _AT_A_TIME:
            db.execute(statement, waiting)
            waiting = []
    if waiting:
        db.execute(statement, waiting)
    if count != told.rows:
        raise StorageError(_unfit(reading, f"{table} has {count} rows instead of {told.rows}"))
    return count


def _unfit(reading: Reading, why: str) -> str:
    return (
        f"The backup {reading.path} is damaged or was changed ({why}); nothing was restored from "
        "it: use another one."
    )


def _has_rows(folder: Path, url: str) -> bool:
    if not url and not (folder / FILE_NAME).exists():
        return False
    database = Database(folder, url, as_it_is=True)
    try:
        with database.read() as db:
            there = tables(db)
            if there and not inspect(db).has_table(MIGRATIONS):
                raise StorageError(
                    f"The database {database.shown} holds tables of another program; make one for "
                    "the studio alone."
                )
            return any(db.execute(text(f"SELECT 1 FROM {each} LIMIT 1")).first() for each in there)
    finally:
        database.close()


def _in_the_way(folder: Path, aside: Path, files: Iterable[Path]) -> list[str]:
    """Names of files that are there with another content."""
    found = []
    for path in files:
        there = folder / path.relative_to(aside)
        if there.exists() and not (there.is_file() and _same(there, path)):
            found.append(str(path.relative_to(aside)))
    return found


def _same(one: Path, other: Path) -> bool:
    return one.stat().st_size == other.stat().st_size and one.read_bytes() == other.read_bytes()


def _put_aside(folder: Path, before: str, pictures: bool, *, with_database: bool) -> None:
    """Move what a backup takes the place of; before: a folder for it, "" where nobody misses it."""
    # They belong to the rows that were there, and are made again.
    shutil.rmtree(folder / "thumbnails", ignore_errors=True)
    own = [f"{FILE_NAME}{end}" for end in ("", "-wal", "-shm")] if with_database else []
    if not before:
        for name in own:  # a log without its file would be taken for the new one's
            (folder / name).unlink(missing_ok=True)
        return
    (folder / before).mkdir()
    for name in [*own, *FILES, "submissions", *(_PICTURES if pictures else ())]:
        if (folder / name).exists():
            (folder / name).rename(folder / before / name)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """The data folder without a server; StorageError when there is one."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / SERVER_LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise StorageError(
            f"The data folder {folder} is in use by a server; stop that one before you restore."
        ) from None
    try:
        yield
    finally:
        lock.release()
