"""Uploaded pictures and masks, kept by the hash of their pixels under inputs/.

A request names its source by that hash, so that a job finds the very pixels that were sent,
however long it waits, and no path ever comes from a client.
"""

import hashlib
import re
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from sqlalchemy import text

from studio.errors import NotFound, from_os_error
from studio.people import Deed, acting, needs
from studio.requests import HASH
from studio.store.database import Database, repeated
from studio.store.intake import Taken, take_mask, take_picture


@dataclass(frozen=True)
class Input:
    """A kept picture: its hash, its size in pixels, and what was changed at the door."""

    hash: str
    width: int
    height: int
    notes: tuple[str, ...] = ()


class InputStore:
    """All inputs of a data folder.

    The same pixels are kept once, whoever sends them, and shown to everyone who has sent them.
    database: knows who that was; None for a folder of one person. admit: raises for who may keep
    no more files.
    """

    def __init__(
        self,
        folder: Path,
        database: Database | None = None,
        admit: Callable[[], None] = lambda: None,
    ):
        self._folder = folder / "inputs"
        self._admit = admit
        self._database = database

    @needs(Deed.MAKE)
    def add_picture(self, data: bytes, name: str = "The file") -> Input:
        """Keep an uploaded picture as RGB; InputError in one sentence when it is none."""
        return self._keep(take_picture(data, name))

    @needs(Deed.MAKE)
    def add_mask(self, data: bytes, name: str = "The mask") -> Input:
        """Keep an uploaded mask, 255 where it is painted."""
        return self._keep(take_mask(data, name))

    def add_image(self, image: Image.Image) -> Input:
        """Keep a picture that is RGB or L already."""
        return self._keep(Taken(image))

    def open(self, digest: str) -> Image.Image:
        """The picture of a hash, loaded; NotFound when it is not here for who is at work."""
        path = self.path(digest)
        try:
            with Image.open(path, formats=["PNG"]) as image:
                image.load()
                return image
        except OSError as error:
            raise from_os_error(error, f"read the input {digest[:12]}") from error

    def size(self, digest: str) -> tuple[int, int]:
        """Width and height of the picture of a hash, without reading its pixels."""
        try:
            with Image.open(self.path(digest), formats=["PNG"]) as image:
                return image.size
        except OSError as error:
            raise from_os_error(error, f"read the input {digest[:12]}") from error

    def path(self, digest: str) -> Path:
        """Where the PNG file of a hash is."""
        if not re.fullmatch(HASH, digest):
            raise NotFound(f"{digest[:80]!r} is no hash of an input.")
        path = self._folder / digest[:2] / f"{digest}.png"
        if not path.is_file() or not self._is_shown(digest):
            raise NotFound(f"Input {digest[:12]}… is not here any more; send the picture again.")
        return path

    def _keep(self, taken: Taken) -> Input:
        image = taken.image
        digest = hash_of(image)
        target = self._folder / digest[:2] / f"{digest}.png"
        kept = Input(digest, image.width, image.height, taken.notes)
        self._admit()
        if not target.is_file():
            self._write(image, target)
        self._note(digest, target)
        return kept

    def _write(self, image: Image.Image, target: Path) -> None:
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            # Written aside first: two uploads of the same picture must not meet half a file.
            with tempfile.NamedTemporaryFile(dir=target.parent, delete=False) as aside:
                try:
                    image.save(aside, "PNG", compress_level=3)
                    aside.close()
                    Path(aside.name).replace(target)
                finally:
                    Path(aside.name).unlink(missing_ok=True)
        except OSError as error:
            raise from_os_error(error, f"keep the picture in {self._folder}") from error

    @repeated
    def _note(self, digest: str, target: Path) -> None:
        """Remember who has sent a picture; the studio's own need no note, for it sees all."""
        person = acting()
        if self._database is None or not person.id:
            return
        with self._database.write() as db:
            db.execute(
                text(
                    "INSERT INTO inputs (person, hash, bytes, created_at)"
                    " VALUES (:person, :hash, :bytes, :now) ON CONFLICT (person, hash) DO NOTHING"
                ),
                {
                    "person": person.id,
                    "hash": digest,
                    "bytes": target.stat().st_size,
                    "now": time.time(),
                },
            )

    def _is_shown(self, digest: str) -> bool:
        """Whether who is at work has sent a picture, or sees everybody's."""
        person = acting()
        if self._database is None or person.is_administrator:
            return True
        with self._database.read() as db:
            found = db.execute(
                text("SELECT 1 FROM inputs WHERE person = :person AND hash = :hash"),
                {"person": person.id, "hash": digest},
            ).first()
        return found is not None


def hash_of(image: Image.Image) -> str:
    """SHA-256 of mode, size and pixels: the same however a file packs them."""
    digest = hashlib.sha256(f"{image.mode} {image.width}x{image.height}\n".encode())
    digest.update(image.tobytes())
    return digest.hexdigest()
