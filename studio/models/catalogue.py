"""Which models there are: those that ship with the studio and those in the data folder."""

import contextlib
from collections.abc import Callable, Container
from pathlib import Path

from studio.errors import ModelError
from studio.models.adapters import Lora, LoraShelf
from studio.models.drawers import Drawers, Kind, WeightFile
from studio.models.embeddings import EmbeddingShelf
from studio.models.entry import ASSETS, INDEX, ModelEntry, file_entry, folder_entry
from studio.models.hashes import Hashes

SHELVES = ("upscalers", "loras", "embeddings", "vae", "text_encoders")
"""Folders for other weights than models: what is damaged there is no model's fault."""
_Stamp = tuple[tuple[str, int, int], ...]


class Catalogue:
    """The models in the given folders; looked up afresh, so that a new folder is seen at once.

    default: id of the model that requests without one get; empty for the first that ships. It
    can be set to another one at any time.
    memory: folder in which what is known of files outlives the server.
    """

    def __init__(
        self,
        own: Path,
        embedded: Path = ASSETS / "models",
        default: str = "",
        memory: Path | None = None,
    ):
        self._own = own
        self._embedded = embedded
        self.default = default
        self._drawers = Drawers(own, memory and memory / "loras.json")
        self._hashes = Hashes(memory and memory / "hashes.json")
        self.loras = LoraShelf(self._drawers, own)
        self.embeddings = EmbeddingShelf(self._drawers)
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
        return list(found.values())

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
        return self._drawers.files()

    def hash(self, entry: ModelEntry) -> str:
        """First ten hex digits of the SHA-256 of the denoiser's weights, as the field writes it.

        Of a single file: of the whole file. Reads all of it the first time.
        """
        return self.sha256(entry)[:10]

    def sha256(self, entry: ModelEntry, check: Callable[[], object] = lambda: None) -> str:
        """All digits of a model's hash; check: called while files are read, may raise to stop."""
        if entry.family is None:
            return ""
        part = entry.path / entry.family.denoiser
        files = [entry.path] if entry.original else sorted(part.glob("*.safetensors"))
        return self._hashes.of(files, check) if files else ""

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
        names = ", ".join(entry.id for entry in entries) or "none"
        raise ModelError(f"Model {wanted!r} is not installed; there are: {names}.")

    def usable(self, model_id: str) -> ModelEntry:
        """Like `get`, but ModelError when the model is damaged or of no known family."""
        entry = self.get(model_id)
        if entry.problem:
            raise ModelError(entry.problem)
        return entry


def _stamp(folder: Path) -> _Stamp:
    """Names, sizes and times of a model's files: when these are the same, so is the model."""
    files = (*folder.glob("*"), *folder.glob("*/*"))
    stamp = []
    for file in files:
        with contextlib.suppress(OSError):  # it may be removed just now
            facts = file.stat()
            stamp.append((str(file), facts.st_size, facts.st_mtime_ns))
    return tuple(sorted(stamp))
