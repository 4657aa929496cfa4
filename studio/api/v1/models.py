"""What there is to work with: models, adapters, upscalers and readers."""

from collections.abc import Iterable
from enum import Enum, StrEnum
from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel

from studio.diffusion.upscaling.choices import LATENT, RESAMPLING
from studio.models.slots import Held
from studio.requests import Sampler
from studio.services import Services


class State(StrEnum):
    """Where weights are: on the disk, in memory, in a job's hands, aside in main memory."""

    DISK = "on disk"
    LOADED = "loaded"
    IN_USE = "in use"
    RESTING = "resting"
    UNUSABLE = "unusable"


class Size(BaseModel):
    """Pixels."""

    width: int
    height: int


class ModelInfo(BaseModel):
    """A diffusion model and what it does best with.

    ships: it comes with the studio. is_default: requests that name none get it. multiple: width and
    height must be multiples of it. sizes: that it was made for. distilled_cfg_scale: None for a
    model that takes none. bytes: on disk. problem: why it cannot be used, or "".
    """

    id: str
    title: str
    family: str
    ships: bool
    is_default: bool
    state: State
    bytes: int
    multiple: int
    sizes: list[Size]
    sampler: Sampler
    steps: int
    cfg_scale: float
    distilled_cfg_scale: float | None
    problem: str


class AdapterInfo(BaseModel):
    """A LoRA or a textual inversion.

    name: by which prompts call it. family: of models that it fits, "" where nobody can tell.
    triggers: words that call up what it has learnt. strength: that its keeper recommends. bytes: on
    disk. problem: why it cannot be used, or "".
    """

    kind: Literal["lora", "embedding"]
    name: str
    family: str
    triggers: list[str]
    strength: float
    bytes: int
    problem: str


class UpscalerInfo(BaseModel):
    """A way to make pictures larger, by the name that requests take.

    kind: "latent" ones are for second passes alone. problem: why it cannot be used, or "".
    """

    kind: Literal["resampling", "latent", "model"]
    name: str
    problem: str


class ReaderInfo(BaseModel):
    """A model that answers questions; the first usable one is the default. bytes: on disk."""

    id: str
    architecture: str
    ships: bool
    state: State
    bytes: int
    problem: str


class ModelList(BaseModel):
    """Models of the studio, those that ship first."""

    models: list[ModelInfo]


class AdapterList(BaseModel):
    """LoRAs, then textual inversions."""

    adapters: list[AdapterInfo]


class UpscalerList(BaseModel):
    """Upscalers, those that need no file first."""

    upscalers: list[UpscalerInfo]


class ReaderList(BaseModel):
    """Readers, those that ship first."""

    readers: list[ReaderInfo]


def add_routes(router: APIRouter, services: Services) -> None:
    """Add them to a router."""
    tags: list[str | Enum] = ["models"]

    @router.get("/models", operation_id="list_models", summary="List models", tags=tags)
    def models() -> ModelList:
        """Diffusion models, also those that cannot be used, with the reason."""
        return ModelList(models=_models(services))

    @router.get("/adapters", operation_id="list_adapters", summary="List adapters", tags=tags)
    def adapters() -> AdapterList:
        """LoRAs, for `<lora:name:0.8>` in a prompt, and textual inversions, by their words."""
        return AdapterList(adapters=_adapters(services))

    @router.get("/upscalers", operation_id="list_upscalers", summary="List upscalers", tags=tags)
    def upscalers() -> UpscalerList:
        """For `upscaler` and `hires_upscaler` of requests."""
        plain = [UpscalerInfo(kind="resampling", name=name, problem="") for name in RESAMPLING]
        latent = [UpscalerInfo(kind="latent", name=name, problem="") for name in LATENT]
        files = [
            UpscalerInfo(kind="model", name=entry.name, problem=entry.problem)
            for entry in services.upscalers.entries()
        ]
        return UpscalerList(upscalers=plain + latent + files)

    @router.get("/readers", operation_id="list_readers", summary="List readers", tags=tags)
    def readers() -> ReaderList:
        """Models that answer questions."""
        held = services.engine.models.held()
        found = [
            ReaderInfo(
                id=entry.id,
                architecture=entry.architecture,
                ships=entry.embedded,
                state=_state(entry.id, entry.problem, (h for h in held if "reader" in h.kind)),
                bytes=entry.bytes,
                problem=entry.problem,
            )
            for entry in services.readers.entries()
        ]
        return ReaderList(readers=found)


def _models(services: Services) -> list[ModelInfo]:
    catalogue = services.catalogue
    entries = catalogue.entries()
    default = catalogue.default or (entries[0].id if entries else "")
    held = services.engine.models.held()
    return [
        ModelInfo(
            id=entry.id,
            title=entry.title,
            family=entry.family.name if entry.family else "",
            ships=entry.embedded,
            is_default=entry.id == default,
            state=_state(entry.id, entry.problem, (h for h in held if "diffusion" in h.kind)),
            bytes=entry.bytes,
            multiple=entry.multiple,
            sizes=[Size(width=width, height=height) for width, height in entry.sizes],
            sampler=entry.sampler,
            steps=entry.steps,
            cfg_scale=entry.cfg_scale,
            distilled_cfg_scale=entry.distilled_cfg_scale,
            problem=entry.problem,
        )
        for entry in entries
    ]


def _adapters(services: Services) -> list[AdapterInfo]:
    loras = [
        AdapterInfo(
            kind="lora",
            name=lora.name,
            family=lora.family,
            triggers=list(lora.triggers),
            strength=lora.strength,
            bytes=lora.size,
            problem=lora.problem,
        )
        for lora in services.catalogue.loras.entries()
    ]
    sizes = {file.path: file.bytes for file in services.catalogue.files()}
    embeddings = [
        AdapterInfo(
            kind="embedding",
            name=each.word,
            family=each.family,
            triggers=[each.word],
            strength=1.0,
            bytes=sizes.get(each.path, 0),
            problem="",
        )
        for each in services.catalogue.embeddings.entries()
    ]
    return loras + embeddings


def _state(item_id: str, problem: str, held: Iterable[Held]) -> State:
    if problem:
        return State.UNUSABLE
    own = [each for each in held if each.id == item_id]
    if any(each.in_use for each in own):
        return State.IN_USE
    if any(not each.resting for each in own):
        return State.LOADED
    return State.RESTING if own else State.DISK
