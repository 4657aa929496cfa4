"""All weight files as people see and keep them: what each is, notes, checks and the trash."""

import hashlib
import json
import shutil
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

from studio.audit import UNNOTED, Act, Audit, audited
from studio.context import ModelSpec
from studio.errors import ModelError, from_os_error
from studio.models.broker import Broker, Holder, this_thread
from studio.models.catalogue import Catalogue
from studio.models.convert import convert
from studio.models.drawers import Kind, WeightFile
from studio.models.entry import ModelEntry
from studio.models.integrity import file_problem
from studio.models.merging.recipe import read_recipe
from studio.models.readers import KINDS, ReaderEntry, ReaderShelf
from studio.models.slots import InMemory
from studio.models.speedups import LOADERS
from studio.models.upscalers import UpscalerShelf
from studio.people import Deed, acting, needs

READER = "reader"
"""What the kind of a reader is called."""
_BLOCK = 1 << 22
_BESIDE = (".toml", ".json", ".preview.png", ".png", ".jpg", ".jpeg", ".webp")
"""What belongs to a weight file and has its name."""
_MANIFEST = "atelier-trash.json"
PREFERENCES = "preferences.json"
"""File of the data folder for what is chosen on the page and outlives the server."""
_DEFAULT = "default_model"
_NOTES = "notes"
_TRIGGERS = "activation text"


class _Kept(TypedDict):
    """A source, its keeper's words and trigger words."""

    source: str
    notes: str
    triggers: str


@dataclass(frozen=True)
class Item:
    """A weight file or a folder of them.

    kind: in words. id: its name among those of its kind. place: below the models folder, "" for
    what ships. bytes: on disk. family: in words, "" where nobody can tell. source: where it was
    fetched from. notes, triggers: of its keeper.
    """

    kind: str
    id: str
    title: str
    path: Path
    place: str
    bytes: int
    family: str = ""
    embedded: bool = False
    problem: str = ""
    source: str = ""
    notes: str = ""
    triggers: str = ""


@dataclass(frozen=True)
class Trashed:
    """What lies in the trash: key names it there; place: where it was."""

    key: str
    title: str
    place: str
    when: float


class Library:
    """The weights of the data folder.

    data: the data folder. fixed: whether a setting names the default model.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        upscalers: UpscalerShelf,
        readers: ReaderShelf,
        models: InMemory,
        broker: Broker,
        data: Path,
        *,
        fixed: bool,
        audit: Audit = UNNOTED,
    ):
        self._catalogue = catalogue
        self._readers = readers
        self._upscalers = upscalers
        self._models = models
        self._broker = broker
        self._data = data
        self._fixed = fixed
        self.audit = audit
        self._root = data / "models"
        self._trash = data / "trash" / "models"
        self._sums = data / "cache" / "checksums.json"

    def items(self) -> list[Item]:
        """Everything, models first, then by kind and name."""
        found = [self._of_model(entry) for entry in self._catalogue.entries()]
        known = {item.path for item in found}
        told = self._told()
        others = [
            self._of_file(file, *told.get(file.path, ("", "", "")))
            for file in self._catalogue.files()
            if file.path not in known
        ]
        others += [self._of_reader(entry) for entry in self._readers.entries()]
        others.sort(key=lambda item: (item.kind.casefold(), item.title.casefold()))
        return found + others

    def get(self, kind: str, item_id: str) -> Item:
        """One of them; ModelError when it is not here any more."""
        for item in self.items():
            if (item.kind, item.id) == (kind, item_id):
                return item
        raise ModelError(f"There is no {kind or 'file'} {item_id!r} here any more.")

    def hash(self, model_id: str) -> str:
        """A model's hash as pictures name it; reads the whole file the first time."""
        return self._catalogue.hash(self._catalogue.get(model_id))

    def recipe(self, item: Item) -> str:
        """How a model or LoRA was made here, in a line; "" for all others."""
        recipe = read_recipe(item.path)
        return recipe.told() if recipe else ""

    @needs(Deed.MAKE)
    def load(self, model_id: str) -> None:
        """Bring a model into memory, where it stays until its room is needed.

        Raises ModelError when it cannot be, or when somebody has the device alone.
        """
        for lease in self._broker.leases():
            if lease.alone:
                title, who = self._catalogue.get(model_id).title, lease.holder.title
                raise ModelError(
                    f"{title} cannot be loaded now: {who} has the device alone or waits for it; "
                    "load it when that has ended."
                )
        with self._broker.lease(Holder("a load", is_alive=this_thread())):
            self._models.load(ModelSpec("diffusion", model_id))

    @needs(Deed.MAKE)
    def unload(self, kind: str, item_id: str) -> None:
        """Take a model or reader out of memory; ModelError when a job uses it."""
        if not self._unloaded(item_id):
            title = self.get(kind, item_id).title
            raise ModelError(f"{title} is in use by a running job; wait for its end.")

    def _unloaded(self, model_id: str) -> bool:
        """Take a model out of memory, as it is and of 8-bit weights; False when a job uses it."""
        kinds = {each.kind for each in self._models.held() if each.id == model_id}
        there = sorted(kinds & {*LOADERS, *KINDS})
        return sum(self._models.unload(kind, model_id) for kind in there) == len(there)

    @audited(Act.DEFAULT, lambda self, model_id: model_id)
    @needs(Deed.MANAGE_MODELS)
    def make_default(self, model_id: str) -> None:
        """Let requests without a model get this one, also after a restart; for administrators."""
        entry = self._catalogue.usable(model_id)
        if self._fixed:
            raise ModelError(
                "The default model is set by ATELIER_DEFAULT_MODEL; change or remove that setting."
            )
        path = self._data / PREFERENCES
        try:
            path.write_text(
                json.dumps({**_note(path), _DEFAULT: entry.id}, indent=1), encoding="utf-8"
            )
        except OSError as error:
            raise from_os_error(error, "keep the default model") from error
        self._catalogue.default = entry.id

    @needs(Deed.MAKE)
    def describe(self, kind: str, item_id: str, notes: str, triggers: str) -> None:
        """Keep notes and trigger words beside the file, as A1111 does."""
        item = self._own(kind, item_id)
        path = _note_path(item.path)
        note = {**_note(path), _NOTES: notes.strip(), _TRIGGERS: triggers.strip()}
        try:
            path.write_text(json.dumps(note, ensure_ascii=False, indent=1), encoding="utf-8")
        except OSError as error:
            raise from_os_error(error, f"keep the notes on {item.title}") from error

    def verify(self, kind: str, item_id: str) -> Iterator[tuple[float, str]]:
        """Read all of it and compare with the sums of the last time: (share done, sentence).

        The first time there is nothing to compare with: the sums are kept. Raises ModelError for
        damaged files.
        """
        item = self.get(kind, item_id)
        files = [item.path] if item.path.is_file() else sorted(item.path.rglob("*.safetensors"))
        for file in files:
            if file.suffix == ".safetensors" and (problem := file_problem(file)):
                raise ModelError(f"{item.title} is damaged: {problem}.")
        total, done = sum(file.stat().st_size for file in files) or 1, 0
        sums: dict[str, str] = {}
        for file in files:
            digest = hashlib.sha256()
            with file.open("rb") as stream:
                while block := stream.read(_BLOCK):
                    digest.update(block)
                    done += len(block)
                    yield done / total, ""
            sums[str(file)] = digest.hexdigest()
        yield 1.0, self._compared(item, sums)

    @audited(Act.CONVERT, lambda self, kind, item_id: f"{kind} {item_id}")
    @needs(Deed.MANAGE_MODELS)
    def convert(self, kind: str, item_id: str) -> Path:
        """Write a pickle's weights beside it as .safetensors; see `convert`."""
        return convert(self.get(kind, item_id).path)

    @audited(Act.TRASH, lambda self, kind, item_id: f"{kind} {item_id}")
    @needs(Deed.MAKE)
    def throw_away(self, kind: str, item_id: str) -> str:
        """Move it to the trash, out of memory first; returns its key there.

        Raises ModelError for what ships or is in use.
        """
        item = self._own(kind, item_id)
        if item.kind in (Kind.CHECKPOINT.value, READER) and not self._unloaded(item.id):
            raise ModelError(f"{item.title} is in use by a running job; wait for its end.")
        key = uuid.uuid4().hex
        place = self._trash / key
        try:
            place.mkdir(parents=True)
            # First of all, so that nothing lies in the trash of which nobody knows.
            manifest = {
                "title": item.title,
                "place": item.place,
                "when": time.time(),
                "owner": acting().id,
            }
            (place / _MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
            for path in (item.path, *_companions(item.path)):
                shutil.move(path, place / path.name)
        except OSError as error:
            raise from_os_error(error, f"move {item.title} to the trash") from error
        return key

    def in_trash(self) -> list[tuple[int, Path]]:
        """Whose each thing in the trash is, by the owner's id, and where it lies."""
        return [
            (int(_note(manifest).get("owner", 0)), manifest.parent)
            for manifest in self._trash.glob(f"*/{_MANIFEST}")
        ]

    def thrown_away(self) -> list[Trashed]:
        """What lies in the trash, the latest first; of others' for administrators alone."""
        found = []
        for manifest in self._trash.glob(f"*/{_MANIFEST}"):
            note = _note(manifest)
            if not acting().sees(int(note.get("owner", 0))):
                continue
            place, when = str(note.get("place", "")), float(note.get("when", 0))
            found.append(Trashed(manifest.parent.name, str(note.get("title", place)), place, when))
        return sorted(found, key=lambda each: -each.when)

    @audited(Act.RESTORE, lambda self, key: self._named_in_trash(key))
    @needs(Deed.MAKE)
    def take_back(self, key: str) -> None:
        """Move something from the trash to where it was; ModelError when that place is taken."""
        entry = self._in_trash(key)
        source, target = self._trash / entry.key, self._root / entry.place
        inside = [path for path in source.iterdir() if path.name != _MANIFEST]
        for path in inside:
            if (target.parent / path.name).exists():
                raise ModelError(
                    f"{entry.title} cannot be taken back: there is another {path.name} where it "
                    "was; rename that one first."
                )
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            for path in inside:
                shutil.move(path, target.parent / path.name)
            shutil.rmtree(source)
        except OSError as error:
            raise from_os_error(error, f"take {entry.title} back from the trash") from error

    @audited(Act.DELETE, lambda self, key: self._named_in_trash(key))
    @needs(Deed.MAKE)
    def delete(self, key: str) -> None:
        """Delete something that lies in the trash for good."""
        entry = self._in_trash(key)
        try:
            shutil.rmtree(self._trash / entry.key)
        except OSError as error:
            raise from_os_error(error, f"delete {entry.title}") from error
        if not (self._root / entry.place).exists():
            self._catalogue.forget(entry.place)

    def _named_in_trash(self, key: str) -> str:
        return next((each.title for each in self.thrown_away() if each.key == key), "")

    def _in_trash(self, key: str) -> Trashed:
        entry = next((each for each in self.thrown_away() if each.key == key), None)
        if entry is None:
            raise ModelError("It is not in the trash any more.")
        return entry

    def _own(self, kind: str, item_id: str) -> Item:
        item = self.get(kind, item_id)
        if item.embedded:
            raise ModelError(f"{item.title} ships with the studio and stays as it is.")
        self._catalogue.demand(item.path)
        return item

    def _of_model(self, entry: ModelEntry) -> Item:
        return Item(
            kind=Kind.CHECKPOINT.value,
            id=entry.id,
            title=entry.title,
            path=entry.path,
            place=self._place(entry.path),
            bytes=entry.bytes,
            family=entry.family.name if entry.family else "",
            embedded=entry.embedded,
            problem=entry.problem,
            **_kept(entry.path),
        )

    def _of_reader(self, entry: ReaderEntry) -> Item:
        return Item(
            kind=READER,
            id=entry.id,
            title=entry.id,
            path=entry.path,
            place=self._place(entry.path),
            bytes=entry.bytes,
            family=entry.architecture,
            embedded=entry.embedded,
            problem=entry.problem,
            **_kept(entry.path),
        )

    def _told(self) -> dict[Path, tuple[str, str, str]]:
        """What the shelves know of their files: kind, family, problem."""
        return {
            **{each.path: ("upscaler", "", each.problem) for each in self._upscalers.entries()},
            **{
                each.path: ("", each.family, each.problem)
                for each in self._catalogue.loras.entries()
            },
            **{each.path: ("", each.family, "") for each in self._catalogue.embeddings.entries()},
        }

    def _of_file(self, file: WeightFile, kind: str, family: str, problem: str) -> Item:
        place = self._place(file.path)
        return Item(
            kind=kind or file.kind.value,
            id=place,
            title=file.path.stem,
            path=file.path,
            place=place,
            bytes=file.bytes,
            family=family,
            problem=problem or (f"{file.path.name} {file.problem}." if file.problem else ""),
            **_kept(file.path),
        )

    def _place(self, path: Path) -> str:
        return path.relative_to(self._root).as_posix() if path.is_relative_to(self._root) else ""

    def _compared(self, item: Item, sums: dict[str, str]) -> str:
        kept = _note(self._sums)
        before = {path: kept[path] for path in sums if path in kept}
        changed = [path for path, (digest, _) in before.items() if digest != sums[path]]
        today = time.strftime("%d %B %Y")
        self._sums.parent.mkdir(parents=True, exist_ok=True)
        kept |= {path: before.get(path) or [digest, today] for path, digest in sums.items()}
        self._sums.write_text(json.dumps(kept), encoding="utf-8")
        if changed:
            names = ", ".join(Path(path).name for path in changed)
            since = before[changed[0]][1]
            return f"{item.title} is not what it was on {since}: {names} changed."
        if before:
            since = next(iter(before.values()))[1]
            return f"{item.title} is whole and the same as on {since}."
        return f"{item.title} is whole; its checksum is kept for the next time."


def preferred_model(data: Path) -> str:
    """The default model that was chosen on the page, "" for none."""
    return str(_note(data / PREFERENCES).get(_DEFAULT) or "")


def _companions(path: Path) -> list[Path]:
    """The files that belong to a weight file, by its name; a folder holds its own."""
    if path.is_dir():
        return []
    return [beside for suffix in _BESIDE if (beside := path.with_suffix(suffix)).is_file()]


def _note_path(path: Path) -> Path:
    return path / "notes.json" if path.is_dir() else path.with_suffix(".json")


def _note(path: Path) -> dict[str, Any]:
    try:
        note = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return note if isinstance(note, dict) else {}


def _kept(path: Path) -> _Kept:
    """What a note tells."""
    note = _note(_note_path(path))
    return {
        "source": str(note.get("source") or ""),
        "notes": str(note.get(_NOTES) or ""),
        "triggers": str(note.get(_TRIGGERS) or ""),
    }
