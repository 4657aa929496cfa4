"""One model as people see it, read from a folder of parts or from a single file."""

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from studio.models.drawers import WeightFile
from studio.models.families import Family, denoiser_of, distilled, pipelines, recognised
from studio.models.integrity import folder_problem
from studio.models.originals.layout import Original, Part
from studio.models.originals.parts import Missing, gathered
from studio.requests import Sampler

ASSETS = Path(__file__).resolve().parents[2] / "assets"
INDEX = "model_index.json"
NONSENSE = (OSError, ValueError, LookupError, TypeError, ArithmeticError, RecursionError)
"""What reading a damaged model may raise: one of these must not hide all other models."""
_CARD = "atelier.toml"


@dataclass(frozen=True)
class ModelEntry:
    """One model as people see it.

    path: its folder, or its file. original: what a file holds; None for a folder. sources: of a
    file's model all networks, each with the file that has it. factor: pixels that a latent stands
    for, along a side. context: features of the text states that its UNet attends to, 0 for others.
    multiple: width and height must be multiples of it. largest: side that the
    denoiser has places for, 0 for any. All in pixels. distilled_cfg_scale: None for a model that
    takes none. bytes: of all weights on disk. problem: a sentence on why it cannot be used, or "".
    """

    id: str
    title: str
    path: Path
    embedded: bool
    family: Family | None = None
    original: Original | None = None
    sources: tuple[tuple[Part, Path], ...] = ()
    width: int = 0
    height: int = 0
    factor: int = 8
    context: int = 0
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

    def tokenizer(self, place: str) -> Path:
        """The folder of one of the model's tokenizers, by its place in the pipeline."""
        if self.original is None:
            return self.path / place
        encoders = zip(self.original.family.encoders, self.original.family.stems, strict=True)
        stem = next(stem for (tokenizer, _), stem in encoders if tokenizer == place)
        return ASSETS / "tokenizers" / ("t5" if stem == "t5xxl" else "clip")


def folder_entry(model_id: str, folder: Path, embedded: bool) -> ModelEntry:
    """The model of a folder with a model_index.json."""
    try:
        return _folder_entry(model_id, folder, embedded)
    except NONSENSE as error:
        problem = (
            f"Model {model_id!r} cannot be read ({type(error).__name__}: {error}); "
            f"copy it to {folder} again."
        )
        return ModelEntry(model_id, model_id, folder, embedded, problem=problem)


def file_entry(model_id: str, file: WeightFile, others: list[WeightFile]) -> ModelEntry:
    """The model of a single file; others: files that may hold what it lacks."""
    original, path = file.original, file.path
    if original is None or file.header is None:
        problem = f"{path.name} {file.problem}."
        return ModelEntry(model_id, model_id, path, False, bytes=file.bytes, problem=problem)
    try:
        card = _card(path.with_suffix(".toml"))
        sources, problem = gathered(file, others, card.get("parts", {})), ""
    except Missing as error:
        sources, problem = (), f"Model {model_id!r} {error}."
    except NONSENSE as error:
        card, sources = {}, ()
        problem = (
            f"{path.with_suffix('.toml').name} cannot be read ({error}); mend it or remove it."
        )
    vae = next((part.config for part, _ in sources if part.name == "vae"), None)
    named = file.header.metadata.get("modelspec.title", "").strip()
    if distilled(model_id) and not original.family.flow:
        kind, noise = original.scheduler
        noise = {**noise, "timestep_spacing": "trailing"}
        original = replace(original, scheduler=(kind, noise))
    return ModelEntry(
        id=model_id,
        path=path,
        embedded=False,
        original=original,
        sources=sources,
        bytes=sum(each.stat().st_size for each in {path, *(path for _, path in sources)}),
        problem=problem,
        **_described(
            original.family,
            original.denoiser.config,
            # Without an autoencoder the model cannot run; all of its kind have four levels.
            len((vae or {"block_out_channels": [0] * 4})["block_out_channels"]),
            _quick(model_id, original.family) | {"title": named or model_id} | card,
        ),
    )


def _folder_entry(model_id: str, folder: Path, embedded: bool) -> ModelEntry:
    pipeline = str(_json(folder / INDEX).get("_class_name"))
    component = denoiser_of(pipeline)
    denoiser = _json(folder / component / "config.json") if component else {}
    family = recognised(pipeline, denoiser)
    if family is None:
        problem = (
            f"Model {model_id!r} is a {pipeline}, which this version does not run; "
            f"it runs {', '.join(pipelines())}."
        )
        return ModelEntry(model_id, model_id, folder, embedded, problem=problem)
    levels = len(_json(folder / "vae" / "config.json")["block_out_channels"])
    return ModelEntry(
        id=model_id,
        path=folder,
        embedded=embedded,
        bytes=sum(file.stat().st_size for file in folder.glob("*/*.safetensors")),
        problem=folder_problem(folder),
        **_described(
            family,
            denoiser,
            levels,
            _quick(model_id, family) | {"title": model_id} | _card(folder / _CARD),
        ),
    )


def _described(
    family: Family, denoiser: Mapping[str, Any], levels: int, card: Mapping[str, Any]
) -> dict[str, Any]:
    """What a family, a configuration and a card say of a model; levels: of its autoencoder."""
    factor = 2 ** (levels - 1)
    multiple = factor * family.patch
    side = family.side or int(denoiser["sample_size"]) * factor
    sizes = tuple((int(w), int(h)) for w, h in card.get("sizes", _sizes(side, multiple)))
    own = family.distilled_cfg_scale
    return {
        "title": str(card["title"]),
        "family": family,
        "context": int(denoiser.get("cross_attention_dim") or 0),
        "width": sizes[0][0],
        "height": sizes[0][1],
        "factor": factor,
        "multiple": multiple,
        "largest": int(denoiser.get("pos_embed_max_size", 0)) * multiple,
        "sizes": sizes,
        "cfg_scale": float(card.get("cfg_scale", family.cfg_scale)),
        "distilled_cfg_scale": None if own is None else float(card.get("distilled_cfg_scale", own)),
        "sampler": Sampler(card.get("sampler", family.sampler)),
        "steps": int(card.get("steps", family.steps)),
        "examples": tuple(str(text) for text in card.get("examples", ())),
    }


def _quick(model_id: str, family: Family) -> dict[str, Any]:
    """What a card would say of a model whose name tells that it needs few steps."""
    found = distilled(model_id)
    if found is None:
        return {}
    sampler = found.sampler if found.sampler and not family.flow else family.sampler
    return {"sampler": sampler, "steps": found.steps, "cfg_scale": found.cfg_scale}


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
