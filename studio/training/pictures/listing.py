"""The picture files below a folder, with what is known of each without decoding it.

Sums and sizes are remembered in the folder itself, by name, size and time of change, so that a set
of thousands is looked through in no time after the first.
"""

import hashlib
import io
import json
import logging
import os
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from PIL import Image

from studio.errors import AtelierError, DataError, NotFound
from studio.store.intake import MAX_PIXELS
from studio.store.writing import ASIDE, replace_file

log = logging.getLogger(__name__)
FORMATS = {
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".png": "PNG",
    ".webp": "WEBP",
    ".bmp": "BMP",
    ".gif": "GIF",
    ".avif": "AVIF",
    ".tif": "TIFF",
    ".tiff": "TIFF",
}
"""Endings of picture files, and what Pillow calls the formats."""
LARGEST = 200_000_000
"""Bytes of a picture file; a larger one is no photograph."""
_MEMORY = f"{ASIDE}sums.json"
_VERSION = 1
_ORIENTATION, _TURNED = 0x0112, (5, 6, 7, 8)
_MARKS = (b"eXIf", b"rientation", b"Raw profile type")
"""What a PNG holds that may say how it is to be turned."""


@dataclass(frozen=True)
class Found:
    """A picture file. name: within its folder, with "/". changed: its time, in nanoseconds."""

    path: Path
    name: str
    bytes: int
    changed: int

    @property
    def folder(self) -> str:
        """The folder that it lies in, within the set; "." for the set's own."""
        return self.name.rpartition("/")[0] or "."


@dataclass(frozen=True)
class Facts:
    """What is known of a file. size: as it is seen. problem: why it is no picture, or ""."""

    sha256: str
    size: tuple[int, int]
    problem: str = ""


def is_picture(name: str) -> bool:
    """Whether a file of this name is taken for a picture."""
    return PurePosixPath(name).suffix.lower() in FORMATS and not name.startswith(".")


def find_pictures(folder: Path, most: int = 0) -> list[Found]:
    """The picture files of a folder and those below it, in the same order on every machine.

    Hidden ones are left out, and so is what training scripts keep beside a folder `img`. most: of
    them, 0 for any number. Raises NotFound and DataError in one sentence.
    """
    found: list[Found] = []
    seen: set[str] = set()
    _check_folder(folder)
    for place, inner, names in os.walk(folder, onerror=_refuse, followlinks=True):
        real = os.path.realpath(place)
        if real in seen:
            inner.clear()  # a link leads back here
            continue
        seen.add(real)
        inner[:] = [name for name in inner if not name.startswith((".", "__MACOSX"))]
        if Path(place) == folder and {"img", "reg"} <= set(inner):
            inner[:] = ["img"]  # the layout of kohya_ss; reg has pictures of the class
        inside = Path(place).relative_to(folder).as_posix()
        for name in filter(is_picture, names):
            path = Path(place) / name
            try:
                facts = path.stat()
            except OSError:
                continue  # removed just now, or a link to nothing
            within = name if inside == "." else f"{inside}/{name}"
            found.append(Found(path, within, facts.st_size, facts.st_mtime_ns))
        if most and len(found) > most:
            raise DataError(
                f"{folder} holds more than {most:,} pictures; choose the folder of one picture set."
            )
    return sorted(found, key=lambda each: (each.name.casefold(), each.name))


def describe(folder: Path, found: Iterable[Found]) -> dict[str, Facts]:
    """What is known of a folder's pictures, by name; only what is new or changed is read."""
    known = _remembered(folder)
    told: dict[str, Facts] = {}
    kept: dict[str, list[object]] = {}
    for each in found:
        stamp = [each.bytes, each.changed]
        entry = known.get(each.name)
        facts = _kept_facts(entry[2:]) if entry is not None and entry[:2] == stamp else None
        told[each.name] = facts or facts_of(each.path)
        if told[each.name].sha256:  # what could not be read is tried again
            facts = told[each.name]
            kept[each.name] = [*stamp, facts.sha256, *facts.size, facts.problem]
    if kept != known:
        content = json.dumps({"version": _VERSION, "files": kept}).encode()
        try:
            replace_file(folder / _MEMORY, content)
        except AtelierError as error:
            log.info("Sums are not remembered: %s", error)  # as in a folder that is only to be read
    return told


def facts_of(path: Path) -> Facts:
    """Sum and size of a picture file; its pixels are not decoded."""
    try:
        if path.stat().st_size > LARGEST:
            return Facts("", (0, 0), f"is larger than {LARGEST // 10**6} MB; make it smaller")
        content = path.read_bytes()
    except OSError as error:
        reason = (error.strerror or "it is gone").lower()
        return Facts("", (0, 0), f"cannot be read ({reason}); see to its permissions")
    digest = hashlib.sha256(content).hexdigest()
    size, problem = measured(content)
    return Facts(digest, size, problem)


def measured(content: bytes) -> tuple[tuple[int, int], str]:
    """Width and height of a picture file as it is seen, and why it cannot be used, or ""."""
    size, _, problem = identified(content)
    return size, problem


def identified(content: bytes) -> tuple[tuple[int, int], str, str]:
    """Width and height as it is seen, Pillow's name of the format, and a problem or ""."""
    if not content:
        return (0, 0), "", "is empty; save it anew"
    Image.init()
    formats = [kind for kind in dict.fromkeys(FORMATS.values()) if kind in Image.OPEN]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # huge pictures are measured below, odd EXIF is no harm
            with Image.open(io.BytesIO(content), formats=formats) as image:
                size, kind = image.size, str(image.format)
                if size[0] * size[1] > MAX_PIXELS:
                    raise Image.DecompressionBombError
                if _may_be_turned(kind, content) and _is_turned(image):
                    size = size[1], size[0]
    except Image.DecompressionBombError:
        return (0, 0), "", f"has more than {MAX_PIXELS // 10**6} million pixels; make it smaller"
    except Exception:  # readers of foreign files raise anything
        return (0, 0), "", "is no picture that can be read; save it anew as PNG or JPEG"
    return size, "JPEG" if kind == "MPO" else kind, ""


def _may_be_turned(kind: str, content: bytes) -> bool:
    # Pillow decodes a whole PNG to find out that it has no EXIF data.
    return kind != "PNG" or any(mark in content for mark in _MARKS)


def _is_turned(image: Image.Image) -> bool:
    try:
        return image.getexif().get(_ORIENTATION) in _TURNED
    except Exception:  # as damaged EXIF data do; the picture itself may be sound
        return False


def _check_folder(folder: Path) -> None:
    try:
        there = folder.is_dir()
    except OSError as error:
        _refuse(error)
    if not there:
        what = "is no folder" if folder.exists() else "is not there"
        raise NotFound(f"{folder} {what}; check the path of the pictures.")


def _refuse(error: OSError) -> None:
    reason = (error.strerror or str(error)).lower()
    raise DataError(
        f"{error.filename} cannot be read ({reason}); see to its permissions."
    ) from error


def _remembered(folder: Path) -> Mapping[str, list[object]]:
    try:
        kept = json.loads((folder / _MEMORY).read_bytes())
        return dict(kept["files"]) if kept["version"] == _VERSION else {}
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return {}


def _kept_facts(values: list[object]) -> Facts | None:
    match values:
        case [str(digest), int(width), int(height), str(problem)]:
            return Facts(digest, (width, height), problem)
    return None
