"""The folder of a set into which goes what is left out of it, or was before it was changed.

Each change has a numbered folder there, with the files as they were and a journal of what was to be
done, which is on the disk before the first file is touched. So a change can be taken back, whole or
broken off, and no file is ever lost: what a step replaces or takes away is in the change's folder
first, under its own name.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from studio.errors import DataError, NotFound, from_os_error
from studio.store.writing import flush, replace_file
from studio.training.health.wording import shown

NAME = ".left-out"
_JOURNAL = "journal.jsonl"
_WAS, _EDITED = "was", "edited"


@dataclass(frozen=True)
class Step:
    """A file of a set, by its name, that is taken away, replaced or made.

    existed: whether there was one. sha256: of what it is now, "" where it is taken away.
    """

    name: str
    existed: bool
    sha256: str = ""


@dataclass(frozen=True)
class Change:
    """One thing to do. content: what the file is to be, None to take it away.

    It is asked for only when its turn comes, so that not all of a set is held at once.
    """

    name: str
    content: Callable[[], bytes] | None = None


def carry_out(folder: Path, label: str, changes: Sequence[Change]) -> None:
    """Change files of a set, all of them or none. What was is kept, to be taken back.

    Raises StorageError when the system refuses, and whatever a content raises.
    """
    try:
        place = _new_place(folder)
        steps: list[Step] = []
        replace_file(place / _JOURNAL, json.dumps({"label": label}).encode() + b"\n")
        try:
            for change in changes:
                data = None if change.content is None else change.content()
                digest = "" if data is None else hashlib.sha256(data).hexdigest()
                steps.append(Step(change.name, (folder / change.name).is_file(), digest))
                _note(place, steps[-1])
                _do(folder, place, steps[-1], data)
        except BaseException:
            _take_back(folder, place, steps)
            raise
        flush(place.parent)
    except OSError as error:
        raise from_os_error(error, f"change the pictures in {folder}") from None


def undo(folder: Path) -> str:
    """Take the last change of a set back; returns what it was called.

    A file that somebody has changed since is not lost either: it stays with the change.
    NotFound when there is none, DataError when its journal cannot be read.
    """
    places = _places(folder)
    if not places:
        raise NotFound(f"Nothing was changed in {folder.name} that could be taken back.")
    place = places[-1]
    label, steps = _told(place)
    try:
        _take_back(folder, place, steps)
    except OSError as error:
        raise from_os_error(error, f"take back the change of {folder}") from None
    return label


def last(folder: Path) -> str:
    """What the last change was called that can be taken back, "" for none."""
    try:
        places = _places(folder)
        return _told(places[-1])[0] if places else ""
    except (OSError, DataError):
        return ""


def _new_place(folder: Path) -> Path:
    (folder / NAME).mkdir(exist_ok=True)
    while True:
        numbers = [int(each.name) for each in (folder / NAME).iterdir() if each.name.isdigit()]
        place = folder / NAME / f"{max(numbers, default=0) + 1:04}"
        with suppress(FileExistsError):  # another change was a moment earlier
            place.mkdir()
            return place


def _places(folder: Path) -> list[Path]:
    """Folders of changes that were not taken back, the oldest first."""
    found = [path for path in (folder / NAME).glob("*") if path.name.isdigit()]
    return sorted((p for p in found if (p / _JOURNAL).is_file()), key=lambda p: int(p.name))


def _note(place: Path, step: Step) -> None:
    with (place / _JOURNAL).open("ab") as file:
        file.write(json.dumps(asdict(step)).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


def _told(place: Path) -> tuple[str, list[Step]]:
    try:
        first, *lines = (place / _JOURNAL).read_bytes().split(b"\n")
        label = str(json.loads(first)["label"])
        # What follows the last line's end was cut off before its step was begun.
        steps = [Step(**json.loads(line)) for line in lines[:-1]]
        for step in steps:
            _refuse_outside(place.parent.parent, step.name)
        return label, steps
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise DataError(
            f"The change in {shown(str(place))} cannot be taken back, as its journal cannot be "
            f"read ({error}); move the files back from there."
        ) from None


def _refuse_outside(folder: Path, name: str) -> None:
    """ValueError for a name that leads out of the set: a journal may have come with it."""
    path = Path(name)
    inside = (folder / path).parent.resolve().is_relative_to(folder.resolve())
    if path.is_absolute() or path.drive or ".." in path.parts or not inside:
        raise ValueError("a name leads out of the set")


def _do(folder: Path, place: Path, step: Step, data: bytes | None) -> None:
    path, kept = folder / step.name, place / _WAS / step.name
    if step.existed:
        kept.parent.mkdir(parents=True, exist_ok=True)
        if data is None:
            path.replace(kept)
            return
        _copy(path, kept)
    if data is not None:
        replace_file(path, data)


def _copy(path: Path, kept: Path) -> None:
    """The same file at a second place; the first is then replaced, never written into."""
    try:
        os.link(path, kept)
    except OSError:  # a file system without links
        aside = kept.with_name(f".{kept.name}.part")
        shutil.copy2(path, aside)
        flush(aside)
        aside.replace(kept)


def _take_back(folder: Path, place: Path, steps: Sequence[Step]) -> None:
    """Undo steps, done or not, the last first, and forget them."""
    for step in reversed(steps):
        path, kept = folder / step.name, place / _WAS / step.name
        if step.existed and not kept.is_file():
            continue  # it was not begun
        if path.is_file():
            if kept.is_file() and path.samefile(kept):
                kept.unlink()  # it was copied and not yet replaced
                continue
            if _digest(path) not in (step.sha256, _digest(kept)):
                aside = place / _EDITED / step.name
                aside.parent.mkdir(parents=True, exist_ok=True)
                path.replace(aside)
        if step.existed:
            path.parent.mkdir(parents=True, exist_ok=True)
            kept.replace(path)
        else:
            path.unlink(missing_ok=True)
    (place / _JOURNAL).unlink(missing_ok=True)
    for path in sorted(place.rglob("*"), reverse=True):
        if path.is_dir():
            _remove_empty(path)
    _remove_empty(place)
    _remove_empty(place.parent)


def _remove_empty(folder: Path) -> None:
    with suppress(OSError):
        folder.rmdir()


def _digest(path: Path) -> str:
    """A file's sha256, "none" where there is no file."""
    if not path.is_file():
        return "none"
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
