"""What is uploaded to a picture set: pictures, captions, or archives of both, under safe names."""

import hashlib
import io
import re
import unicodedata
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from studio.errors import from_os_error
from studio.store.writing import replace_file
from studio.training.pictures.captions import ENDINGS, METADATA, decoded, metadata_lines, one_line
from studio.training.pictures.editing import write_captions
from studio.training.pictures.kohya import folder_note
from studio.training.pictures.listing import (
    FORMATS,
    LARGEST,
    describe,
    find_pictures,
    identified,
)
from studio.training.pictures.notes import read_notes, write_notes

MOST_PICTURES = 50_000
_UNPACKED = 20 * 10**9
_LARGEST_TEXT = 64 * 2**20
_UNSAFE = re.compile(r"[\x00-\x1f\x7f\u2028\u2029\ud800-\udfff<>:\"'`|?*\\/]+")
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)", re.IGNORECASE)
_LONGEST = 100
_SHOWN = 3
_NEITHER = "is neither a picture nor a caption; it was left out"
_Key = tuple[tuple[str, ...], str]
"""Folders and stem of a file as it was called elsewhere."""


@dataclass(frozen=True)
class Added:
    """What came of an upload.

    pictures, captions: added to the set. already: pictures that it had. refused: sentences on
    files that were not taken.
    """

    pictures: int = 0
    captions: int = 0
    already: int = 0
    refused: tuple[str, ...] = ()


@dataclass(frozen=True)
class _File:
    """A file of an upload, by its name elsewhere."""

    name: str
    content: bytes

    @property
    def path(self) -> PurePosixPath:
        return PurePosixPath(*_parts(self.name))

    @property
    def key(self) -> _Key:
        return self.path.parent.parts, self.path.stem


def safe_name(part: str) -> str:
    """A file's or a folder's name without what some system or page stumbles over."""
    part = unicodedata.normalize("NFC", part)
    part = " ".join(_UNSAFE.sub("_", part).split()).strip(" .")
    part = f"_{part}" if _RESERVED.fullmatch(part.partition(".")[0]) else part
    while len(part.encode()) > 2 * _LONGEST or len(part) > _LONGEST:
        part = part[:-1]
    return part.strip(" .")


def safe_stem(stem: str) -> str:
    """The same for a name without its ending; never empty."""
    return safe_name(stem) or "picture"


class Adding:
    """Adds files to the folder of a set.

    The same picture is not added twice. A caption goes to the picture that it lay beside, by
    whatever name that one goes here.
    """

    def __init__(self, folder: Path):
        self._folder = folder
        found = find_pictures(folder)
        facts = describe(folder, found)
        self._by_sum = {facts[each.name].sha256: each.name for each in found}
        self._before = {_stem(each.name).casefold() for each in found}
        self._stems = set(self._before)
        self._files = {each.name.casefold() for each in found}
        self._names: dict[_Key, str] = {_key_of(each.name): each.name for each in found}
        self._captions: dict[_Key, str] = {}
        self._metadata: dict[_Key, str] = {}
        self._pictures = self._already = 0
        self._refused: list[str] = []

    def run(self, files: Iterable[tuple[str, bytes | Path]]) -> Added:
        """Take all files; StorageError when the disk refuses, and then the ones before are kept."""
        for name, content in files:
            if name.lower().endswith(".zip"):
                self._unpack(name, content)
            elif (read := self._read(name, content)) is not None and not self._take(
                _File(name, read)
            ):
                self._refuse(name, _NEITHER)
        captions = self._write_captions()
        self._note_folders()
        return Added(self._pictures, captions, self._already, tuple(self._refused))

    def _read(self, name: str, content: bytes | Path) -> bytes | None:
        size = len(content) if isinstance(content, bytes) else _size(content)
        if size > LARGEST:
            self._refuse(name, f"is larger than {LARGEST // 10**6} MB; make it smaller")
            return None
        try:
            return content if isinstance(content, bytes) else content.read_bytes()
        except OSError as error:
            raise from_os_error(error, f"read the upload {name!r}") from None

    def _take(self, file: _File) -> bool:
        """Whether the file is of a sort that belongs into a set."""
        name = file.path.name
        ending = file.path.suffix.lower()
        if not name or name.startswith("."):
            return True  # litter of systems
        if name.lower() == METADATA:
            for picture, text in metadata_lines(file.content):
                path = PurePosixPath(*file.path.parent.parts, *_parts(picture))
                self._metadata[path.parent.parts, path.stem] = text
        elif ending in ENDINGS:
            self._captions[file.key] = one_line(decoded(file.content[:_LARGEST_TEXT]))
        elif ending in FORMATS or not file.path.suffix or ending == ".jfif":
            self._add(file)
        else:
            return False
        return True

    def _add(self, file: _File) -> None:
        digest = hashlib.sha256(file.content).hexdigest()
        if digest in self._by_sum:
            self._already += 1
            self._names[file.key] = self._by_sum[digest]
            return
        _, kind, problem = identified(file.content)
        if problem:
            self._refuse(file.name, problem)
            return
        if len(self._files) >= MOST_PICTURES:
            self._refuse(file.name, f"is one too many: a set holds {MOST_PICTURES:,} pictures")
            return
        known = file.path.suffix.lower()
        ending = known if FORMATS.get(known) else f".{kind.lower()}"
        name = self._free(file, ending)
        target = self._folder / name
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise from_os_error(error, f"make the folder {target.parent}") from None
        replace_file(target, file.content)
        self._by_sum[digest] = name
        self._files.add(name.casefold())
        self._stems.add(_stem(name).casefold())
        self._names[file.key] = name
        self._pictures += 1

    def _free(self, file: _File, ending: str) -> str:
        """A name in the set that is not taken, the same stem for files that shared one."""
        folders, stem = file.key
        if file.key in self._names and _stem(self._names[file.key]).casefold() not in self._before:
            shared = _stem(self._names[file.key]) + ending
            if shared.casefold() not in self._files:
                return shared
        place = "/".join((*filter(None, map(safe_name, folders)), safe_stem(stem)))
        number, free = 1, place
        while free.casefold() in self._stems:
            number += 1
            free = f"{place} {number}"
        return free + ending

    def _unpack(self, name: str, content: bytes | Path) -> None:
        try:
            with zipfile.ZipFile(
                io.BytesIO(content) if isinstance(content, bytes) else content
            ) as z:
                others = [file.name for file in self._entries(name, z) if not self._take(file)]
        except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, NotImplementedError):
            self._refuse(name, "is no archive that can be unpacked; pack it anew as .zip")
            return
        except RuntimeError:  # what zipfile raises where it would need a password
            self._refuse(name, "is locked by a password; pack it anew without")
            return
        except OSError as error:
            raise from_os_error(error, f"unpack {name!r}") from None
        for other in others[:_SHOWN]:
            self._refuse(other, _NEITHER)
        if len(others) > _SHOWN:
            more = len(others) - _SHOWN
            self._refuse(name, f"holds {more} more files that are no pictures; they were left out")

    def _entries(self, name: str, archive: zipfile.ZipFile) -> Iterator[_File]:
        """The files of an archive, each read to its end only if that is within bounds."""
        entries = [each for each in archive.infolist() if not each.is_dir()]
        entries = [each for each in entries if not _is_litter(_entry_name(each))]
        if len(entries) > 2 * MOST_PICTURES:
            self._refuse(name, f"holds more than {2 * MOST_PICTURES:,} files; split it")
            return
        wrapper = _wrapper([_parts(_entry_name(each)) for each in entries])
        left = _UNPACKED
        for each in entries:
            inner = "/".join(_parts(_entry_name(each))[wrapper:])
            with archive.open(each) as stream:
                content = stream.read(LARGEST + 1)  # what it says of its size may be untrue
            left -= len(content)
            if len(content) > LARGEST:
                self._refuse(inner, f"is larger than {LARGEST // 10**6} MB; make it smaller")
                continue
            if left < 0:
                self._refuse(name, f"holds more than {_UNPACKED // 10**9} GB; split it")
                return
            yield _File(inner, content)

    def _write_captions(self) -> int:
        """Captions to their pictures, those of files before those of lists."""
        wanted: dict[str, str] = {}
        for key, text in (self._metadata | self._captions).items():
            if key in self._names:
                wanted[self._names[key]] = text
        lost = [key for key in self._captions if key not in self._names]
        for folders, stem in lost[:_SHOWN]:
            self._refuse("/".join((*folders, stem)), "is a caption without its picture")
        if len(lost) > _SHOWN:
            self._refused.append(f"{len(lost) - _SHOWN} more captions have no picture.")
        return write_captions(self._folder, wanted) if wanted else 0

    def _note_folders(self) -> None:
        """Keep what names of folders tell that were made safe, as in `10_the cat's toy`."""
        told = {}
        for folders, _ in self._names:
            for depth, folder in enumerate(folders, 1):
                note, safe = folder_note(folder), safe_name(folder)
                if note is not None and safe != folder:
                    told["/".join(filter(None, map(safe_name, folders[:depth])))] = note
        if told:
            notes = read_notes(self._folder)
            write_notes(self._folder, replace(notes, folders={**notes.folders, **told}))

    def _refuse(self, name: str, why: str) -> None:
        self._refused.append(f"{name!r} {why}.")


def _parts(name: str) -> tuple[str, ...]:
    """The folders and the file of a name, none of which leads upwards."""
    parts = name.replace("\\", "/").replace("\0", "").split("/")
    return tuple(part for part in parts if part.strip(" .") and not re.fullmatch("[A-Za-z]:", part))


def _entry_name(entry: zipfile.ZipInfo) -> str:
    if entry.flag_bits & 0x800:
        return entry.filename
    try:  # many packers write UTF-8 without saying so
        return entry.filename.encode("cp437").decode("utf-8")
    except UnicodeError:
        return entry.filename


def _is_litter(name: str) -> bool:
    return any(part.startswith((".", "__MACOSX")) for part in _parts(name))


def _wrapper(names: list[tuple[str, ...]]) -> int:
    """How many folders around all files of an archive say nothing."""
    depth = 0
    while names and all(len(name) > depth + 1 for name in names):
        folder = names[0][depth]
        if folder_note(folder) is not None or any(name[depth] != folder for name in names):
            break
        depth += 1
    return depth


def _stem(name: str) -> str:
    return PurePosixPath(name).with_suffix("").as_posix()


def _key_of(name: str) -> _Key:
    path = PurePosixPath(name)
    return path.parent.parts, path.stem


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise from_os_error(error, f"read the upload {path.name!r}") from None
