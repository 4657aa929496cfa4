"""What a training sees of a picture set: each picture with its caption, repeats and focus."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from studio.errors import DataError
from studio.training.pictures.buckets import balanced_repeats
from studio.training.pictures.captions import captions
from studio.training.pictures.example import Example
from studio.training.pictures.kohya import FolderNames
from studio.training.pictures.listing import describe, find_pictures
from studio.training.pictures.notes import read_notes
from studio.training_requests import Pictures

_MIDDLE = (0.5, 0.5)


@dataclass(frozen=True)
class Unreadable:
    """A file that is left out. reason: the rest of a sentence that begins with its name."""

    path: Path
    name: str
    reason: str


@dataclass(frozen=True)
class Survey:
    """A picture set looked through: what can be learnt from, and what cannot, by name."""

    examples: tuple[Example, ...]
    unreadable: tuple[Unreadable, ...] = ()


def survey(folder: Path, wanted: Pictures) -> Survey:
    """All pictures of a set's folder in a fixed order.

    Pixels are not decoded: a file that is cut off in its middle is still taken for a picture.
    Raises NotFound and DataError when the folder cannot be read.
    """
    found = find_pictures(folder)
    facts = describe(folder, found)
    notes = read_notes(folder)
    good = [each for each in found if not facts[each.name].problem]
    said = captions(folder, [each.name for each in good], wanted)
    folders = FolderNames(folder, notes)
    groups = {each.name: folders.group_of(each.name) for each in good}
    told = {groups[each.name]: folders.note_of(each.name).repeats for each in good}
    repeats = balanced_repeats(Counter(groups.values()), told)
    return Survey(
        tuple(
            Example(
                path=each.path,
                name=each.name,
                sha256=facts[each.name].sha256,
                size=facts[each.name].size,
                caption=said[each.name],
                repeats=repeats[groups[each.name]],
                focus=notes.focus.get(each.name, _MIDDLE),
            )
            for each in good
            if repeats[groups[each.name]]
        ),
        tuple(
            Unreadable(each.path, each.name, facts[each.name].problem)
            for each in found
            if facts[each.name].problem
        ),
    )


def examples(folder: Path, wanted: Pictures) -> list[Example]:
    """The pictures that can be learnt from; DataError in one sentence when there are none."""
    found = survey(folder, wanted)
    if found.examples:
        return list(found.examples)
    if found.unreadable:
        first = found.unreadable[0]
        raise DataError(
            f"None of the {len(found.unreadable)} pictures of {folder.name!r} can be used: "
            f"{first.name!r} {first.reason}."
        )
    raise DataError(f"There are no pictures in {folder.name!r}; add some first.")
