"""What a work function may do to the outside: four things, given as protocols."""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

from studio.events import Event


class Signal(Enum):
    """What the person wants of the running job right now."""

    GO_ON = "go on"
    SKIP = "skip"


@dataclass(frozen=True)
class ModelSpec:
    """Which weights, in which sort of wrapper.

    kind: key of the loader, such as "diffusion" or "reader". id: the catalogue's.
    task: view on the same weights ("text2image", "image2image", "inpaint", or "").
    """

    kind: str
    id: str
    task: str = ""


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
