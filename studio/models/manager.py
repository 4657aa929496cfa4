"""The one place that loads weights and knows what stands on the device.

Order of locks: there is one, `_changed`, and nothing slow is done while it is held; loading,
moving and freeing happen outside it.

A model is absent, coming, ready, going or resting (slots.py); whoever asks for one that is coming
or going waits. A ready model that nobody holds stays until its room is needed, the least recently
used first; where the device has a memory of its own it then rests in main memory, as far as that
has a budget. Bytes of a model that is coming count from the start, so that two loads at once
cannot promise the same memory twice. Who wants a model in another outfit (adapters, rungs of the
ladder, speed-ups) than its present users waits until they have given it back, so that nobody sees
what another one wears.

Who finds no room waits while others hold some, and is refused when even their leaving would not
help. A thread that holds a model already never waits for room: two of them could wait for each
other. Who has waited for long is not overtaken any more.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Protocol

from studio.context import ModelSpec, Outfit, Rung
from studio.errors import OutOfMemory
from studio.models.journal import Journal
from studio.models.slots import Footprint, Held, Key, Slot, State, mb

_PATIENCE = 5.0
"""Seconds of waiting after which nobody is let past."""
_LOOK_AGAIN = 0.5
"""Seconds after which one who waits looks again: other programs free memory without a word."""


class Loader(Protocol):
    """How models of one kind come to a device; the manager knows no more of them."""

    def title(self, model_id: str) -> str:
        """The model's name for people."""
        ...

    def estimate(self, model_id: str, rungs: tuple[Rung, ...] = ()) -> Footprint:
        """Bytes that the model will hold on the device; raises ModelError when unusable."""
        ...

    def load(self, model_id: str, rungs: tuple[Rung, ...] = ()) -> Any:
        """The model on the device, as far as the rungs leave it there, ready for use."""
        ...

    def measure(self, model: Any) -> int:
        """Bytes of the device that the loaded model really holds."""
        ...

    def view(self, model: Any, task: str) -> Any:
        """The same weights in the wrapper that a task needs."""
        ...

    def dress(self, model: Any, spec: ModelSpec) -> None:
        """Give the model just the outfit of a loan: its adapters, rungs and speed-ups."""
        ...

    def rest(self, model: Any) -> None:
        """Move the model to main memory, where the device has another one, without speed-ups."""
        ...

    def wake(self, model: Any, rungs: tuple[Rung, ...]) -> None:
        """Move it back to the device, as far as the rungs leave it there."""
        ...


class ModelManager:
    """Loads, shares, pins, rests and evicts models within budgets of bytes.

    loaders: by kind. budget: of all weights on the device, told once that is known. free: bytes
    that work can take on the device now. resting: bytes that models may hold in main memory while
    they are off the device, 0 where that is the device. release: called after weights were
    dropped, to give memory back to the system.
    """

    def __init__(
        self,
        loaders: Mapping[str, Loader],
        budget: Callable[[], int],
        release: Callable[[], None] = lambda: None,
        *,
        free: Callable[[], int] = lambda: 1 << 60,
        resting: Callable[[], int] = lambda: 0,
        journal: Journal | None = None,
    ):
        self._loaders = loaders
        self._budget = budget
        self._free = free
        self._resting = resting
        self._release = release
        self._journal = journal or Journal()
        self._slots: dict[Key, Slot] = {}
        self._changed = threading.Condition()
        self._waiting: deque[tuple[object, float]] = deque()
        self._clock = 0

    @contextmanager
    def borrow(
        self,
        spec: ModelSpec,
        on_load: Callable[[str], None] = lambda title: None,
        *,
        on_wait: Callable[[], object] = lambda: None,
        patient: bool = True,
    ) -> Iterator[Any]:
        """The model in the view that its task needs, pinned while the block runs.

        on_load: called with the model's title when it has to be loaded first. on_wait: called now
        and then while others are waited for; what it raises ends the waiting. patient: whether to
        wait for room that others will give back.
        Raises ModelError when it cannot be loaded and OutOfMemory when it does not fit.
        """
        slot, view = self._take(spec, on_load, on_wait, patient), None
        try:
            if slot.dressing:  # of all its users only the one who changed it sees this
                self._dress(slot, spec)
            view = slot.views.get(spec.task)
            if view is None:
                view = self._loaders[spec.kind].view(slot.model, spec.task)
                view = slot.views.setdefault(spec.task, view)
            yield view
        finally:
            view = None  # whoever gets its room next counts on its memory
            with self._changed:
                slot.give_back(threading.get_ident(), spec.work)
                self._touch(slot)
                self._changed.notify_all()

    def load(self, spec: ModelSpec) -> None:
        """Bring a model into memory, where it stays until its room is needed; never waits for room.

        Raises as a loan does.
        """
        with self.borrow(spec, patient=False):
            return

    def held(self) -> list[Held]:
        """The models in memory, most recently used first."""
        with self._changed:
            return [
                Held(
                    *slot.key,
                    slot.title,
                    slot.footprint.held,
                    in_use=slot.is_busy,
                    resting=slot.state is State.RESTING,
                )
                for slot in sorted(self._slots.values(), key=lambda slot: -slot.last_use)
            ]

    def unload(self, kind: str, model_id: str) -> bool:
        """Drop a model that nobody holds; False when it is in use or not in memory."""
        return bool(self._drop(lambda slot: slot.key == (kind, model_id), "asked"))

    def drop_idle(self, seconds: float) -> list[str]:
        """Drop what nobody has held for so long, on the device or resting; the titles."""
        since = time.monotonic() - seconds
        return self._drop(lambda slot: slot.used_at <= since, "idle")

    def clear(self) -> list[str]:
        """Take all that nobody holds off the device, for one who wants it alone; the titles."""
        with self._changed:
            going = [each for each in self._slots.values() if each.is_idle]
            for each in going:
                each.state = State.GOING
        titles = [each.title for each in going]
        self._send_away(going, "exclusive lease")
        return titles

    def _drop(self, wanted: Callable[[Slot], bool], why: str) -> list[str]:
        with self._changed:
            gone = [each for each in self._slots.values() if not each.is_busy and wanted(each)]
            for slot in gone:
                del self._slots[slot.key]
                slot.forget()
            self._changed.notify_all()
        for slot in gone:
            self._journal.record("unload", model=slot.title, bytes=slot.footprint.held, why=why)
            self._journal.evicted("nowhere", why)
        if gone:
            self._release()
        return [slot.title for slot in gone]

    def _take(
        self,
        spec: ModelSpec,
        on_load: Callable[[str], None],
        on_wait: Callable[[], object],
        patient: bool,
    ) -> Slot:
        """The slot with one more user, its model ready; it may have to be dressed."""
        loader = self._loaders[spec.kind]
        known: tuple[str, Footprint] | None = None
        while True:
            with self._changed:
                taken = self._pinned(spec, known, on_wait, patient)
            if taken is not None:
                break
            known = loader.title(spec.id), loader.estimate(spec.id, spec.rungs)
        slot, going = taken
        try:
            self._send_away(going, f"room for {slot.title}")
            if slot.state is State.COMING:
                self._bring(slot, spec, on_load)
        except BaseException:
            self._abandon(slot, spec)
            raise
        return slot

    def _bring(self, slot: Slot, spec: ModelSpec, on_load: Callable[[str], None]) -> None:
        """Load a model that is absent, or wake one that rests."""
        loader, began = self._loaders[spec.kind], time.monotonic()
        on_load(slot.title)
        if slot.model is None:
            event, slot.model = "load", loader.load(spec.id, spec.rungs)
        else:
            event = "wake"
            loader.wake(slot.model, spec.rungs)
        size = loader.measure(slot.model)
        with self._changed:
            slot.settle(size)
            slot.state = State.READY
            self._changed.notify_all()
        seconds = round(time.monotonic() - began, 3)
        self._journal.record(event, model=slot.title, bytes=size, seconds=seconds)

    def _pinned(
        self,
        spec: ModelSpec,
        known: tuple[str, Footprint] | None,
        on_wait: Callable[[], object],
        patient: bool,
    ) -> tuple[Slot, list[Slot]] | None:
        """The slot with one more user, and the idle ones that have to go first.

        known: the model's title and footprint. None when they must be known for an answer. The
        caller holds the lock.
        """
        me, ticket = threading.get_ident(), (object(), time.monotonic())
        holds = any(me in slot.users for slot in self._slots.values())
        budget = self._budget()
        try:
            while True:
                slot = self._slots.get((spec.kind, spec.id))
                same = slot is not None and slot.stands_on(spec.rungs)
                if not (same or known or (slot is not None and slot.is_busy)):
                    return None
                if _is_available(slot, spec) and (holds or self._is_first(ticket)):
                    if slot is not None and (same or known is None):
                        title, size = slot.title, slot.footprint
                    elif known is not None:
                        title, size = known
                    going = self._room(spec, title, size, budget, patient and not holds)
                    if going is not None:
                        return self._admit(spec, title, size, going), going
                if ticket not in self._waiting:
                    self._waiting.append(ticket)
                self._changed.wait(_LOOK_AGAIN)
                on_wait()
        finally:
            if ticket in self._waiting:
                self._waiting.remove(ticket)
                self._changed.notify_all()

    def _admit(self, spec: ModelSpec, title: str, size: Footprint, going: list[Slot]) -> Slot:
        """Make the asking thread a user of the slot; the caller holds the lock."""
        for other in going:
            other.state = State.GOING
        key = (spec.kind, spec.id)
        slot = self._slots.get(key)
        if slot is None:
            slot = self._slots[key] = Slot(key, title, size, outfit=((), spec.rungs, ()))
        elif slot.state is State.RESTING:
            slot.state, slot.footprint = State.COMING, size
            slot.outfit = (slot.outfit[0], spec.rungs, ())  # it rests without its speed-ups
        slot.users[threading.get_ident()] += 1
        slot.work += spec.work
        slot.outfit, slot.dressing = spec.outfit, slot.outfit != spec.outfit
        self._touch(slot)
        return slot

    def _is_first(self, ticket: tuple[object, float]) -> bool:
        """Whether nobody before has waited for long."""
        if not self._waiting or self._waiting[0] is ticket:
            return True
        return ticket[1] - self._waiting[0][1] < _PATIENCE

    def _room(
        self, spec: ModelSpec, title: str, size: Footprint, budget: int, patient: bool
    ) -> list[Slot] | None:
        """The idle slots to take off the device for a loan, None when it is to wait for others.

        Raises OutOfMemory when it would not fit if they were gone, or when waiting is not allowed.
        """
        me, slot = threading.get_ident(), self._slots.get((spec.kind, spec.id))
        there = slot is not None and slot.stands_on(spec.rungs)
        if there and not spec.work:
            return []
        others = [each for each in self._slots.values() if each is not slot]
        own, promised = (slot.on_device, slot.work) if slot is not None else (0, 0)
        promised += sum(each.promised for each in others if me not in each.users)
        # What stands there already may stay, whatever the budget is.
        most, needed = 0 if there else size.most, max(size.held + spec.work, size.most)
        within = budget - sum(each.on_device for each in others)
        free = self._free() + own - promised
        going: list[Slot] = []
        for each in sorted((o for o in others if o.is_idle), key=lambda o: o.last_use):
            if within >= most and free >= needed:
                break
            going.append(each)
            within += each.on_device
            free += each.on_device
        if within >= most and free >= needed:
            return going
        if patient and most <= budget and any(each.is_busy for each in others):
            return None
        if within < most:
            within = budget - sum(each.on_device for each in others)
            raise OutOfMemory(self._refusal(title, most, budget, within), most, within)
        free = max(0, free)
        raise OutOfMemory(
            f"{title} needs {mb(needed)} with what it works on, but {mb(free)} of the device's "
            "memory can be had; choose a smaller size or batch, or close other programs.",
            needed,
            free,
        )

    def _send_away(self, going: list[Slot], why: str) -> None:
        """Take slots that are going off the device: to main memory, or altogether."""
        dropped = False
        for slot in going:
            rests = False
            try:
                if self._may_rest(slot):
                    self._loaders[slot.key[0]].rest(slot.model)
                    rests = True
            except Exception as error:  # it was to leave the device anyway
                self._journal.record("lost", model=slot.title, why=repr(error))
            finally:
                with self._changed:
                    slot.state = State.RESTING
                    if not rests:
                        del self._slots[slot.key]
                        slot.forget()
                    self._changed.notify_all()
            dropped = dropped or not rests
            event = "rest" if rests else "unload"
            self._journal.record(event, model=slot.title, bytes=slot.footprint.held, why=why)
            self._journal.evicted("memory" if rests else "nowhere", why)
        if dropped:
            self._release()

    def _may_rest(self, slot: Slot) -> bool:
        """Make room for a slot among those that rest; False when it is too large for that."""
        budget = self._resting()
        if slot.footprint.held > budget:
            return False
        with self._changed:
            resting = sorted(
                (item for item in self._slots.items() if item[1].state is State.RESTING),
                key=lambda item: item[1].last_use,
            )
            taken = sum(each.footprint.held for _, each in resting)
            for key, each in resting:
                if taken + slot.footprint.held <= budget:
                    break
                del self._slots[key]
                each.forget()
                taken -= each.footprint.held
        return True

    def _dress(self, slot: Slot, spec: ModelSpec) -> None:
        """Change what a slot's model wears; whoever else wants the model waits meanwhile."""
        loader = self._loaders[spec.kind]
        outfit: Outfit = spec.outfit
        began = time.monotonic()
        try:
            loader.dress(slot.model, spec)
        except BaseException:
            outfit = ((), (), ())
            self._undress(slot, spec)
            raise
        finally:
            size = loader.measure(slot.model)
            with self._changed:
                slot.outfit, slot.dressing = outfit, False
                slot.settle(size)
                self._changed.notify_all()
        names = [*(worn.name for worn in spec.adapters), *spec.rungs, *spec.speedups]
        seconds = round(time.monotonic() - began, 3)
        self._journal.record("dress", model=slot.title, wears=",".join(names), seconds=seconds)

    def _undress(self, slot: Slot, spec: ModelSpec) -> None:
        """Take off what may be half put on; a model that cannot be mended is forgotten."""
        try:
            bare = replace(spec, adapters=(), rungs=(), speedups=())
            self._loaders[spec.kind].dress(slot.model, bare)
        except Exception as error:
            self._journal.record("lost", model=slot.title, why=repr(error))
            with self._changed:
                self._slots.pop(slot.key, None)

    def _touch(self, slot: Slot) -> None:
        """Make the slot the one used last; the caller holds the lock."""
        self._clock += 1
        slot.last_use, slot.used_at = self._clock, time.monotonic()

    def _abandon(self, slot: Slot, spec: ModelSpec) -> None:
        """Forget a loan that failed, so that whoever waits for the model tries again."""
        with self._changed:
            slot.give_back(threading.get_ident(), spec.work)
            if slot.state is State.COMING or slot.dressing:
                del self._slots[slot.key]
            self._changed.notify_all()
        self._release()

    def _refusal(self, title: str, needed: int, budget: int, free: int) -> str:
        holders = ", ".join(
            f"{slot.title} {mb(slot.footprint.held)}"
            for slot in self._slots.values()
            if slot.on_device
        )
        return (
            f"{title} needs {mb(needed)}, but {mb(max(0, free))} of the budget of {mb(budget)} "
            f"is free (held by: {holders or 'nothing'}); wait for running work, choose a smaller "
            "model, or raise the memory budget (ATELIER_MEMORY_BUDGET)."
        )


def _is_available(slot: Slot | None, spec: ModelSpec) -> bool:
    """Whether a slot can be had now as it is or is to be."""
    if slot is None or slot.state is State.RESTING:
        return True
    ready = slot.state is State.READY and not slot.dressing
    return ready and (not slot.users or slot.outfit == spec.outfit)
