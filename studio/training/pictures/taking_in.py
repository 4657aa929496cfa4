"""Pictures of a folder of this machine, made a set: for the command line, which is its owner's."""

import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from studio.errors import DataError, from_os_error
from studio.store.writing import replace_file
from studio.training.pictures.captions import ENDINGS, written
from studio.training.pictures.kohya import DataFile, FolderNames, Subset, read_data_file
from studio.training.pictures.listing import Found, describe, find_pictures
from studio.training.pictures.notes import FolderNote, SetNotes, read_notes, write_notes
from studio.training.pictures.uploads import MOST_PICTURES, safe_name, safe_stem


@dataclass(frozen=True)
class TakenIn:
    """What became of pictures from elsewhere.

    name: of their set. fields: of a TrainRequest that they came with, by name. notices: sentences
    on what was passed over.
    """

    name: str
    pictures: int
    fields: Mapping[str, object] = field(default_factory=dict)
    notices: tuple[str, ...] = ()


@dataclass
class Gathered:
    """Pictures with their names to be, their captions and what is noted of them."""

    files: dict[str, Path] = field(default_factory=dict)
    captions: dict[str, str] = field(default_factory=dict)
    focus: dict[str, tuple[float, float]] = field(default_factory=dict)
    folders: dict[str, FolderNote] = field(default_factory=dict)
    fields: dict[str, object] = field(default_factory=dict)
    notices: list[str] = field(default_factory=list)


def gather_folder(folder: Path) -> Gathered:
    """What lies in a folder and below it, with captions and what folders' names tell.

    A kohya TOML file in it is read too, when it has no pictures itself. Raises NotFound and
    DataError in one sentence.
    """
    gathered = Gathered()
    found = find_pictures(folder, MOST_PICTURES)
    if not found:
        files = sorted(folder.glob("*.toml"))
        if len(files) == 1:
            return gather_data_file(files[0])
        raise DataError(f"There are no pictures in {folder}; check the path.")
    _add(gathered, folder, found, "", ENDINGS)
    if (folder / "reg").is_dir() and found[0].name.startswith("img/"):
        _without_class_pictures(gathered, folder / "reg")
    return gathered


def gather_data_file(file: Path) -> Gathered:
    """What a kohya TOML file names; its folders are followed wherever they lead."""
    data: DataFile = read_data_file(file)
    gathered = Gathered(fields=dict(data.fields), notices=list(data.notices))
    used: set[str] = set()
    for subset in data.subsets:
        if subset.regular:
            _without_class_pictures(gathered, subset.folder, subset.caption)
            continue
        found = find_pictures(subset.folder, MOST_PICTURES)
        place = _free(safe_name(subset.folder.name) or "pictures", used)
        _add(gathered, subset.folder, found, place, _endings(subset))
        gathered.folders[place] = FolderNote(subset.repeats or 1, subset.caption)
    if not gathered.files:
        raise DataError(
            f"None of the folders that {file.name} names has pictures; check its paths."
        )
    return gathered


def write_set(gathered: Gathered, folder: Path) -> None:
    """Put what was gathered into a new folder; StorageError when the system refuses.

    Pictures become another name of the same file where the file system allows it, for the studio
    never writes into one; captions are written anew.
    """
    try:
        for name, source in gathered.files.items():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            _link(source, target)
    except OSError as error:
        raise from_os_error(error, f"copy pictures to {folder}") from None
    for name, caption in gathered.captions.items():
        replace_file(folder / PurePosixPath(name).with_suffix(".txt"), caption.encode())
    if gathered.folders or gathered.focus:
        write_notes(folder, SetNotes(gathered.focus, gathered.folders))


def content_of(folder: Path) -> tuple[object, ...]:
    """What makes a set the same as another: its pictures, captions and notes."""
    found = find_pictures(folder)
    sums = {name: facts.sha256 for name, facts in describe(folder, found).items()}
    return sums, written(folder, list(sums)), read_notes(folder)


def _add(
    gathered: Gathered, folder: Path, found: list[Found], place: str, endings: tuple[str, ...]
) -> None:
    """Add pictures of a folder, to be below `place`, with what stands beside them."""
    notes = read_notes(folder)
    told = FolderNames(folder, notes)
    said = written(folder, [each.name for each in found], endings)
    stems: dict[tuple[str, str], str] = {}
    used = {str(PurePosixPath(name).with_suffix("")).casefold() for name in gathered.files}
    for each in found:
        path = PurePosixPath(each.name)
        inner = "/".join(filter(None, (place, *map(safe_name, path.parent.parts))))
        if (each.folder, path.stem) not in stems:  # pictures that share a caption go on doing so
            stem = safe_stem(path.stem)
            stems[each.folder, path.stem] = _free("/".join(filter(None, (inner, stem))), used)
        name = stems[each.folder, path.stem] + path.suffix.lower()
        if name in gathered.files:  # "a.PNG" beside "a.png"
            name = _free(stems[each.folder, path.stem], used) + path.suffix.lower()
        gathered.files[name] = each.path
        if each.name in said:
            gathered.captions[name] = said[each.name]
        if each.name in notes.focus:
            gathered.focus[name] = notes.focus[each.name]
        note = told.note_of(each.name)
        if note != FolderNote():
            parts = PurePosixPath(told.group_of(each.name)).parts
            key = "/".join(filter(None, (place, *map(safe_name, parts)))) or "."
            gathered.folders[key] = note


def _without_class_pictures(gathered: Gathered, folder: Path, caption: str = "") -> None:
    """Pictures of the class are made by the studio itself, of the model that is trained."""
    told = FolderNames(folder, read_notes(folder))
    found = find_pictures(folder) if folder.is_dir() else []
    words = caption or next((told.note_of(each.name).caption for each in found), "")
    gathered.notices.append(
        f"Pictures of the class in {folder} were left out, for the studio makes its own"
        + (f" of {words!r}." if words else ".")
    )
    if words:
        gathered.fields |= {"preservation": True, "class_prompt": words}


def _endings(subset: Subset) -> tuple[str, ...]:
    return (subset.ending, *(each for each in ENDINGS if each != subset.ending))


def _free(name: str, used: set[str]) -> str:
    number, free = 1, name
    while free.casefold() in used:
        number += 1
        free = f"{name} {number}"
    used.add(free.casefold())
    return free


def _link(source: Path, target: Path) -> None:
    real = source.resolve()  # or a link to a link would stay one
    with suppress(OSError):
        os.link(real, target)
        return
    shutil.copy2(real, target)
