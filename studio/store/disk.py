"""What lies on the disk, and whose it is: measured on demand in a thread, and remembered."""

import logging
import os
import shutil
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import text

from studio.errors import AtelierError
from studio.people import Deed, needs
from studio.store.belongings import FOLDERS, Sort
from studio.store.database import Database, repeated

log = logging.getLogger(__name__)
OLD = 3600.0
"""Seconds after which a look has it measured again."""
SORTS = (
    *("pictures", "trash", "inputs", "trainings", "models", "picture sets", "data sets"),
    "evaluations",
)
"""What is told apart, in the order in which it is told."""
_WORDS = {
    Sort.MODEL: "models",
    Sort.DATA_SET: "data sets",
    Sort.PICTURES: "picture sets",
    Sort.RUN: "trainings",
    Sort.SUBMISSION: "evaluations",
}


@dataclass(frozen=True)
class Kept:
    """What a person keeps, in bytes by its sort; person 0 is nobody, and the studio itself."""

    person: int
    bytes: dict[str, int]

    @property
    def total(self) -> int:
        """All of it."""
        return sum(self.bytes.values())


@dataclass(frozen=True)
class Measured:
    """How it was at a time (seconds since 1970), and the seconds that it took to find out.

    people: who keeps something, the most first. rest: names of what else lies in the data folder,
    and its bytes, the most first.
    """

    at: float
    seconds: float
    people: tuple[Kept, ...]
    rest: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Room:
    """Bytes of the disk that the data folder is on."""

    total: int
    free: int


class Disk:
    """The disk of a data folder.

    thrown_away: owner and place of each model in the trash.
    """

    def __init__(
        self,
        data: Path,
        database: Database,
        thrown_away: Callable[[], Iterable[tuple[int, Path]]] = tuple,
    ):
        self._data = data
        self._database = database
        self._thrown_away = thrown_away
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._last: Measured | None = None

    @needs(Deed.SEE_EVERYTHING)
    def last(self) -> Measured | None:
        """How it was when it was last measured; None before the first time."""
        return self._last

    @property
    def is_measuring(self) -> bool:
        """Whether it is being measured now."""
        thread = self._thread
        return thread is not None and thread.is_alive()

    def room(self) -> Room:
        """What the disk has room for, right now."""
        usage = shutil.disk_usage(self._data)
        return Room(usage.total, usage.free)

    @needs(Deed.SEE_EVERYTHING)
    def look(self, *, again: bool = False) -> None:
        """Have it measured in the background where nobody did so lately; again: in any case."""
        with self._lock:
            last = self._last
            if self.is_measuring:
                return
            if again or last is None or time.time() - last.at > OLD:
                self._thread = threading.Thread(target=self._measure, name="disk", daemon=True)
                self._thread.start()

    def wait(self) -> None:
        """Until a measurement that goes on has ended."""
        if (thread := self._thread) is not None:
            thread.join()

    def _measure(self) -> None:
        began = time.time()
        try:
            found = self._measured()
        except (OSError, AtelierError) as error:
            log.warning("What lies on the disk could not be measured: %s", error)
            return
        self._last = Measured(began, time.time() - began, *found)

    def _measured(self) -> tuple[tuple[Kept, ...], tuple[tuple[str, int], ...]]:
        people: dict[int, dict[str, int]] = defaultdict(lambda: dict.fromkeys(SORTS, 0))
        rest = {entry.name: size(Path(entry)) for entry in os.scandir(self._data)}
        pictures, inputs, belongings = self._rows()
        for owner, trashed, number in pictures:
            people[owner]["trash" if trashed else "pictures"] += number
            rest["outputs"] = rest.get("outputs", 0) - number
        for person, number in inputs:
            people[person]["inputs"] += number
        rest.pop("inputs", None)  # what two people have sent lies there once and counts for both
        for sort, name, owner in belongings:
            number = size_of(self._data, sort, name)
            people[owner][_WORDS[sort]] += number
            rest[FOLDERS[sort]] = rest.get(FOLDERS[sort], 0) - number
        for sort, folder in FOLDERS.items():
            people[0][_WORDS[sort]] += max(0, rest.pop(folder, 0))
        for owner, place in self._thrown_away():
            number = size(place)
            people[owner]["trash"] += number
            rest["trash"] = rest.get("trash", 0) - number
        kept = [Kept(person, sizes) for person, sizes in people.items()]
        kept.sort(key=lambda each: (-each.total, each.person))
        others = sorted(rest.items(), key=lambda each: -each[1])
        return tuple(kept), tuple((name, number) for name, number in others if number > 0)

    @repeated
    def _rows(
        self,
    ) -> tuple[list[tuple[int, bool, int]], list[tuple[int, int]], list[tuple[Sort, str, int]]]:
        """Pictures by owner and whether they are in the trash, inputs by person, belongings."""
        with self._database.read() as db:
            pictures = db.execute(
                text(
                    "SELECT owner, CASE WHEN trashed_at IS NULL THEN 0 ELSE 1 END AS trashed,"
                    " sum(bytes) AS number FROM outputs GROUP BY 1, 2"
                )
            ).all()
            inputs = db.execute(
                text("SELECT person, sum(bytes) AS number FROM inputs GROUP BY person")
            ).all()
            belongings = db.execute(text("SELECT sort, name, owner FROM belongings")).all()
        return (
            [(int(row.owner), bool(row.trashed), int(row.number)) for row in pictures],
            [(int(row.person), int(row.number)) for row in inputs],
            [(Sort(row.sort), row.name, int(row.owner)) for row in belongings],
        )


def size_of(data: Path, sort: Sort, name: str) -> int:
    """Bytes of a belonging; 0 where it is gone."""
    if sort is Sort.DATA_SET:
        files = (data / FOLDERS[sort] / f"{name}{end}" for end in (".json", ".json.gz"))
        return sum(map(size, files))
    return size(data / FOLDERS[sort] / name)


def size(path: Path) -> int:
    """Bytes of a file, or of all files in a folder; what goes away meanwhile counts nothing.

    Links are followed where they are named, and not inside of folders.
    """
    total, folders = 0, [os.fspath(path)]
    try:
        if not path.is_dir():
            return path.stat().st_size
    except OSError:
        return 0
    while folders:
        try:
            with os.scandir(folders.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)
                    elif entry.is_file(follow_symlinks=False):
                        total += entry.stat(follow_symlinks=False).st_size
        except OSError:
            continue
    return total
