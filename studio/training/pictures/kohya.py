"""What kohya's scripts call a data set: folders such as `10_sks dog`, and the TOML file."""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, NoReturn

from studio.errors import DataError, NotFound
from studio.training.pictures.notes import FolderNote, SetNotes

_FOLDER = re.compile(r"(\d{1,3})_(.*)", re.DOTALL)
"""Not more digits: `20240115_holiday` is a date."""
_FIELDS = {
    "keep_tokens": ("keep_tokens", int),
    "shuffle_caption": ("shuffle_tags", bool),
    "flip_aug": ("flip", bool),
    "caption_dropout_rate": ("caption_dropout", float),
    "resolution": ("resolution", int),
    "batch_size": ("batch_size", int),
    "enable_bucket": ("buckets", bool),
    "validation_split": ("held_out", float),
}
"""Their names, ours, and the type; resolution may be two numbers as well."""
_OF_SUBSETS = ("image_dir", "num_repeats", "class_tokens", "caption_extension", "is_reg")
_TOP = ("general", "datasets")


@dataclass(frozen=True)
class Subset:
    """A folder that a TOML file names. repeats: None where it says nothing.

    caption: of pictures without a file. ending: of caption files. regular: pictures of the class.
    """

    folder: Path
    repeats: int | None = None
    caption: str = ""
    ending: str = ".caption"
    regular: bool = False


@dataclass(frozen=True)
class DataFile:
    """A TOML file as it was understood.

    fields: of a TrainRequest, by name. notices: sentences on what was passed over.
    """

    subsets: tuple[Subset, ...]
    fields: Mapping[str, bool | int | float] = field(default_factory=dict)
    notices: tuple[str, ...] = ()


def folder_note(name: str) -> FolderNote | None:
    """What a folder's name tells, as in `10_sks dog`; None for other names."""
    found = _FOLDER.fullmatch(name)
    return FolderNote(int(found[1]), " ".join(found[2].split())) if found else None


class FolderNames:
    """What the folders of a set tell of their pictures, each looked at once.

    folder: the set's own. notes: come before names.
    """

    def __init__(self, folder: Path, notes: SetNotes):
        self._own = folder.name
        self._notes = notes
        self._known: dict[str, tuple[str, FolderNote]] = {}

    def note_of(self, name: str) -> FolderNote:
        """What is told of the folder that a picture lies in, or of the nearest above that tells."""
        return self._told(name)[1]

    def group_of(self, name: str) -> str:
        """The folder by which a picture is counted: the one that tells, else the topmost."""
        return self._told(name)[0]

    def _told(self, name: str) -> tuple[str, FolderNote]:
        place = name.rpartition("/")[0] or "."
        if place not in self._known:
            self._known[place] = self._looked_up(PurePosixPath(place))
        return self._known[place]

    def _looked_up(self, place: PurePosixPath) -> tuple[str, FolderNote]:
        for each in (place, *place.parents):
            note = self._notes.folders.get(str(each)) or folder_note(each.name or self._own)
            if note is not None:
                return str(each), note
        return (place.parts or (".",))[0], FolderNote()


def read_data_file(file: Path) -> DataFile:
    """A data set in TOML as kohya's scripts take it; image_dir counts from the file's own folder.

    Raises NotFound or DataError in one sentence.
    """
    try:
        told = tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise NotFound(f"{file} is not there; check the path of the data set's file.") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise DataError(f"{file} cannot be read as TOML ({error}); mend it.") from None
    reading = _Reading(file)
    general = reading.table(told.get("general", {}), "[general]")
    subsets = []
    for data_set in reading.tables(told.get("datasets"), "[[datasets]]"):
        upper = {key: value for key, value in data_set.items() if key != "subsets"}
        for lower in reading.tables(data_set.get("subsets"), "[[datasets.subsets]]"):
            subsets.append(reading.subset({**general, **upper, **lower}))
    reading.unknown.update(key for key in told if key not in _TOP)
    return DataFile(tuple(subsets), reading.fields, reading.notices())


class _Reading:
    """One pass over a file; remembers what it met."""

    def __init__(self, file: Path):
        self._file = file
        self.fields: dict[str, bool | int | float] = {}
        self.unknown: set[str] = set()
        self._differ: set[str] = set()

    def table(self, value: Any, name: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise DataError(f"{self._file.name} has no table {name}; mend it.")
        return value

    def tables(self, value: Any, name: str) -> list[dict[str, Any]]:
        if not isinstance(value, list) or not value or not all(isinstance(v, dict) for v in value):
            raise DataError(f"{self._file.name} has no {name}, which name the folders; add one.")
        return value

    def subset(self, told: Mapping[str, Any]) -> Subset:
        regular = self._value(told, "is_reg", bool, False)
        for key, (name, kind) in _FIELDS.items():
            if key in told and not regular:
                self._set(name, self._field(told, key, kind))
        self.unknown.update(key for key in told if key not in _FIELDS and key not in _OF_SUBSETS)
        place = self._value(told, "image_dir", str, "")
        if not place:
            raise DataError(f"{self._file.name} has a subset without image_dir; add it.")
        folder = Path(place).expanduser()
        own = folder_note(folder.name) or FolderNote()
        ending = self._value(told, "caption_extension", str, ".caption")
        return Subset(
            # kohya's scripts begin at the working folder; a file that is moved with its pictures
            # means those beside it.
            folder if folder.is_absolute() else self._near(folder),
            self._value(told, "num_repeats", int, None),
            self._value(told, "class_tokens", str, own.caption),
            ending if ending.startswith(".") else f".{ending}",
            regular,
        )

    def notices(self) -> tuple[str, ...]:
        found = []
        if self.unknown:
            names = ", ".join(sorted(self.unknown))
            found.append(f"{self._file.name} says things that were passed over: {names}.")
        for name in sorted(self._differ):
            value = self.fields[name]
            found.append(
                f"{self._file.name} gives its subsets different values of {name}; the first, "
                f"{value}, was taken for all."
            )
        return tuple(found)

    def _near(self, folder: Path) -> Path:
        beside = self._file.parent / folder
        return beside if beside.exists() or not folder.exists() else folder

    def _field(self, told: Mapping[str, Any], key: str, kind: type) -> bool | int | float:
        value = told[key]
        if key == "resolution" and isinstance(value, list) and len(value) == 2:
            if all(type(side) is int and side > 0 for side in value):
                return round((value[0] * value[1]) ** 0.5)
            self._refuse(key, value)
        return self._value(told, key, kind, None)

    def _value(self, told: Mapping[str, Any], key: str, kind: type, absent: Any) -> Any:
        value: Any = told.get(key, absent)
        if value is absent:
            return absent
        if kind is float and type(value) is int:
            value = float(value)
        if type(value) is not kind or (isinstance(value, int) and value < 0):
            self._refuse(key, value)
        return value

    def _refuse(self, key: str, value: object) -> NoReturn:
        raise DataError(
            f"{self._file.name} has {key} = {value!r}, which is no value of it; mend it."
        )

    def _set(self, name: str, value: bool | int | float) -> None:
        if self.fields.setdefault(name, value) != value:
            self._differ.add(name)
