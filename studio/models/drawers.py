"""The weight files of a folder and what each of them is, recognised by content, not by place."""

import logging
import os
from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from itertools import islice
from pathlib import Path
from tempfile import NamedTemporaryFile

import orjson

from studio.models.headers import Header, HeaderError, Shapes, read_header, read_numbers
from studio.models.lora_facts import LoraFacts, lora_facts
from studio.models.originals.layout import (
    LayoutError,
    Original,
    encoder_kind,
    is_vae,
    read_layout,
)

log = logging.getLogger(__name__)
Stamp = tuple[int, int]
"""A file's size and its time of change."""
PICKLES = (".ckpt", ".pt", ".pth", ".bin", ".pickle")
_WIDE = 0.09
"""Spread of the tensor that tells velocity from noise; see originals.layout."""
_LORA = (
    *("lora_down", "lora_up", "lora_A", "lora_B", ".lora.", "_lora.", "hada_w", "lokr_w"),
    # Files of several number formats begin with their alphas and magnitudes.
    *("lora_unet_", "lora_te", "lora_transformer_", "lora_magnitude_vector"),
)
_VERSION = 2
"""Of what is kept about LoRA files: another one is read anew."""
_EMBEDDING = ({"emb_params"}, {"clip_l", "clip_g"}, {"clip_l"}, {"clip_g"})


class Kind(StrEnum):
    """What a weight file is."""

    CHECKPOINT = "model"
    VAE = "VAE"
    TEXT_ENCODER = "text encoder"
    LORA = "LoRA"
    EMBEDDING = "embedding"
    OTHER = "other"
    DAMAGED = "damaged"


@dataclass(frozen=True)
class WeightFile:
    """A file and what it is.

    header: kept for those that models are made of. original: the model in it, of a checkpoint that
    is run. lora: what is known of a LoRA. problem: what is wrong with it, as the rest of a sentence
    that begins with its name, or "".
    """

    path: Path
    kind: Kind
    bytes: int
    header: Header | None = None
    original: Original | None = None
    lora: LoraFacts | None = None
    problem: str = ""


def is_transformers_folder(names: Collection[str]) -> bool:
    """Whether a folder with these files is a model of transformers, such as a reader."""
    return "config.json" in names and any(
        name.startswith("model") and name.endswith(".safetensors") for name in names
    )


class Drawers:
    """The weight files below a folder; looked up afresh, each read again only when it changed.

    Folders that are a model of several files (with a model_index.json) are left to the catalogue,
    and readers to their shelf.
    memory: file in which what is known of LoRA files outlives the server.
    """

    def __init__(self, root: Path, memory: Path | None = None):
        self._root = root
        self._memory = memory
        self._known: dict[Path, tuple[Stamp, WeightFile]] | None = None

    def files(self) -> list[WeightFile]:
        """All of them, sorted by their place."""
        known = self._remembered() if self._known is None else self._known
        found: dict[Path, tuple[Stamp, WeightFile]] = {}
        learnt = 0
        for path in sorted(self._paths()):
            try:
                facts = path.stat()
            except OSError:  # it was removed just now
                continue
            stamp = facts.st_size, facts.st_mtime_ns
            entry = known.get(path)
            if entry is None or entry[0] != stamp:
                entry = stamp, recognised(path, facts.st_size)
                learnt += entry[1].lora is not None
            found[path] = entry
        self._known = found
        if learnt and self._memory is not None:
            self._remember(self._memory)
        return [file for _, file in found.values()]

    def _paths(self) -> Iterator[Path]:
        seen = set()
        for folder, inner, names in os.walk(self._root, followlinks=True):
            place = os.path.realpath(folder)
            if place in seen or "model_index.json" in names:
                inner.clear()  # a link leads back here, or the folder is one model
                continue
            seen.add(place)
            if is_transformers_folder(names):
                continue
            inner[:] = [name for name in inner if not name.startswith(".")]
            for name in names:
                path = Path(folder) / name
                converted = path.with_suffix(".safetensors").name in names
                if path.suffix == ".safetensors" or (
                    path.suffix.lower() in PICKLES and not converted
                ):
                    yield path

    def _remembered(self) -> dict[Path, tuple[Stamp, WeightFile]]:
        """The LoRA files that an earlier server knew: thousands of headers take seconds to read."""
        try:
            kept = orjson.loads(self._memory.read_bytes()) if self._memory else {}
            if kept.get("version") != _VERSION:
                return {}
            return {
                Path(path): ((size, changed), _lora_file(Path(path), size, LoraFacts(**facts)))
                for path, (size, changed, facts) in kept["files"].items()
            }
        except (OSError, ValueError, TypeError, AttributeError, KeyError):
            return {}

    def _remember(self, memory: Path) -> None:
        files = {
            str(path): [*stamp, asdict(file.lora)]
            for path, (stamp, file) in (self._known or {}).items()
            if file.lora is not None
        }
        try:
            memory.parent.mkdir(parents=True, exist_ok=True)
            with NamedTemporaryFile(dir=memory.parent, delete=False) as aside:
                aside.write(orjson.dumps({"version": _VERSION, "files": files}))
            Path(aside.name).replace(memory)
        except OSError as error:
            log.warning("The list of LoRA files could not be kept (%s).", error)


def _lora_file(path: Path, size: int, facts: LoraFacts) -> WeightFile:
    return WeightFile(path, Kind.LORA, size, lora=facts)


def recognised(path: Path, size: int) -> WeightFile:
    """What a weight file of so many bytes is, wherever it lies."""
    if path.suffix.lower() in PICKLES:
        problem = (
            "is a pickle, which can run any code when it is opened; get it as .safetensors, or "
            "convert it on the Models tab or with `atelier convert`"
        )
        return WeightFile(path, Kind.DAMAGED, size, problem=problem)
    try:
        header = read_header(path)
        if _is_lora(header):
            return _lora_file(path, size, lora_facts(header))
        original = read_layout(header, lambda name: _spread(path, header, name) > _WIDE)
    except LayoutError as error:
        return WeightFile(path, Kind.CHECKPOINT, size, problem=str(error))
    except HeaderError as error:
        return WeightFile(path, Kind.DAMAGED, size, problem=f"{error}; copy it again")
    except OSError as error:
        problem = f"cannot be read ({error.strerror}); see to its permissions"
        return WeightFile(path, Kind.DAMAGED, size, problem=problem)
    kind = Kind.CHECKPOINT if original is not None else _kind(header)
    return WeightFile(path, kind, size, header, original)


def _is_lora(header: Header) -> bool:
    """Every tensor of a LoRA is named as one, so that a few tell."""
    return any(mark in name for name in islice(header.names, 8) for mark in _LORA)


def _kind(header: Header) -> Kind:
    shapes = Shapes(header.shapes)
    if is_vae(shapes):
        return Kind.VAE
    if encoder_kind(shapes) is not None:
        return Kind.TEXT_ENCODER
    if set(shapes) in _EMBEDDING or (len(shapes) == 1 and next(iter(shapes)).startswith("<")):
        return Kind.EMBEDDING
    return Kind.OTHER


def _spread(path: Path, header: Header, name: str) -> float:
    if name not in header.shapes:
        return 0.0
    try:
        return float(read_numbers(path, header, name).std())
    except HeaderError:  # in a number format that tells nothing without its scale
        return 0.0
