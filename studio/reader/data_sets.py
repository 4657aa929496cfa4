"""Data sets in SQuAD's format: the official ones, downloaded and compared, and people's own.

They lie under data_sets/ of the data folder by plain names; no path comes from a client.
"""

import gzip
import hashlib
import http.client
import re
import tempfile
import threading
import time
import urllib.error
import urllib.request
import zlib
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from studio.context import Context
from studio.errors import DataError, NotFound, from_os_error
from studio.events import Progress
from studio.people import EVERYBODYS, Deed, Owned, needs
from studio.reader.squad import Squad, read_squad
from studio.reader_requests import FetchDataRequest

_SITE = "https://rajpurkar.github.io/SQuAD-explorer/dataset"
_ENDINGS = (".json", ".json.gz")
_PLAIN = re.compile(r"[^\w.+ -]")
_EDGES = " ._+-"
"""What a name neither begins nor ends with, as requests have it."""
_BLOCK = 1 << 18
_LARGEST = 500_000_000
_REMEMBERED = 4
_State = tuple[Path, int, int]
"""A file as it is now: path, bytes and time."""


@dataclass(frozen=True)
class Official:
    """A file of the data set's authors; sha256: of the whole file."""

    name: str
    sha256: str

    @property
    def url(self) -> str:
        """Where it is downloaded."""
        return f"{_SITE}/{self.name}.json"


OFFICIAL = (
    Official("dev-v2.0", "80a5225e94905956a6446d296ca1093975c4d3b3260f1d6c8f68bc2ab77182d8"),
    Official("train-v2.0", "68dcfbb971bd3e96d5b46c7177b16c1a4e7d4bdef19fb204502738552dede002"),
    Official("dev-v1.1", "95aa6a52d5d6a735563366753ca50492a658031da74f301ac5238b03966972c9"),
    Official("train-v1.1", "3527663986b8295af4f7fcdff1ba1ff3f72d07d61a20f487cb238a6ef92fd955"),
)
"""SQuAD 1.1 and 2.0 (CC BY-SA 4.0)."""


def known_as(sha256: str) -> str:
    """The official name of a file with this sum, "" where it is none of them."""
    return next((each.name for each in OFFICIAL if each.sha256 == sha256), "")


def official_sum(name: str) -> str:
    """The sum of the official file of this name, "" where there is none."""
    return next((each.sha256 for each in OFFICIAL if each.name == name), "")


class DataSets:
    """The data sets of a data folder; looked up afresh, and read once as long as they stay.

    owned: who is shown which; of what is not shown the name is taken all the same.
    """

    def __init__(self, data: Path, owned: Owned = EVERYBODYS):
        self._folder = data / "data_sets"
        self._owned = owned
        self._read: OrderedDict[_State, Squad] = OrderedDict()
        self._sums: dict[_State, str] = {}
        self._lock = threading.Lock()
        self._adding = threading.Lock()

    def names(self) -> list[str]:
        """All of them, by name."""
        return sorted(self._shown())

    def path(self, name: str) -> Path:
        """The file of a name; NotFound when there is none."""
        if found := self._shown().get(name):
            return found
        names = ", ".join(self.names()) or "none yet"
        raise NotFound(f"There is no data set {name!r}; there are: {names}.")

    def get(self, name: str) -> Squad:
        """The data set of a name; DataError when its file is not SQuAD."""
        path = self.path(name)
        key = _state(path)
        if key is None:
            raise NotFound(f"The data set {name!r} has just been deleted; choose another one.")
        # One at a time: a large one takes seconds and much memory, and several people open it.
        with self._lock:
            if key not in self._read:
                self._read[key] = read_squad(path, name)
            self._read.move_to_end(key)
            while len(self._read) > _REMEMBERED:
                self._read.popitem(last=False)
            return self._read[key]

    def sha256(self, name: str) -> str:
        """The sum of the file of a name, taken of it unpacked; NotFound when there is none."""
        return self._sum(self.path(name))

    def having(self, sha256: str) -> str:
        """The name of the file with this sum, taken of it unpacked; "" when there is none."""
        shown = sorted(self._shown().items(), key=lambda each: each[1])
        return next((name for name, path in shown if self._sum(path) == sha256), "")

    @needs(Deed.MAKE)
    def add(self, content: bytes, name: str) -> str:
        """Keep a file and return the name it goes by; name: what it is called elsewhere.

        The same file is kept once. Raises DataError when it is not SQuAD.
        """
        from studio.reader.squad import parse_squad

        parse_squad(_unpacked(content, name), name)
        stem = _PLAIN.sub("_", _without_ending(Path(name).name)).strip(_EDGES) or "data set"
        stem = stem[:80].strip(_EDGES)
        ending = ".json.gz" if content[:2] == b"\x1f\x8b" else ".json"
        # Two files of one name, added at the same time, must not become one.
        with self._adding:
            number, free = 1, stem
            while (there := self._named(free)) is not None:
                if self._owned.shows(free) and _holds(there, content):
                    return free
                number += 1
                free = f"{stem} {number}"
            self._owned.keep(free)
            self._write(content, f"{free}{ending}")
        return free

    @needs(Deed.MAKE)
    def remove(self, name: str) -> None:
        """Delete a data set's file; Forbidden for one that is everybody's."""
        path = self.path(name)
        self._owned.demand(name)
        try:
            path.unlink()
        except OSError as error:
            raise from_os_error(error, f"delete the data set {name}") from error
        self._owned.forget(name)

    def fetch(self, request: FetchDataRequest, context: Context) -> None:
        """The work function of a download: nothing is kept unless its sum is the official one."""
        wanted = next(each for each in OFFICIAL if each.name == request.name)
        if self._named(wanted.name) is not None:
            raise DataError(f"There is a data set {wanted.name} already; delete it first.")
        content = _download(wanted, context.check, context.emit)
        found = hashlib.sha256(content).hexdigest()
        if found != wanted.sha256:
            raise DataError(
                f"{wanted.url} has the checksum {found[:12]}… and should have "
                f"{wanted.sha256[:12]}…; it was changed on its way or at its source."
            )
        self._write(content, f"{wanted.name}.json")

    def _sum(self, path: Path) -> str:
        key = _state(path)
        if key is None:
            return ""
        if key not in self._sums:
            self._sums[key] = _sha256(path)
        return self._sums[key]

    def _shown(self) -> dict[str, Path]:
        """The files by their names, as far as they are shown to who is at work."""
        found: dict[str, Path] = {}
        for path in self._folder.glob("*.json*"):
            if name := _name(path):
                found.setdefault(name, path)
        shown = self._owned.shown(found)
        return {name: path for name, path in found.items() if name in shown}

    def _named(self, name: str) -> Path | None:
        return next((p for p in self._folder.glob("*.json*") if _name(p) == name), None)

    def _write(self, content: bytes, file: str) -> None:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=self._folder, delete=False) as aside:
                try:
                    aside.write(content)
                    aside.close()
                    Path(aside.name).replace(self._folder / file)
                finally:
                    Path(aside.name).unlink(missing_ok=True)
        except OSError as error:
            raise from_os_error(error, f"keep the data set in {self._folder}") from error


def _name(path: Path) -> str:
    """The name of a data set's file, "" for other files."""
    return _without_ending(path.name) if path.name.endswith(_ENDINGS) else ""


def _without_ending(name: str) -> str:
    for ending in reversed(_ENDINGS):
        if name.lower().endswith(ending):
            return name[: -len(ending)]
    return name


def _state(path: Path) -> _State | None:
    """None for a file that somebody has deleted meanwhile."""
    try:
        facts = path.stat()
    except OSError:
        return None
    return path, facts.st_size, facts.st_mtime_ns


def _holds(path: Path, content: bytes) -> bool:
    try:
        return path.read_bytes() == content
    except OSError as error:
        raise from_os_error(error, f"compare with the data set {path.name}") from error


def _sha256(path: Path) -> str:
    """The sum of what a file holds, "" where it cannot be read or unpacked."""
    try:
        with path.open("rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
        with gzip.open(path) if packed else path.open("rb") as content:
            return hashlib.file_digest(content, "sha256").hexdigest()
    except (OSError, EOFError, zlib.error):
        return ""


def _unpacked(content: bytes, name: str) -> bytes:
    """What a packed file holds, as long as that is not absurdly much."""
    import io

    if content[:2] != b"\x1f\x8b":
        return content
    try:
        unpacked = gzip.GzipFile(fileobj=io.BytesIO(content)).read(_LARGEST + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{name} cannot be unpacked ({error}); pack it again.") from None
    if len(unpacked) > _LARGEST:
        raise DataError(f"{name} holds more than {_LARGEST / 1e6:,.0f} MB; split it.")
    return unpacked


def _download(
    wanted: Official, check: Callable[[], object], emit: Callable[[Progress], None]
) -> bytes:
    began = told = time.monotonic()
    content = bytearray()
    try:
        with urllib.request.urlopen(wanted.url, timeout=20) as reply:
            total = int(reply.headers.get("Content-Length") or 0)
            while block := reply.read(_BLOCK):
                check()
                content += block
                if total > _LARGEST or len(content) > _LARGEST:
                    raise DataError(f"{wanted.url} is larger than it should be.")
                if time.monotonic() - told > 0.4:
                    told = time.monotonic()
                    emit(_progress(len(content), total, told - began))
    except (OSError, http.client.HTTPException) as error:
        _refuse(wanted, error)
    return bytes(content)


def _progress(done: int, total: int, seconds: float) -> Progress:
    return Progress(
        step=-(-done // 1_000_000),
        steps=max(1, -(-total // 1_000_000)),
        item=1,
        items=1,
        seconds_left=(total - done) / done * seconds if total and done else None,
        label="download",
        unit="MB",
    )


def _refuse(wanted: Official, error: Exception) -> NoReturn:
    reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or error
    reason = str(reason).strip() or type(error).__name__
    raise DataError(
        f"{wanted.url} could not be fetched ({reason}); check the network, or open the file here "
        "after getting it elsewhere."
    ) from error
