"""Saved pictures: a file each under outputs/<date>/ and a row that finds it again."""

import contextlib
import io
import re
import time
from dataclasses import dataclass, fields
from pathlib import Path

from PIL import Image
from sqlalchemy import text

from studio.errors import NotFound, StorageError, from_os_error
from studio.people import Deed, acting, needs
from studio.store.database import Database, repeated
from studio.store.owning import shown

THUMBNAIL_SIDE = 256
_NUMBER = re.compile(r"^\.?(\d+)-")
_PART = ".part"
_AT_ONCE = 100
"""More pictures than are saved at the same time: among so many last ones is the highest number."""
_OLD = 60.0
"""Seconds after which nobody is at work any more on what lies aside."""


@dataclass(frozen=True)
class Picture:
    """A finished picture as it is handed over for keeping; data is the encoded file.

    mask: a PNG file that is kept beside it, if there is one.
    """

    data: bytes
    suffix: str
    width: int
    height: int
    seed: int
    model: str
    prompt: str
    negative_prompt: str
    infotext: str
    request: str
    mask: bytes = b""


@dataclass(frozen=True)
class OutputRow:
    """One saved picture; file is relative to the data folder, times are seconds since 1970.

    owner: id of the person whose job has made it.
    """

    id: int
    job_id: str
    created_at: float
    file: str
    width: int
    height: int
    bytes: int
    seed: int
    model: str
    prompt: str
    negative_prompt: str
    infotext: str
    request: str
    trashed_at: float | None
    owner: int = 0


_COLUMNS = ", ".join(field.name for field in fields(OutputRow))
"""All but `folded`, which is there to be searched."""


@dataclass(frozen=True)
class Page:
    """A page of the gallery, newest first; total counts all that match."""

    rows: tuple[OutputRow, ...]
    total: int


class OutputTable:
    """All pictures of a data folder; what belongs to others is not there for who is at work."""

    def __init__(self, database: Database, folder: Path):
        self._database = database
        self._folder = folder

    @repeated
    def save(self, job_id: str, picture: Picture) -> int:
        """Write the file and its row and return the row's id; all or nothing.

        Raises StorageError when the disk is full or refuses.
        """
        now = time.time()
        day = time.strftime("%Y-%m-%d", time.localtime(now))
        taken = self._last_number(f"outputs/{day}/")
        try:
            path = _write_aside(self._folder / "outputs" / day, picture, taken)
        except OSError as error:
            raise from_os_error(error, f"save the picture to {self._folder / 'outputs'}") from error
        values = {
            "job_id": job_id,
            "created_at": now,
            "file": path.relative_to(self._folder).as_posix(),
            "width": picture.width,
            "height": picture.height,
            "bytes": len(picture.data),
            "seed": picture.seed,
            "model": picture.model,
            "prompt": picture.prompt,
            "negative_prompt": picture.negative_prompt,
            "infotext": picture.infotext,
            "request": picture.request,
            "folded": f"{picture.prompt} {picture.model}".casefold(),
        }
        columns, names = ", ".join(values), ", ".join(f":{name}" for name in values)
        try:
            with self._database.write() as db:
                row = db.execute(
                    text(
                        f"INSERT INTO outputs ({columns}, owner) VALUES ({names}, coalesce("
                        "(SELECT owner FROM jobs WHERE id = :job_id), 0)) RETURNING id"
                    ),
                    values,
                ).one()
        except StorageError:
            _aside(path).unlink(missing_ok=True)
            _aside(mask_beside(path)).unlink(missing_ok=True)
            raise
        try:
            _put_in_place(path)
        except OSError as error:
            raise from_os_error(error, f"save the picture as {path}") from error
        # Made now, a thumbnail costs milliseconds; sixty at once would hold up the gallery.
        with contextlib.suppress(StorageError, NotFound):
            self.thumbnail(row.id)
        return int(row.id)

    def mend(self) -> None:
        """Finish what a program was saving when it was killed: each row has its file then.

        A row is written between a file's writing aside and its coming to its place, so that at
        whatever moment that is, the next start can tell which of them belong to a row.
        """
        asides = [*(self._folder / "outputs").glob(f"*/.*{_PART}")]
        if not asides:
            return
        with self._database.read() as db:
            files = db.execute(text("SELECT file FROM outputs")).scalars().all()
        ours = [self._folder / file for file in files]
        wanted = {_aside(each) for path in ours for each in (path, mask_beside(path))}
        for each in asides:
            try:
                if each in wanted:
                    each.replace(_place(each))
                elif time.time() - each.stat().st_mtime > _OLD:  # or a command may be at it
                    each.unlink()
            except FileNotFoundError:  # that command has just ended it
                continue
            except OSError as error:
                raise from_os_error(error, f"finish saving {_place(each)}") from error

    @repeated
    def get(self, output_id: int) -> OutputRow:
        """The picture of this id, or NotFound."""
        with self._database.read() as db:
            row = db.execute(
                text(f"SELECT {_COLUMNS} FROM outputs WHERE id = :id"), {"id": output_id}
            ).first()
        if row is None or not acting().sees(row.owner):
            raise NotFound(f"There is no picture {output_id}; it may have been deleted.")
        return OutputRow(**row._mapping)

    @repeated
    def of_job(self, job_id: str) -> tuple[int, ...]:
        """Ids of a job's pictures in the order they were made; whose they are the queue knows."""
        with self._database.read() as db:
            rows = db.execute(
                text("SELECT id FROM outputs WHERE job_id = :id ORDER BY id"), {"id": job_id}
            )
            return tuple(row.id for row in rows)

    @repeated
    def made_by(self, job_id: str) -> list[tuple[str, int]]:
        """What a job's pictures show, as requests for one picture each, with their ids."""
        with self._database.read() as db:
            rows = db.execute(
                text("SELECT id, request FROM outputs WHERE job_id = :id ORDER BY id"),
                {"id": job_id},
            )
            return [(row.request, row.id) for row in rows]

    @repeated
    def page(
        self, offset: int, limit: int, search: str = "", model: str = "", trash: bool = False
    ) -> Page:
        """Pictures newest first whose prompt holds every word of `search`."""
        mine, own = shown("owner")
        where = ["trashed_at IS NOT NULL" if trash else "trashed_at IS NULL", mine]
        values: dict[str, str | int] = {"limit": limit, "offset": offset, **own}
        for number, word in enumerate(search.split()[:20]):
            where.append(f"folded LIKE :w{number} ESCAPE '\\'")
            escaped = word.casefold().replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
            values[f"w{number}"] = f"%{escaped}%"
        if model:
            where.append("model = :model")
            values["model"] = model
        clause = " AND ".join(where)
        with self._database.read() as db:
            total = db.execute(
                text(f"SELECT count(*) FROM outputs WHERE {clause}"), values
            ).scalar()
            rows = db.execute(
                text(
                    f"SELECT {_COLUMNS} FROM outputs WHERE {clause}"
                    " ORDER BY id DESC LIMIT :limit OFFSET :offset"
                ),
                values,
            )
            return Page(tuple(OutputRow(**row._mapping) for row in rows), int(total or 0))

    @repeated
    def models(self) -> list[str]:
        """Names of the models that made the pictures, in alphabetical order."""
        mine, own = shown("owner")
        with self._database.read() as db:
            rows = db.execute(
                text(f"SELECT DISTINCT model FROM outputs WHERE {mine} ORDER BY model"), own
            )
            return [row.model for row in rows]

    @needs(Deed.MAKE)
    def trash(self, ids: list[int]) -> None:
        """Put pictures into the trash; nothing is deleted."""
        self._mark(ids, time.time())

    @needs(Deed.MAKE)
    def restore(self, ids: list[int]) -> None:
        """Take pictures out of the trash."""
        self._mark(ids, None)

    @needs(Deed.MAKE)
    def delete_trash(self, before: float) -> int:
        """Delete what went to the trash before a time, for ever; returns how many pictures."""
        mine, own = shown("owner")
        with self._database.read() as db:
            rows = db.execute(
                text(f"SELECT id, file FROM outputs WHERE trashed_at < :before AND {mine}"),
                {"before": before, **own},
            ).all()
        for row in rows:
            try:
                (self._folder / row.file).unlink(missing_ok=True)
                mask_beside(self._folder / row.file).unlink(missing_ok=True)
                self._thumbnail(row.id).unlink(missing_ok=True)
            except OSError as error:
                raise from_os_error(error, f"delete {row.file}") from error
            with self._database.write() as db:
                db.execute(text("DELETE FROM outputs WHERE id = :id"), {"id": row.id})
        return len(rows)

    def path(self, output_id: int) -> Path:
        """Where the picture's file is, or NotFound when somebody removed it."""
        row = self.get(output_id)
        path = self._folder / row.file
        if not path.is_file():
            raise NotFound(f"The file of picture {output_id} is gone ({row.file}).")
        return path

    def thumbnail(self, output_id: int) -> Path:
        """A small WebP of the picture, made on first use."""
        self.get(output_id)
        target = self._thumbnail(output_id)
        if target.is_file():
            return target
        source = self.path(output_id)
        try:
            with Image.open(source) as image:
                image.draft("RGB", (THUMBNAIL_SIDE, THUMBNAIL_SIDE))
                small = image.convert("RGB")
                small.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE))
            data = io.BytesIO()
            small.save(data, "WEBP", quality=85)
            target.parent.mkdir(parents=True, exist_ok=True)
            # Written aside first: two requests for the same picture must not meet half a file.
            aside = target.with_suffix(f".{time.monotonic_ns()}.part")
            try:
                aside.write_bytes(data.getvalue())
                aside.replace(target)
            finally:
                aside.unlink(missing_ok=True)
        except OSError as error:
            raise from_os_error(error, f"make a thumbnail of picture {output_id}") from error
        return target

    @repeated
    def _mark(self, ids: list[int], value: float | None) -> None:
        mine, own = shown("owner")
        with self._database.write() as db:
            for output_id in ids:
                db.execute(
                    text(f"UPDATE outputs SET trashed_at = :value WHERE id = :id AND {mine}"),
                    {"value": value, "id": output_id, **own},
                )

    def _last_number(self, folder: str) -> int:
        """The highest number that a row has in a folder, though its file may be gone by now."""
        with self._database.read() as db:
            files = db.execute(
                text(
                    "SELECT file FROM outputs WHERE file > :folder AND file < :end"
                    f" ORDER BY id DESC LIMIT {_AT_ONCE}"
                ),
                {"folder": folder, "end": f"{folder}~"},
            ).scalars()
            found = (_NUMBER.match(file.removeprefix(folder)) for file in files)
            return max((int(match.group(1)) for match in found if match), default=0)

    def _thumbnail(self, output_id: int) -> Path:
        return self._folder / "thumbnails" / str(output_id // 1000) / f"{output_id}.webp"


def mask_beside(path: Path) -> Path:
    """Where the mask of a picture's file is, if it has one."""
    return path.with_name(f"{path.stem}.mask.png")


def _write_aside(folder: Path, picture: Picture, taken: int) -> Path:
    """The place of a picture, whose file and mask lie aside: the next free number above `taken`."""
    folder.mkdir(parents=True, exist_ok=True)
    numbers = [int(m.group(1)) for p in folder.iterdir() if (m := _NUMBER.match(p.name))]
    number = max([taken, *numbers]) + 1
    while True:
        path = folder / f"{number:05d}-{picture.seed}{picture.suffix}"
        try:
            stream = _aside(path).open("xb")
        except FileExistsError:
            number += 1
            continue
        if path.exists():  # another one has come to its place since the folder was read
            stream.close()
            _aside(path).unlink()
            number += 1
            continue
        try:
            with stream:
                stream.write(picture.data)
            if picture.mask:
                _aside(mask_beside(path)).write_bytes(picture.mask)
        except OSError:
            _aside(path).unlink(missing_ok=True)
            _aside(mask_beside(path)).unlink(missing_ok=True)
            raise
        return path


def _put_in_place(path: Path) -> None:
    for each in (mask_beside(path), path):
        with contextlib.suppress(FileNotFoundError):  # there is none, or the server's start was it
            _aside(each).replace(each)


def _aside(path: Path) -> Path:
    """Where a file is written before it comes to its place."""
    return path.with_name(f".{path.name}{_PART}")


def _place(aside: Path) -> Path:
    return aside.with_name(aside.name.removeprefix(".").removesuffix(_PART))
