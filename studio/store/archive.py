"""Backups as files: one zip with all rows as text, the files of a person's own, and a manifest.

A row is a line of JSON, so that whichever database it came from, each can take it. Names inside
are of a closed set of forms, and what they stand for is put together here, from checked parts.
"""

import base64
import hashlib
import json
import lzma
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

from studio.errors import StorageError, from_os_error

FORMAT = 1
MANIFEST = "manifest.json"
SETTINGS = "files/atelier.toml"
"""The settings file, wherever it was."""
FILES = ("preferences.json", "sdapi.json", "styles.csv")
"""What stands in the data folder beside the database and cannot be had again."""
_LARGEST_MANIFEST = 64 * 10**6
_PIECE = 2**20
_FORMS = (
    rf"files/({'|'.join(map(re.escape, FILES))})",
    r"(submissions)/(\d{1,18})/((?:predictions|na_probs)\.json\.gz)",
    r"(outputs)/([0-9A-Za-z][0-9A-Za-z-]{0,30})/([0-9A-Za-z-]{1,60}(?:\.mask)?\.[0-9a-z]{2,5})",
    r"(inputs)/([0-9a-f]{2})/([0-9a-f]{64}\.png)",
)
"""Of members that are files of the data folder; their groups are the parts of the place there."""
_TABLE = r"tables/([a-z_]{1,60})\.jsonl"
_PICTURES = ("outputs/", "inputs/")
_DAMAGES = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, EOFError),
    *(NotImplementedError, RuntimeError, ValueError, KeyError, TypeError, AttributeError),
)
"""What a changed file may raise anywhere."""


@dataclass(frozen=True)
class Table:
    """A table in an archive; last: the highest number that it has ever given to a row, or None."""

    columns: tuple[str, ...]
    rows: int
    last: int | None = None


@dataclass(frozen=True)
class Member:
    """What a member of an archive is once it is unpacked."""

    bytes: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """What an archive tells of itself; steps: names of the migrations that its rows have had."""

    format: int
    version: str
    made_at: float
    database: str
    steps: tuple[str, ...]
    tables: dict[str, Table] = field(default_factory=dict)
    members: dict[str, Member] = field(default_factory=dict)

    @property
    def has_pictures(self) -> bool:
        """Whether pictures are among its files."""
        return any(name.startswith(_PICTURES) for name in self.members)


class Writing:
    """An archive that is being written; members: of what has been written so far."""

    def __init__(self, stream: IO[bytes]):
        self._zip = zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED)
        self.members: dict[str, Member] = {}

    def __enter__(self) -> "Writing":
        return self

    def __exit__(self, *error: object) -> None:
        self._zip.close()

    def rows(self, table: str, rows: Iterator[tuple[Any, ...]]) -> int:
        """Write a table's rows and return how many there were."""
        count = 0
        with self._member(f"tables/{table}.jsonl") as write:
            for row in rows:
                write(json.dumps([_told(value) for value in row]).encode() + b"\n")
                count += 1
        return count

    def file(self, name: str, path: Path) -> bool:
        """Write a file under a name; False when it is gone or has no place in an archive."""
        if name != SETTINGS and not _place(name):
            return False
        try:
            stream = path.open("rb")
        except FileNotFoundError:
            return False
        # What is packed already would only cost time.
        packed = name.startswith((*_PICTURES, "submissions/"))
        with stream, self._member(name, zipfile.ZIP_STORED if packed else None) as write:
            while piece := stream.read(_PIECE):
                write(piece)
        return True

    def end(self, manifest: Manifest) -> None:
        """Write the manifest, without which it is no archive."""
        self._zip.writestr(MANIFEST, json.dumps(asdict(manifest), indent=1))

    @contextmanager
    def _member(
        self, name: str, compression: int | None = None
    ) -> Iterator[Callable[[bytes], None]]:
        digest, size = hashlib.sha256(), 0
        entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
        entry.compress_type = zipfile.ZIP_DEFLATED if compression is None else compression
        with self._zip.open(entry, "w", force_zip64=True) as stream:

            def write(piece: bytes) -> None:
                nonlocal size
                digest.update(piece)
                size += len(piece)
                stream.write(piece)

            yield write
        self.members[name] = Member(size, digest.hexdigest())


class Reading:
    """An archive that was checked from end to end; StorageError in a sentence when it is not whole.

    Nothing is written by that.
    """

    def __init__(self, path: Path):
        self.path = path
        with self._in_words():
            self._zip = zipfile.ZipFile(path)
        try:
            with self._in_words():
                self.manifest = self._read_manifest()
                self._check()
        except BaseException:
            self.close()
            raise

    def rows(self, table: str) -> Iterator[tuple[Any, ...]]:
        """A table's rows, in the order in which they can be inserted."""
        width = len(self.manifest.tables[table].columns)
        with self._in_words(), self._zip.open(f"tables/{table}.jsonl") as stream:
            for line in stream:
                row = json.loads(line)
                if not isinstance(row, list) or len(row) != width:
                    raise ValueError(f"a row of {table} is none")
                yield tuple(_value(each) for each in row)

    def files(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        """The members that are files of the data folder, with the parts of their places there."""
        for name in self.manifest.members:
            if parts := _place(name):
                yield name, parts

    def copy(self, name: str, target: Path) -> None:
        """Unpack a member into a file of the caller's naming."""
        with self._in_words():
            target.parent.mkdir(parents=True, exist_ok=True)
            with self._zip.open(name) as stream, target.open("xb") as copy:
                while piece := stream.read(_PIECE):
                    copy.write(piece)

    def close(self) -> None:
        """Close the file."""
        self._zip.close()

    def _read_manifest(self) -> Manifest:
        entry = self._zip.NameToInfo.get(MANIFEST)
        if entry is None or entry.file_size > _LARGEST_MANIFEST:
            raise ValueError("it has no manifest")
        told = json.loads(self._zip.read(MANIFEST))
        if not isinstance(told, dict):
            raise ValueError("its manifest is none")
        if isinstance(told.get("format"), int) and told["format"] > FORMAT:
            raise _newer(self.path, f"format {told['format']}")
        told["tables"] = {
            str(name): Table(
                tuple(map(str, each["columns"])),
                int(each["rows"]),
                None if each["last"] is None else int(each["last"]),
            )
            for name, each in told["tables"].items()
        }
        told["members"] = {
            str(name): Member(int(each["bytes"]), str(each["sha256"]))
            for name, each in told["members"].items()
        }
        told["steps"] = tuple(map(str, told["steps"]))
        return Manifest(**told)

    def _check(self) -> None:
        """Every member is known, named in the manifest, and what it says there."""
        names = [entry.filename for entry in self._zip.infolist()]
        members = self.manifest.members
        if sorted(names) != sorted([*members, MANIFEST]):
            raise ValueError("it holds other files than its manifest names")
        tables = {f"tables/{name}.jsonl" for name in self.manifest.tables}
        for name, member in members.items():
            known = name == SETTINGS or name in tables or _place(name)
            if not known or (name in tables and not re.fullmatch(_TABLE, name)):
                raise ValueError(f"there is no place for {name[:80]!r}")
            if self._digest(name) != member:
                raise ValueError(f"{name} is not what its manifest says")
        if missing := tables - members.keys():
            raise ValueError(f"{min(missing)} is missing")

    def _digest(self, name: str) -> Member:
        digest, size, limit = hashlib.sha256(), 0, self.manifest.members[name].bytes
        with self._zip.open(name) as stream:
            while size <= limit and (piece := stream.read(_PIECE)):
                digest.update(piece)
                size += len(piece)
        return Member(size, digest.hexdigest())

    @contextmanager
    def _in_words(self) -> Iterator[None]:
        try:
            yield
        except _DAMAGES as error:
            if not zipfile.is_zipfile(self.path):
                raise StorageError(
                    f"{self.path} is no backup of Atelier; name a file that `atelier backup` wrote."
                ) from None
            raise StorageError(
                f"The backup {self.path} is damaged or was changed ({str(error)[:200]}); nothing "
                "was restored from it: use another one."
            ) from error
        except OSError as error:
            raise from_os_error(error, f"read the backup {self.path}") from error


def refuse_unknown(path: Path, steps: tuple[str, ...], known: list[str]) -> None:
    """StorageError for an archive whose rows have had migrations that are not known here."""
    if unknown := [step for step in steps if step not in known]:
        raise _newer(path, f"step {unknown[0][:80]!r}")


def _newer(path: Path, why: str) -> StorageError:
    return StorageError(f"The backup {path} was made by a newer Atelier ({why}); update this one.")


def _place(name: str) -> tuple[str, ...]:
    """The parts of a file's place in the data folder; () for what has none."""
    for form in _FORMS:
        if match := re.fullmatch(form, name):
            return match.groups()
    return ()


def _told(value: Any) -> Any:
    if isinstance(value, bytes | memoryview):
        return {"base64": base64.b64encode(value).decode()}
    return value


def _value(told: Any) -> Any:
    if isinstance(told, dict):
        return base64.b64decode(told["base64"], validate=True)
    if told is None or isinstance(told, str | int | float):
        return told
    raise ValueError("a value is of no known sort")
