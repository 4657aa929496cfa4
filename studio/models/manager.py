"""The one place that loads weights.

Order of locks: there is one, `_changed`, and nothing slow is done while it is held; loading and
freeing happen outside it. The state of a model is absent, loading or loaded; whoever asks for a
model that is loading waits for it. A loaded model that nobody holds stays until its room is
needed, the least recently used first. Who wants it with other adapters than its present users
waits until they have given it back, so that nobody sees what another one wears. Bytes of a model
that is loading count from the start, so that two loads at once cannot promise the same memory
twice.
"""

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from studio.context import ModelSpec, Worn
from studio.errors import OutOfMemory

log = logging.getLogger(__name__)
Key = tuple[str, str]


class Loader(Protocol):
    """How models of one kind come to a device; the manager knows no more of them."""

    def title(self, model_id: str) -> str:
        """The model's name for people."""
        ...

    def estimate(self, model_id: str) -> int:
        """Bytes that the model will hold on the device; raises ModelError when unusable."""
        ...

    def load(self, model_id: str) -> Any:
        """The model on the device, ready for use."""
        ...

    def measure(self, model: Any) -> int:
        """Bytes that the loaded model really holds."""
        ...

    def view(self, model: Any, task: str) -> Any:
        """The same weights in the wrapper that a task needs."""
        ...

    def dress(self, model: Any, model_id: str, worn: tuple[Worn, ...]) -> None:
        """Let the model wear just these adapters; without any it is as it was loaded."""
        ...


@dataclass
class _Slot:
    title: str
    bytes: int
    model: Any = None
    users: int = 0
    worn: tuple[Worn, ...] = ()
    dressing: bool = False
    last_use: int = 0
    views: dict[str, Any] = field(default_factory=dict)

    @property
    def is_idle(self) -> bool:
        return self.model is not None and not self.users


@dataclass(frozen=True)
class Held:
    """A model in memory: who it is, bytes it holds and whether it is in use."""

    kind: str
    id: str
    title: str
    bytes: int
    in_use: bool


class ModelManager:
    """Loads, shares, pins and evicts models within a budget of bytes.

    loaders: by kind. budget: bytes, or a function that tells them once the device is known.
    release: called after weights were dropped, to give memory back to the system.
    """

    def __init__(
        self,
        loaders: Mapping[str, Loader],
        budget: Callable[[], int],
        release: Callable[[], None] = lambda: None,
    ):
        self._loaders = loaders
        self._budget = budget
        self._release = release
        self._slots: dict[Key, _Slot] = {}
        self._changed = threading.Condition()
        self._clock = 0

    @contextmanager
    def borrow(
        self, spec: ModelSpec, on_load: Callable[[str], None] = lambda title: None
    ) -> Iterator[Any]:
        """The model in the view that its task needs, pinned while the block runs.

        on_load: called with the model's title when it has to be loaded first.
        Raises ModelError when it cannot be loaded and OutOfMemory when it does not fit.
        """
        slot = self._take(spec, on_load)
        try:
            if slot.dressing:  # of all its users only the one who changed it sees this
                self._dress(slot, spec)
            view = slot.views.get(spec.task)
            if view is None:
                view = self._loaders[spec.kind].view(slot.model, spec.task)
                view = slot.views.setdefault(spec.task, view)
            yield view
        finally:
            with self._changed:
                slot.users -= 1
                self._touch(slot)
                self._changed.notify_all()

    def held(self) -> list[Held]:
        """The models in memory, most recently used first."""
        with self._changed:
            slots = sorted(self._slots.items(), key=lambda item: -item[1].last_use)
            return [
                Held(kind, id_, slot.title, slot.bytes, not slot.is_idle)
                for (kind, id_), slot in slots
            ]

    def unload(self, kind: str, model_id: str) -> bool:
        """Drop a model that nobody holds; False when it is in use or not loaded."""
        with self._changed:
            slot = self._slots.get((kind, model_id))
            if slot is None or not slot.is_idle:
                return False
            del self._slots[(kind, model_id)]
        del slot
        self._release()
        return True

    def _take(self, spec: ModelSpec, on_load: Callable[[str], None]) -> _Slot:
        key = (spec.kind, spec.id)
        loader = self._loaders[spec.kind]
        with self._changed:
            if (slot := self._pin(key, spec.adapters)) is not None:
                return slot
        title, needed, budget = loader.title(spec.id), loader.estimate(spec.id), self._budget()
        with self._changed:
            # Asked again: somebody else may have been quicker while the lock was open.
            if (slot := self._pin(key, spec.adapters)) is not None:
                return slot
            evicted = self._make_room(title, needed, budget)
            slot = self._slots[key] = _Slot(title, needed, users=1)
            self._touch(slot)
        try:
            if evicted:
                log.info("Unloaded %s to make room for %s.", ", ".join(evicted), title)
                self._release()
            on_load(title)
            model = loader.load(spec.id)
            size = loader.measure(model)
        except BaseException:
            self._abandon(key)
            raise
        with self._changed:
            slot.model, slot.bytes = model, size
            slot.worn, slot.dressing = spec.adapters, bool(spec.adapters)
            self._changed.notify_all()
        return slot

    def _pin(self, key: Key, worn: tuple[Worn, ...]) -> _Slot | None:
        """The slot with one more user once it is loaded and nobody wants it dressed otherwise.

        None when it is absent. The caller holds the lock.
        """
        while (slot := self._slots.get(key)) is not None and (
            slot.model is None or slot.dressing or (slot.users and slot.worn != worn)
        ):
            self._changed.wait()
        if slot is not None:
            slot.users += 1
            slot.worn, slot.dressing = worn, slot.worn != worn
            self._touch(slot)
        return slot

    def _dress(self, slot: _Slot, spec: ModelSpec) -> None:
        """Change what a slot's model wears; whoever else wants the model waits meanwhile."""
        loader = self._loaders[spec.kind]
        worn: tuple[Worn, ...] = ()
        try:
            loader.dress(slot.model, spec.id, spec.adapters)
            worn = spec.adapters
        except BaseException:
            self._undress(slot, spec)
            raise
        finally:
            size = loader.measure(slot.model)
            with self._changed:
                slot.worn, slot.dressing, slot.bytes = worn, False, size
                self._changed.notify_all()

    def _undress(self, slot: _Slot, spec: ModelSpec) -> None:
        """Take off what may be half put on; a model that cannot be mended is forgotten."""
        try:
            self._loaders[spec.kind].dress(slot.model, spec.id, ())
        except Exception:
            log.exception("%s is dropped: its adapters could not be taken off.", slot.title)
            with self._changed:
                self._slots.pop((spec.kind, spec.id), None)

    def _touch(self, slot: _Slot) -> None:
        """Make the slot the one used last; the caller holds the lock."""
        self._clock += 1
        slot.last_use = self._clock

    def _abandon(self, key: Key) -> None:
        """Forget a load that failed, so that whoever waits for it tries again."""
        with self._changed:
            del self._slots[key]
            self._changed.notify_all()
        self._release()

    def _make_room(self, title: str, needed: int, budget: int) -> list[str]:
        """Evict idle models until `needed` fits; the caller holds the lock."""
        idle = sorted(
            (item for item in self._slots.items() if item[1].is_idle),
            key=lambda item: item[1].last_use,
        )
        free = budget - sum(slot.bytes for slot in self._slots.values())
        if free + sum(slot.bytes for _, slot in idle) < needed:
            raise OutOfMemory(self._refusal(title, needed, budget, free))
        evicted = []
        for key, slot in idle:
            if free >= needed:
                break
            del self._slots[key]
            free += slot.bytes
            evicted.append(slot.title)
        return evicted

    def _refusal(self, title: str, needed: int, budget: int, free: int) -> str:
        holders = ", ".join(f"{slot.title} {_mb(slot.bytes)}" for slot in self._slots.values())
        return (
            f"{title} needs {_mb(needed)}, but {_mb(max(0, free))} of the budget of {_mb(budget)} "
            f"is free (held by: {holders or 'nothing'}); wait for running work, choose a smaller "
            "model, or raise the memory budget (ATELIER_MEMORY_BUDGET)."
        )


def _mb(size: int) -> str:
    return f"{size / 1e6:,.0f} MB"
