"""Saved pictures: a file each under outputs/<date>/ and a row that finds it again."""

import contextlib
import io
import re
import time
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from sqlalchemy import text

from studio.errors import NotFound, StorageError, from_os_error
from studio.store.database import Database

THUMBNAIL_SIDE = 256
_NUMBER = re.compile(r"^(\d+)-")


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
    """One saved picture; file is relative to the data folder, times are seconds since 1970."""

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


@dataclass(frozen=True)
class Page:
    """A page of the gallery, newest first; total counts all that match."""

    rows: tuple[OutputRow, ...]
    total: int


class OutputTable:
    """All pictures of a data folder."""

    def __init__(self, database: Database, folder: Path):
        self._database = database
        self._folder = folder

    def save(self, job_id: str, picture: Picture) -> int:
        """Write the file and its row and return the row's id; all or nothing.

        Raises StorageError when the disk is full or refuses.
        """
        now = time.time()
        day = time.strftime("%Y-%m-%d", time.localtime(now))
        taken = self._last_number(f"outputs/{day}/")
        try:
            path = _write_numbered(self._folder / "outputs" / day, picture, taken)
            if picture.mask:
                mask_beside(path).write_bytes(picture.mask)
        except OSError as error:
            raise from_os_error(error, f"save the picture to {self._folder / 'outputs'}") from error
        fields = {
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
        }
        columns = ", ".join(fields)
        values = ", ".join(f":{name}" for name in fields)
        try:
            with self._database.write() as db:
                row = db.execute(
                    text(f"INSERT INTO outputs ({columns}) VALUES ({values}) RETURNING id"), fields
                ).one()
        except StorageError:
            path.unlink(missing_ok=True)
            mask_beside(path).unlink(missing_ok=True)
            raise
        # Made now, a thumbnail costs milliseconds; sixty at once would hold up the gallery.
        with contextlib.suppress(StorageError, NotFound):
            self.thumbnail(row.id)
        return int(row.id)

    def get(self, output_id: int) -> OutputRow:
        """The picture of this id, or NotFound."""
        with self._database.read() as db:
            row = db.execute(
                text("SELECT * FROM outputs WHERE id = :id"), {"id": output_id}
            ).first()
        if row is None:
            raise NotFound(f"There is no picture {output_id}; it may have been deleted.")
        return OutputRow(**row._mapping)

    def of_job(self, job_id: str) -> tuple[int, ...]:
        """Ids of a job's pictures in the order they were made."""
        with self._database.read() as db:
            rows = db.execute(
                text("SELECT id FROM outputs WHERE job_id = :id ORDER BY id"), {"id": job_id}
            )
            return tuple(row.id for row in rows)

    def page(
        self, offset: int, limit: int, search: str = "", model: str = "", trash: bool = False
    ) -> Page:
        """Pictures newest first whose prompt holds every word of `search`."""
        where = ["trashed_at IS NOT NULL" if trash else "trashed_at IS NULL"]
        values: dict[str, str | int] = {"limit": limit, "offset": offset}
        for number, word in enumerate(search.split()[:20]):
            where.append(f"fold(prompt || ' ' || model) LIKE :w{number} ESCAPE '\\'")
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
                    f"SELECT * FROM outputs WHERE {clause}"
                    " ORDER BY id DESC LIMIT :limit OFFSET :offset"
                ),
                values,
            )
            return Page(tuple(OutputRow(**row._mapping) for row in rows), int(total or 0))

    def models(self) -> list[str]:
        """Names of the models that made the pictures, in alphabetical order."""
        with self._database.read() as db:
            rows = db.execute(text("SELECT DISTINCT model FROM outputs ORDER BY model"))
            return [row.model for row in rows]

    def trash(self, ids: list[int]) -> None:
        """Put pictures into the trash; nothing is deleted."""
        self._mark(ids, time.time())

    def restore(self, ids: list[int]) -> None:
        """Take pictures out of the trash."""
        self._mark(ids, None)

    def delete_trash(self, before: float) -> int:
        """Delete what went to the trash before a time, for ever; returns how many pictures."""
        with self._database.read() as db:
            rows = db.execute(
                text("SELECT id, file FROM outputs WHERE trashed_at < :before"), {"before": before}
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

    def _mark(self, ids: list[int], value: float | None) -> None:
        with self._database.write() as db:
            for output_id in ids:
                db.execute(
                    text("UPDATE outputs SET trashed_at = :value WHERE id = :id"),
                    {"value": value, "id": output_id},
                )

    def _last_number(self, folder: str) -> int:
        """The highest number that a row has in a folder, though its file may be gone by now."""
        with self._database.read() as db:
            number = db.execute(
                text(
                    "SELECT max(CAST(substr(file, :start) AS INTEGER)) FROM outputs"
                    " WHERE file > :folder AND file < :folder || '~'"
                ),
                {"folder": folder, "start": len(folder) + 1},
            ).scalar()
        return int(number or 0)

    def _thumbnail(self, output_id: int) -> Path:
        return self._folder / "thumbnails" / str(output_id // 1000) / f"{output_id}.webp"


def mask_beside(path: Path) -> Path:
    """Where the mask of a picture's file is, if it has one."""
    return path.with_name(f"{path.stem}.mask.png")


def _write_numbered(folder: Path, picture: Picture, taken: int) -> Path:
    """The picture under the folder's next free number above `taken`; never over another file."""
    folder.mkdir(parents=True, exist_ok=True)
    numbers = [int(m.group(1)) for p in folder.iterdir() if (m := _NUMBER.match(p.name))]
    number = max([taken, *numbers]) + 1
    while True:
        path = folder / f"{number:05d}-{picture.seed}{picture.suffix}"
        try:
            stream = path.open("xb")
        except FileExistsError:
            number += 1
            continue
        try:
            with stream:
                stream.write(picture.data)
        except OSError:
            path.unlink(missing_ok=True)
            raise
        return path
