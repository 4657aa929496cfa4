"""Which models there are: those that ship with the studio and those in the data folder."""

import contextlib
from collections.abc import Callable, Container, Iterable
from pathlib import Path

from studio.errors import ModelError
from studio.models.adapters import Elsewhere, Lora, LoraShelf
from studio.models.drawers import Drawers, Kind, WeightFile
from studio.models.embeddings import EmbeddingShelf
from studio.models.entry import ASSETS, INDEX, ModelEntry, file_entry, folder_entry
from studio.models.hashes import Hashes
from studio.people import EVERYBODYS, Owned, acting

SHELVES = ("upscalers", "loras", "embeddings", "vae", "text_encoders")
"""Folders for other weights than models: what is damaged there is no model's fault."""
SHIPS = "(ships)"
"""In whose place that is which comes with the studio."""
_Stamp = tuple[tuple[str, int, int], ...]


class Catalogue:
    """The models in the given folders; looked up afresh, so that a new folder is seen at once.

    default: id of the model that requests without one get; empty for the first that ships. It
    can be set to another one at any time.
    memory: folder in which what is known of files outlives the server.
    trained: finds the LoRAs of trainings' checkpoints by name.
    owned: who is shown which, by their places. What is not shown keeps its name all the same, so
    that everybody means the same thing by one.
    """

    def __init__(
        self,
        own: Path,
        embedded: Path = ASSETS / "models",
        default: str = "",
        memory: Path | None = None,
        trained: Elsewhere = lambda name: None,
        owned: Owned = EVERYBODYS,
    ):
        self._own = own
        self._owned = owned
        self._embedded = embedded
        self.default = default
        self._drawers = Drawers(own, memory and memory / "loras.json")
        self._hashes = Hashes(memory and memory / "hashes.json")
        self.loras = LoraShelf(self._drawers, own, trained, self._shown)
        self.embeddings = EmbeddingShelf(self._drawers, self._shown)
        self._read: dict[Path, tuple[_Stamp, ModelEntry]] = {}

    def entries(self) -> list[ModelEntry]:
        """All models, those that ship first, then folders and single files by name."""
        found: dict[str, ModelEntry] = {}
        for folder, embedded in ((self._embedded, True), (self._own, False)):
            for index in sorted(folder.glob(f"*/{INDEX}")):
                name = index.parent.name
                model_id = name if name not in found else f"{name} (own)"
                found[model_id] = self._folder(model_id, index.parent, embedded)
        for entry in self._files(found):
            found[entry.id] = entry
        shown = self._shown([entry.path for entry in found.values()])
        return [entry for entry in found.values() if entry.path in shown]

    def place(self, path: Path) -> str:
        """By what a file or folder of weights is known to who owns or limits it."""
        return place_below(path, self._own)

    def keep(self, path: Path) -> None:
        """Note that who is at work makes a model or adapter that will be here."""
        self._owned.keep(self.place(path))

    def demand(self, path: Path) -> None:
        """Forbidden, unless who is at work may change or delete what is here."""
        self._owned.demand(self.place(path))

    def forget(self, place: str) -> None:
        """Note that nothing is at a place any more."""
        self._owned.forget(place)

    def _shown(self, paths: Iterable[Path]) -> set[Path]:
        """Those that are shown to who is at work."""
        places = {path: self.place(path) for path in paths}
        shown = self._owned.shown(places.values())
        return {path for path, place in places.items() if place in shown}

    def _files(self, taken: Container[str]) -> list[ModelEntry]:
        """The models of single files, and files of which nobody can say what they are."""
        files = self._drawers.files()
        parts = [file for file in files if file.kind in (Kind.VAE, Kind.TEXT_ENCODER)]
        entries: dict[str, ModelEntry] = {}
        for file in files:
            place = file.path.relative_to(self._own)
            damaged = file.kind is Kind.DAMAGED and place.parts[0] not in SHELVES
            if file.kind is not Kind.CHECKPOINT and not damaged:
                continue
            names = (file.path.stem, place.with_suffix("").as_posix(), place.as_posix())
            model_id = next(n for n in names if n not in taken and n not in entries)
            entries[model_id] = file_entry(model_id, file, parts)
        return list(entries.values())

    def _folder(self, model_id: str, folder: Path, embedded: bool) -> ModelEntry:
        """The folder's entry, read again only when a file of it has changed."""
        stamp = _stamp(folder)
        known = self._read.get(folder)
        if known is None or known[0] != stamp or known[1].id != model_id:
            known = self._read[folder] = stamp, folder_entry(model_id, folder, embedded)
        return known[1]

    def files(self) -> list[WeightFile]:
        """All weight files that are not parts of a model folder."""
        files = self._drawers.files()
        shown = self._shown([file.path for file in files])
        return [file for file in files if file.path in shown]

    def hash(self, entry: ModelEntry) -> str:
        """First ten hex digits of the SHA-256 of the denoiser's weights, as the field writes it.

        Of a single file: of the whole file. Reads all of it the first time.
        """
        return self.sha256(entry)[:10]

    def sha256(self, entry: ModelEntry, check: Callable[[], object] = lambda: None) -> str:
        """All digits of a model's hash; check: called while files are read, may raise to stop."""
        files = _hashed(entry)
        return self._hashes.of(files, check) if files else ""

    def known_sha256(self, entry: ModelEntry) -> str:
        """The same if it is known already, else ""; for lists, which must not read models."""
        try:
            files = _hashed(entry)
            return self._hashes.known(files) if files else ""
        except OSError:  # it is removed just now
            return ""

    def sha256_of(self, lora: Lora, check: Callable[[], object] = lambda: None) -> str:
        """The SHA-256 of a LoRA's whole file; check: as above."""
        return self._hashes.of([lora.path], check)

    def get(self, model_id: str) -> ModelEntry:
        """The model of this id, the default one for ""; ModelError when there is none."""
        entries = self.entries()
        wanted = model_id or self.default
        for entry in entries:
            if entry.id == wanted or not wanted:
                return entry
        if entries and not model_id and not acting().is_administrator:
            return entries[0]  # the default is not for this person
        names = ", ".join(entry.id for entry in entries) or "none"
        raise ModelError(f"Model {wanted!r} is not installed; there are: {names}.")

    def usable(self, model_id: str) -> ModelEntry:
        """Like `get`, but ModelError when the model is damaged or of no known family."""
        entry = self.get(model_id)
        if entry.problem:
            raise ModelError(entry.problem)
        return entry


def place_below(path: Path, models: Path) -> str:
    """The place of weights below the models folder, or a word for those that ship."""
    inside = path.is_relative_to(models)
    return path.relative_to(models).as_posix() if inside else f"{SHIPS}/{path.name}"


def _hashed(entry: ModelEntry) -> list[Path]:
    """The files that a model's hash is of."""
    if entry.family is None:
        return []
    part = entry.path / entry.family.denoiser
    return [entry.path] if entry.original else sorted(part.glob("*.safetensors"))


def _stamp(folder: Path) -> _Stamp:
    """Names, sizes and times of a model's files: when these are the same, so is the model."""
    files = (*folder.glob("*"), *folder.glob("*/*"))
    stamp = []
    for file in files:
        with contextlib.suppress(OSError):  # it may be removed just now
            facts = file.stat()
            stamp.append((str(file), facts.st_size, facts.st_mtime_ns))
    return tuple(sorted(stamp))
