"""Which models there are: those that ship with the studio and those in the data folder."""

import contextlib
import hashlib
import json
import tomllib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from studio.errors import ModelError
from studio.models.families import Family, denoiser_of, pipelines, recognised
from studio.models.integrity import folder_problem
from studio.requests import Sampler

ASSETS = Path(__file__).resolve().parents[2] / "assets"
_CARD = "atelier.toml"
_INDEX = "model_index.json"
_NONSENSE = (OSError, ValueError, LookupError, TypeError, ArithmeticError, RecursionError)
"""What reading a damaged folder may raise: one of these must not hide all other models."""


_Stamp = tuple[tuple[str, int, int], ...]


@dataclass(frozen=True)
class ModelEntry:
    """One model as people see it.

    factor: pixels that a latent stands for, along a side. multiple: width and height must be
    multiples of it. largest: side that the denoiser has places for, 0 for any. All in pixels.
    distilled_cfg_scale: None for a model that takes none. bytes: of all weights on disk.
    problem: one sentence on why it cannot be used, or "".
    """

    id: str
    title: str
    folder: Path
    embedded: bool
    family: Family | None = None
    width: int = 0
    height: int = 0
    factor: int = 8
    multiple: int = 8
    largest: int = 0
    sizes: tuple[tuple[int, int], ...] = ()
    cfg_scale: float = 7.0
    distilled_cfg_scale: float | None = None
    sampler: Sampler = Sampler.DPMPP_2M
    steps: int = 20
    bytes: int = 0
    examples: tuple[str, ...] = ()
    problem: str = ""


class Catalogue:
    """The models in the given folders; looked up afresh, so that a new folder is seen at once.

    default: id of the model that requests without one get; empty for the first that ships.
    """

    def __init__(self, own: Path, embedded: Path = ASSETS / "models", default: str = ""):
        self._own = own
        self._embedded = embedded
        self._default = default
        self._read: dict[Path, tuple[_Stamp, ModelEntry]] = {}

    def entries(self) -> list[ModelEntry]:
        """All models, those that ship first, then by name."""
        found: dict[str, ModelEntry] = {}
        for folder, embedded in ((self._embedded, True), (self._own, False)):
            for index in sorted(folder.glob(f"*/{_INDEX}")):
                name = index.parent.name
                model_id = name if name not in found else f"{name} (own)"
                entry = self._entry(model_id, index.parent, embedded)
                found[entry.id] = entry
        return list(found.values())

    def _entry(self, model_id: str, folder: Path, embedded: bool) -> ModelEntry:
        """The folder's entry, read again only when a file of it has changed."""
        stamp = _stamp(folder)
        known = self._read.get(folder)
        if known is None or known[0] != stamp or known[1].id != model_id:
            known = self._read[folder] = stamp, _entry(model_id, folder, embedded)
        return known[1]

    def get(self, model_id: str) -> ModelEntry:
        """The model of this id, the default one for ""; ModelError when there is none."""
        entries = self.entries()
        wanted = model_id or self._default
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


def model_hash(entry: ModelEntry) -> str:
    """First ten hex digits of the SHA-256 of the denoiser's weights, as the field writes it."""
    if entry.family is None:
        return ""
    files = sorted((entry.folder / entry.family.denoiser).glob("*.safetensors"))
    stamps = tuple((file, file.stat().st_mtime_ns) for file in files)
    return _sha256(stamps)[:10] if stamps else ""


@lru_cache(maxsize=64)
def _sha256(files: tuple[tuple[Path, int], ...]) -> str:
    digest = hashlib.sha256()
    for path, _ in files:
        with path.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def _entry(model_id: str, folder: Path, embedded: bool) -> ModelEntry:
    try:
        return _read_entry(model_id, folder, embedded)
    except _NONSENSE as error:
        problem = (
            f"Model {model_id!r} cannot be read ({type(error).__name__}: {error}); "
            f"copy it to {folder} again."
        )
        return ModelEntry(model_id, model_id, folder, embedded, problem=problem)


def _read_entry(model_id: str, folder: Path, embedded: bool) -> ModelEntry:
    pipeline = str(_json(folder / _INDEX).get("_class_name"))
    component = denoiser_of(pipeline)
    denoiser = _json(folder / component / "config.json") if component else {}
    family = recognised(pipeline, denoiser)
    if family is None:
        problem = (
            f"Model {model_id!r} is a {pipeline}, which this version does not run; "
            f"it runs {', '.join(pipelines())}."
        )
        return ModelEntry(model_id, model_id, folder, embedded, problem=problem)
    card = _card(folder / _CARD)
    vae = _json(folder / "vae" / "config.json")
    factor = 2 ** (len(vae["block_out_channels"]) - 1)
    multiple = factor * family.patch
    side = family.side or int(denoiser["sample_size"]) * factor
    sizes = tuple((int(w), int(h)) for w, h in card.get("sizes", _sizes(side, multiple)))
    return ModelEntry(
        id=model_id,
        title=str(card.get("title", model_id)),
        folder=folder,
        embedded=embedded,
        family=family,
        width=sizes[0][0],
        height=sizes[0][1],
        factor=factor,
        multiple=multiple,
        largest=int(denoiser.get("pos_embed_max_size", 0)) * multiple,
        sizes=sizes,
        cfg_scale=float(card.get("cfg_scale", family.cfg_scale)),
        distilled_cfg_scale=_distilled(card, family),
        sampler=Sampler(card.get("sampler", family.sampler)),
        steps=int(card.get("steps", family.steps)),
        bytes=sum(file.stat().st_size for file in folder.glob("*/*.safetensors")),
        examples=tuple(str(text) for text in card.get("examples", ())),
        problem=folder_problem(folder),
    )


def _distilled(card: dict, family: Family) -> float | None:
    own = family.distilled_cfg_scale
    return None if own is None else float(card.get("distilled_cfg_scale", own))


def _sizes(side: int, multiple: int) -> list[tuple[int, int]]:
    """Square, 4:3 and 3:2 shapes, landscape and portrait, of about the native area."""
    sizes = [(side, side)]
    for ratio in (4 / 3, 3 / 2):
        long = round(side * ratio**0.5 / multiple) * multiple
        short = round(side / ratio**0.5 / multiple) * multiple
        sizes += [(long, short), (short, long)]
    return sizes


def _json(path: Path) -> dict:
    value = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(value, dict):
        raise ValueError(f"{path.name} holds no JSON object")
    return value


def _card(path: Path) -> dict:
    return tomllib.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
