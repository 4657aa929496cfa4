"""What the studio itself notes of a picture set, in a file beside the pictures."""

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from studio.errors import NotFound
from studio.people import Deed, needs
from studio.store.writing import replace_file
from studio.training.pictures.listing import find_pictures

NOTES = ".atelier.json"
_writing = threading.Lock()


@dataclass(frozen=True)
class FolderNote:
    """What is told of a folder: how often its pictures are seen, and the caption of those without.

    repeats: None where nothing is told.
    """

    repeats: int | None = None
    caption: str = ""


@dataclass(frozen=True)
class SetNotes:
    """What is noted of a set.

    focus: what a cut keeps in the middle, in shares of width and height, by picture. folders: by
    their names within the set, "." for its own.
    """

    focus: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    folders: Mapping[str, FolderNote] = field(default_factory=dict)


def read_notes(folder: Path) -> SetNotes:
    """The notes of a set; what is not understood of them is passed over."""
    try:
        told = json.loads((folder / NOTES).read_bytes())
    except (OSError, ValueError, RecursionError):
        return SetNotes()
    if not isinstance(told, dict):
        return SetNotes()
    focus, folders = told.get("focus"), told.get("folders")
    return SetNotes(
        {
            name: (_share(point[0]), _share(point[1]))
            for name, point in (focus.items() if isinstance(focus, dict) else ())
            if isinstance(point, list) and len(point) == 2 and all(map(_is_number, point))
        },
        {
            name: FolderNote(
                repeats if type(repeats := note.get("repeats")) is int else None,
                str(note.get("caption", "")),
            )
            for name, note in (folders.items() if isinstance(folders, dict) else ())
            if isinstance(note, dict)
        },
    )


@needs(Deed.MAKE)
def write_notes(folder: Path, notes: SetNotes) -> None:
    """Replace the notes of a set; StorageError when the system refuses."""
    told = {
        "focus": {name: list(point) for name, point in notes.focus.items()},
        "folders": {
            name: {"repeats": note.repeats, "caption": note.caption}
            for name, note in notes.folders.items()
        },
    }
    replace_file(folder / NOTES, json.dumps(told, indent=1).encode())


def set_focus(folder: Path, name: str, focus: tuple[float, float] | None) -> None:
    """Note what a picture's cut keeps in the middle; None for the picture's own middle.

    Raises NotFound when the set has no picture of that name.
    """
    if all(each.name != name for each in find_pictures(folder)):
        raise NotFound(f"There is no picture {name!r} in {folder.name}; it may have been removed.")
    with _writing:
        notes = read_notes(folder)
        points = {key: point for key, point in notes.focus.items() if key != name}
        if focus is not None:
            points[name] = _share(focus[0]), _share(focus[1])
        write_notes(folder, replace(notes, focus=points))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _share(value: float) -> float:
    return min(max(float(value), 0.0), 1.0) if value == value else 0.5
