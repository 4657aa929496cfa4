"""Who may use a device: several side by side, or one alone.

Generation and reading share a device as far as its memory goes, which the model manager sees to.
Training takes it alone: it waits until those who have it give it back, lets idle models leave,
and hands it back. Whoever comes while one waits to be alone waits behind it. A lease whose holder
has died is taken back by the next who looks.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import psutil

from studio.models.journal import Journal

_LOOK_AGAIN = 1.0
"""Seconds after which one who waits looks whether the holders are still alive."""


@dataclass(frozen=True)
class Holder:
    """Who asks for a device: what people see of it, its job, and how it is known to be alive."""

    title: str
    job_id: str = ""
    is_alive: Callable[[], bool] = field(default=lambda: True, compare=False)


@dataclass(frozen=True)
class Lease:
    """What a holder has, or waits for.

    since: when it was given or asked for. until: when it should be free, 0 where nobody can tell.
    Both in seconds since 1970.
    """

    holder: Holder
    alone: bool
    since: float
    until: float = 0.0
    waits: bool = False


def this_thread() -> Callable[[], bool]:
    """Whether the thread that asks now is still alive."""
    return threading.current_thread().is_alive


def process(pid: int) -> Callable[[], bool]:
    """Whether a process that runs now still does; another one with its number is not it."""
    try:
        started = psutil.Process(pid).create_time()
    except psutil.Error:
        return lambda: False

    def is_alive() -> bool:
        try:
            found = psutil.Process(pid)
            return found.create_time() == started and found.status() != psutil.STATUS_ZOMBIE
        except psutil.Error:
            return False

    return is_alive


class Broker:
    """Leases of one device.

    evict: takes idle models off the device for one who wants it alone.
    """

    def __init__(self, evict: Callable[[], object], journal: Journal):
        self._evict = evict
        self._journal = journal
        self._changed = threading.Condition()
        self._held: dict[int, Lease] = {}
        self._waiting: deque[tuple[int, Lease]] = deque()
        self._number = 0

    @contextmanager
    def lease(
        self,
        holder: Holder,
        *,
        alone: bool = False,
        on_wait: Callable[[list[Lease]], None] = lambda held: None,
    ) -> Iterator[Callable[[float], None]]:
        """The device for a block; the value tells how many seconds it will still take.

        on_wait: called every second with the leases that are waited for; what it raises, such as
        Cancelled, ends the waiting.
        """
        number = self.take(holder, alone=alone, on_wait=on_wait)
        try:
            yield lambda seconds: self.expect(number, seconds)
        finally:
            self.give_back(number)

    def take(
        self,
        holder: Holder,
        *,
        alone: bool = False,
        on_wait: Callable[[list[Lease]], None] = lambda held: None,
    ) -> int:
        """Wait for a lease; its number, to be given back by whoever outlives the caller."""
        began = time.time()
        with self._changed:
            self._number += 1
            number = self._number
            self._waiting.append((number, Lease(holder, alone, began, waits=True)))
        try:
            while True:
                with self._changed:
                    self._reclaim()
                    ahead = self._ahead(number, alone)
                    if not ahead:
                        self._held[number] = Lease(holder, alone, time.time())
                        break
                on_wait(ahead)
                with self._changed:
                    if self._ahead(number, alone):
                        self._changed.wait(_LOOK_AGAIN)
        finally:
            with self._changed:
                self._waiting = deque(each for each in self._waiting if each[0] != number)
                self._changed.notify_all()
        if alone:
            try:
                self._evict()
            except BaseException:
                self.give_back(number)
                raise
        waited = round(time.time() - began, 3)
        kind = "alone" if alone else "shared"
        self._journal.record("lease", holder=holder.title, kind=kind, seconds=waited)
        return number

    def adopt(self, holder: Holder) -> int:
        """The device alone for one who is at work on it already, whoever else has it; its number.

        It is a fact and no question: a run that outlived its server, or begun by another process.
        """
        with self._changed:
            self._number += 1
            number = self._number
            self._held[number] = Lease(holder, True, time.time())
        self._evict()
        self._journal.record("adopt", holder=holder.title)
        return number

    def give_back(self, number: int) -> None:
        """End a lease; one that was taken back already stays so."""
        with self._changed:
            lease = self._held.pop(number, None)
            self._changed.notify_all()
        if lease is not None:
            held = round(time.time() - lease.since, 3)
            self._journal.record("return", holder=lease.holder.title, seconds=held)

    def expect(self, number: int, seconds: float) -> None:
        """Note that a lease will be over in so many seconds."""
        with self._changed:
            if number in self._held:
                lease = self._held[number]
                self._held[number] = Lease(
                    lease.holder, lease.alone, lease.since, time.time() + seconds
                )

    def leases(self) -> list[Lease]:
        """All leases, those that are held first, then those that wait, in their order."""
        with self._changed:
            self._reclaim()
            return [*self._held.values(), *(lease for _, lease in self._waiting)]

    def _ahead(self, number: int, alone: bool) -> list[Lease]:
        """The leases that one who waits has to wait for; the caller holds the lock."""
        held = [lease for lease in self._held.values() if alone or lease.alone]
        before = [lease for other, lease in self._waiting if other < number]
        return held + [lease for lease in before if alone or lease.alone]

    def _reclaim(self) -> None:
        """Take back what the dead hold or wait for; the caller holds the lock."""
        for number, lease in list(self._held.items()):
            if not lease.holder.is_alive():
                del self._held[number]
                self._journal.record("reclaim", holder=lease.holder.title)
                self._changed.notify_all()
        self._waiting = deque(each for each in self._waiting if each[1].holder.is_alive())
