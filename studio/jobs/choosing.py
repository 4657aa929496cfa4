"""Which of the waiting jobs a device takes, where there are several devices.

Each takes the next in turn of those whose model it holds already, else the next of those whose
model no other idle device holds. So that nobody waits for ever, the next of all is passed over
three times by each device at most, and no job more than once by jobs of the same other person: a
device's models earn nobody more turns than that. (With three times by all devices, a third of the
work of 64 of them would be spent on loading models: see docs/scaling.md.)
"""

import json
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from studio.models.slots import InMemory
from studio.store.jobs import JobRow

PASSED_OVER = 3


_REMEMBERED = 1000


class Chooser:
    """Remembers for all devices whose jobs were taken before those whose turn it was.

    devices: how many there are at the moment.
    """

    def __init__(self, devices: Callable[[], int] = lambda: 1) -> None:
        self._devices = devices
        self._lock = threading.Lock()
        self._passed: OrderedDict[str, list[int]] = OrderedDict()

    def choose(
        self, waiting: list[JobRow], models: InMemory, idle: Sequence[InMemory] = ()
    ) -> JobRow | None:
        """The job that a device takes, None to leave all to those that have their models.

        waiting: the next first. models: that it may hold. idle: those of devices without work.
        """
        here = _on_device(models)
        there = set().union(*map(_on_device, idle)) - here
        with self._lock:
            chosen = self._held(waiting, here)
            if chosen is None:  # those before it have somebody who takes them at once
                return next((row for row in waiting if _model(row) not in there), None)
            for row in waiting[: waiting.index(chosen)]:
                if row is waiting[0] or row.owner != chosen.owner:
                    self._passed.setdefault(row.id, []).append(chosen.owner)
            self._passed.pop(chosen.id, None)
            while len(self._passed) > _REMEMBERED:
                self._passed.popitem(last=False)
        return chosen

    def _held(self, waiting: list[JobRow], here: set[str]) -> JobRow | None:
        """The job that may be taken for its model's sake, or that was passed over often enough."""
        first, barred = waiting[0], set[int]()
        if len(self._passed.get(first.id, ())) >= PASSED_OVER * self._devices():
            return first
        for row in waiting:
            if _model(row) in here and (row.owner == first.owner or row.owner not in barred):
                return row
            barred.update(self._passed.get(row.id, ()))
        return None


def next_in_turn(waiting: list[JobRow]) -> JobRow:
    """The job whose turn it is."""
    return waiting[0]


@dataclass(frozen=True)
class Choice:
    """When a worker takes a job, and which; is_free: whether it could begin one now.

    choose: None when it leaves those that wait to others.
    """

    is_free: Callable[[], bool]
    choose: Callable[[list[JobRow]], JobRow | None] = next_in_turn


def _on_device(models: InMemory) -> set[str]:
    return {each.id for each in models.held() if not each.resting}


def _model(row: JobRow) -> str:
    """The model that a job's request names, "" where it names none."""
    return str(json.loads(row.request).get("model", ""))
