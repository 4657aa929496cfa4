"""Readers: folders of transformers' question-answering models, listed, checked and loaded.

A reader is known by its config.json and its safetensors weights, wherever it lies below the models
folder; pickles are not opened, and no code of a folder is run.
"""

import json
import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio.context import Rung
from studio.errors import ModelError, first_words
from studio.models.captioners import FOLDER as CAPTIONERS
from studio.models.catalogue import place_below
from studio.models.devices import Device, is_out_of_memory
from studio.models.drawers import is_transformers_folder
from studio.models.entry import ASSETS, NONSENSE
from studio.models.hashes import Hashes
from studio.models.integrity import file_problem
from studio.models.network_loader import NetworkLoader, footprint, weights
from studio.models.slots import Footprint
from studio.people import EVERYBODYS, Owned

if TYPE_CHECKING:
    from transformers import TokenizersBackend

log = logging.getLogger(__name__)
_SHELVES = (CAPTIONERS, "judges")
"""Folders whose models have shelves of their own."""
FULL, BFLOAT16, INT8 = "reader", "reader-bfloat16", "reader-int8"
"""Kinds of loans: weights as they are, or on a CPU in bfloat16, or as whole numbers of 8 bits."""
KINDS = (FULL, BFLOAT16, INT8)
_HEADS = ("ForQuestionAnswering", "ForQuestionAnsweringSimple")
_LONG = 1_000_000
"""What tokenizers give for "as long as you like" is far beyond this."""


@dataclass(frozen=True)
class ReaderEntry:
    """One reader as people see it.

    id: its folder's name, with those above it where that is needed. architecture: transformers'
    name. bytes: of its weights on disk. problem: why it cannot be used, or "".
    """

    id: str
    path: Path
    embedded: bool
    architecture: str = ""
    bytes: int = 0
    problem: str = ""


@dataclass(frozen=True)
class LoadedReader:
    """Network and tokenizer of a reader; longest: tokens that the network has places for."""

    network: Any
    tokenizer: "TokenizersBackend"
    longest: int
    folder: Path


class ReaderShelf:
    """The readers that ship and those below the models folder; looked up afresh.

    hashes: remembers what weights sum up to. owned: who is shown which, by their places.
    """

    def __init__(
        self,
        own: Path,
        hashes: Hashes,
        embedded: Path = ASSETS / "models",
        owned: Owned = EVERYBODYS,
    ):
        self._own = own
        self._owned = owned
        self._embedded = embedded
        self._hashes = hashes

    def entries(self) -> list[ReaderEntry]:
        """All of them, those that ship first, then by name."""
        found: dict[str, ReaderEntry] = {}
        for root, embedded in ((self._embedded, True), (self._own, False)):
            for folder in _folders(root):
                place = folder.relative_to(root).as_posix()
                reader_id = folder.name if folder.name not in found else place
                if reader_id in found:
                    reader_id = f"{place} (own)"
                found[reader_id] = _entry(reader_id, folder, embedded)
        shown = self._owned.shown(place_below(each.path, self._own) for each in found.values())
        return [each for each in found.values() if place_below(each.path, self._own) in shown]

    def get(self, reader_id: str) -> ReaderEntry:
        """The reader of this id, the first usable one for ""; ModelError when there is none."""
        entries = self.entries()
        for entry in entries:
            if entry.id == reader_id or (not reader_id and not entry.problem):
                return entry
        names = ", ".join(entry.id for entry in entries) or "none"
        raise ModelError(f"Reader {reader_id!r} is not installed; there are: {names}.")

    def keep(self, path: Path) -> None:
        """Note that who is at work makes a reader that will be here."""
        self._owned.keep(place_below(path, self._own))

    def usable(self, reader_id: str) -> ReaderEntry:
        """Like `get`, but ModelError when it is damaged or no reader."""
        entry = self.get(reader_id)
        if entry.problem:
            raise ModelError(entry.problem)
        return entry

    def sha256(self, entry: ReaderEntry) -> str:
        """The sum of its weights; reads all of them the first time."""
        return self._hashes.of(weights(entry.path))


class ReaderLoader(NetworkLoader):
    """Brings readers to the device; kind: of the loans, which says in what numbers they are."""

    def __init__(self, shelf: ReaderShelf, device: Callable[[], Device], kind: str):
        super().__init__(device)
        self._shelf = shelf
        self._kind = kind

    def title(self, model_id: str) -> str:
        """The reader's name for people."""
        return self._shelf.get(model_id).id

    def estimate(self, model_id: str, rungs: tuple[Rung, ...] = ()) -> Footprint:
        """Bytes that the weights will take in the number format in which they are used."""
        return footprint(weights(self._shelf.usable(model_id).path), self._dtype())

    def load(self, model_id: str, rungs: tuple[Rung, ...] = ()) -> LoadedReader:
        """Network and tokenizer on the device, in evaluation mode."""
        entry = self._shelf.usable(model_id)
        with self.fitting(f"Reader {entry.id}", "reader"):
            loaded = load_reader(entry.path, self._dtype())
            if self._kind == INT8:
                from studio.models.int8_linear import can_quantise, quantise

                if can_quantise():
                    quantise(loaded.network)
                else:
                    log.warning("This version of torch has no 8-bit layers; reading without them.")
            loaded.network.to(self._device().name)
        return loaded

    def measure(self, model: LoadedReader) -> int:
        """Bytes of all parameters, buffers and rounded weights."""
        packed = (getattr(part, "packed_bytes", 0) for part in model.network.modules())
        return super().measure(model) + sum(packed)

    def _dtype(self) -> str:
        # What pictures are made in would cost a reader the last digits of its scores unasked.
        if self._device().sort == "cpu":
            return "bfloat16" if self._kind == BFLOAT16 else "float32"
        return self._device().dtype


def load_reader(folder: Path, dtype: str = "float32") -> LoadedReader:
    """Network and tokenizer of a folder, on the CPU, in evaluation mode.

    Raises ModelError when it is damaged, or has no question-answering head that was trained.
    """
    from studio.models import torchvision_guard  # noqa: F401, I001 - before transformers
    import torch
    from safetensors import SafetensorError
    from transformers import AutoModelForQuestionAnswering, AutoTokenizer, TokenizersBackend
    from transformers.utils import logging as their_logging

    their_logging.disable_progress_bar()
    try:
        network, report = AutoModelForQuestionAnswering.from_pretrained(
            folder,
            dtype=getattr(torch, dtype),
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
        tokenizer = AutoTokenizer.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False, use_fast=True
        )
    except (*NONSENSE, RuntimeError, SafetensorError, ImportError) as error:
        if is_out_of_memory(error):
            raise
        first = first_words(error)
        raise ModelError(
            f"Reader {folder.name!r} could not be loaded ({first}); copy it again."
        ) from error
    missing = sorted(report["missing_keys"])
    if missing:
        raise ModelError(
            f"Model {folder.name!r} has no trained question-answering head (it lacks "
            f"{missing[0]}); fine-tune it first, or take a reader."
        )
    if not isinstance(tokenizer, TokenizersBackend):
        raise ModelError(
            f"Reader {folder.name!r} has no fast tokenizer (tokenizer.json), which alone tells "
            "where words stand; take a version of it that has one."
        )
    return LoadedReader(network.eval(), tokenizer, longest(network.config, tokenizer), folder)


def longest(config: Any, tokenizer: Any) -> int:
    """Tokens that a network has places for."""
    places = int(getattr(config, "max_position_embeddings", 0) or _LONG)
    if config.model_type in ("roberta", "xlm-roberta", "camembert", "data2vec-text", "mpnet"):
        places -= int(config.pad_token_id or 0) + 1  # their places begin after the padding's
    told = int(min(tokenizer.model_max_length, _LONG))
    return min(places, told) if told < _LONG else places


def _folders(root: Path) -> Iterator[Path]:
    seen = set()
    for folder, inner, names in os.walk(root, followlinks=True):
        place = os.path.realpath(folder)
        if place in seen or "model_index.json" in names:
            inner.clear()  # a link leads back here, or the folder is one model for pictures
            continue
        seen.add(place)
        inner[:] = sorted(name for name in inner if not name.startswith("."))
        if Path(folder) == root:
            inner[:] = [name for name in inner if name not in _SHELVES]
        if is_transformers_folder(names):
            inner.clear()
            yield Path(folder)


def _entry(reader_id: str, folder: Path, embedded: bool) -> ReaderEntry:
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        if not isinstance(config, dict):
            raise ValueError("config.json is no object")
        architecture = str((config.get("architectures") or ["a model without a head"])[0])
        size = sum(file.stat().st_size for file in weights(folder))
    except NONSENSE as error:
        problem = f"Reader {reader_id!r} cannot be read ({error}); copy it again."
        return ReaderEntry(reader_id, folder, embedded, problem=problem)
    problem = ""
    damaged = next(filter(None, map(file_problem, weights(folder))), "")
    if not architecture.endswith(_HEADS):
        problem = (
            f"Model {reader_id!r} is {architecture}, which has no question-answering head; "
            "fine-tune it first, or take a reader."
        )
    elif damaged:
        problem = f"Reader {reader_id!r} is damaged: {damaged}; copy it again."
    elif not (folder / "tokenizer.json").is_file() and not any(folder.glob("vocab.*")):
        problem = f"Reader {reader_id!r} has no tokenizer; copy its tokenizer.json too."
    return ReaderEntry(reader_id, folder, embedded, architecture, size, problem)
