"""What a work function may do to the outside: four things, given as protocols."""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import Any, Protocol, TypeAlias

from studio.events import Event


class Signal(Enum):
    """What the person wants of the running job right now."""

    GO_ON = "go on"
    SKIP = "skip"


@dataclass(frozen=True)
class Worn:
    """An adapter that a model is lent with.

    name: its file's, as the shelf of adapters knows it. strength: on the denoiser, 1 as trained.
    text_strength: on the text encoders. version: another text whenever its file is another one.
    """

    name: str
    strength: float
    text_strength: float
    version: str = ""


class Rung(StrEnum):
    """A way to do with less memory, in the order in which they are taken.

    Each is named as people read it after "with".
    """

    ATTENTION_SLICING = "attention in slices"
    VAE_SLICING = "pictures decoded one by one"
    VAE_TILING = "pictures decoded in tiles"
    ENCODERS_OFF = "text encoders in main memory after use"
    MODEL_OFFLOAD = "only the part at work on the device"
    SEQUENTIAL_OFFLOAD = "only the layer at work on the device"
    ONE_BY_ONE = "one picture at a time"


@dataclass(frozen=True)
class ModelSpec:
    """Which weights, in which sort of wrapper.

    kind: key of the loader, such as "diffusion" or "reader". id: the catalogue's.
    task: view on the same weights ("text2image", "image2image", "inpaint", or "").
    adapters: what the weights wear while they are lent, and nobody else sees.
    rungs: how they do with less memory meanwhile. speedups: by what they are made faster, by key.
    work: bytes that the borrower will need on the device beside them, 0 where that is little.
    """

    kind: str
    id: str
    task: str = ""
    adapters: tuple[Worn, ...] = ()
    rungs: tuple[Rung, ...] = ()
    speedups: tuple[str, ...] = ()
    work: int = 0

    @property
    def outfit(self) -> "Outfit":
        """All that can be changed of loaded weights from one loan to the next."""
        return self.adapters, self.rungs, self.speedups


Outfit: TypeAlias = tuple[tuple[Worn, ...], tuple[Rung, ...], tuple[str, ...]]
"""Adapters, rungs of the ladder, and speed-ups."""


class Context(Protocol):
    """The only door of a work function."""

    job_id: str

    def borrow(self, spec: ModelSpec) -> AbstractContextManager[Any]:
        """A loaded model, pinned to the device while the block runs."""
        ...

    def emit(self, event: Event) -> None:
        """Tell everyone who follows this job."""
        ...

    def check(self) -> Signal:
        """Whether to go on or to skip; raises Cancelled when the job was taken back."""
        ...

    def save(self, artifact: Any) -> int:
        """Keep an artifact for ever; returns the id of its row."""
        ...
