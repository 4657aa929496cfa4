"""What the model manager knows of each model in memory."""

from collections import Counter
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Protocol

from studio.context import ModelSpec, Outfit, Rung

Key = tuple[str, str]


class State(Enum):
    """Where a model is.

    COMING: it is loaded, or brought back. READY: on the device. GOING: it leaves the device.
    RESTING: in main memory, until it is wanted again.
    """

    COMING = "coming"
    READY = "ready"
    GOING = "going"
    RESTING = "resting"


@dataclass(frozen=True)
class Footprint:
    """Bytes of the device: while the model works, and at its worst moment before that."""

    held: int
    most: int


@dataclass
class Slot:
    """One model: its bytes, where it is, who uses it and what it wears.

    users: how often each thread holds it. work: bytes promised to them beside the weights.
    dressing: one of them is changing its outfit. last_use: on the manager's clock of events;
    used_at: in seconds.
    """

    key: Key
    title: str
    footprint: Footprint
    state: State = State.COMING
    model: Any = None
    users: Counter[int] = field(default_factory=Counter)
    work: int = 0
    outfit: Outfit = ((), (), ())
    dressing: bool = False
    last_use: int = 0
    used_at: float = 0.0
    views: dict[str, Any] = field(default_factory=dict)

    @property
    def is_idle(self) -> bool:
        """Whether it could leave the device at once."""
        return self.state is State.READY and not self.users

    @property
    def is_busy(self) -> bool:
        """Whether it will be different before long."""
        return bool(self.users) or self.state in (State.COMING, State.GOING)

    @property
    def on_device(self) -> int:
        """Bytes of the device that count as its own."""
        return 0 if self.state is State.RESTING else self.footprint.held

    @property
    def promised(self) -> int:
        """Bytes that it and its users will take and may not have taken yet."""
        coming = self.footprint.most if self.state is State.COMING else 0
        return coming + self.work

    def stands_on(self, rungs: tuple[Rung, ...]) -> bool:
        """Whether it is on the device, on just these rungs of the ladder."""
        return self.state is State.READY and self.outfit[1] == rungs

    def settle(self, size: int) -> None:
        """Note what the model really holds; on rungs it may take more for a moment."""
        most = max(size, self.footprint.most) if self.outfit[1] else size
        self.footprint = Footprint(size, most)

    def forget(self) -> None:
        """Let go of the model, whoever still looks at the slot."""
        self.model = None
        self.views.clear()

    def give_back(self, thread: int, work: int) -> None:
        """One loan of a thread has ended."""
        self.users[thread] -= 1
        if not self.users[thread]:
            del self.users[thread]
        self.work -= work


@dataclass(frozen=True)
class Held:
    """A model in memory: who it is, its bytes, whether it is in use, and whether it rests.

    resting: it is in main memory, and would have to be brought to the device.
    """

    kind: str
    id: str
    title: str
    bytes: int
    in_use: bool
    resting: bool = False


def mb(size: int) -> str:
    """Bytes as people read them."""
    return f"{size / 1e6:,.0f} MB"


class InMemory(Protocol):
    """The models of a device as whoever does not work with them sees and moves them."""

    def held(self) -> list[Held]:
        """The models in memory, most recently used first."""
        ...

    def load(self, spec: ModelSpec) -> None:
        """Bring a model into memory, where it stays until its room is needed."""
        ...

    def unload(self, kind: str, model_id: str) -> bool:
        """Drop a model that nobody holds; False when it is in use or not in memory."""
        ...

    def drop_idle(self, seconds: float) -> list[str]:
        """Drop what nobody has held for so long; the titles."""
        ...
