"""Which runs have the device: from before they begin until their process has ended."""

import logging
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

from studio.models.broker import Broker, Holder, Lease, this_thread
from studio.training.launch.process import is_running
from studio.training.run_folder import RunFolder

log = logging.getLogger(__name__)
_TITLE = "a training"
_LOOK_SECONDS = 5.0


class DeviceHold:
    """Leases of runs, each bound to its process, so that they outlive jobs and servers."""

    def __init__(self, broker: Broker):
        self._broker = broker
        self._held: dict[Path, int] = {}
        self._adopted: set[Path] = set()
        self._lock = threading.Lock()

    def adopt(self, runs: Iterable[RunFolder]) -> None:
        """Leases for the runs that go on and have none: their server has ended, or had none."""
        for run in runs:
            goes_on = is_running(run)
            if goes_on and run.path not in self._held:
                self.keep(run)
                self._adopted.add(run.path)
            elif not goes_on:
                self._drop_adopted(run)

    def take(self, run: RunFolder, job_id: str, on_wait: Callable[[list[Lease]], None]) -> None:
        """Wait until the run has the device alone; what on_wait raises ends the waiting."""
        holder = Holder(_TITLE, job_id, this_thread())
        self._put(run, self._broker.take(holder, alone=True, on_wait=on_wait))

    def keep(self, run: RunFolder, job_id: str = "") -> None:
        """Bind the lease of a run to its process, for it has begun."""
        # The new one is there before the old one goes, or another could come in between.
        self._put(run, self._broker.adopt(Holder(_TITLE, job_id, lambda: is_running(run))))

    def give_back(self, run: RunFolder) -> None:
        """End a run's lease, where it has one."""
        self._put(run, None)

    def expect(self, run: RunFolder, seconds: float) -> None:
        """Note that a run will be over in so many seconds."""
        if (number := self._held.get(run.path)) is not None:
            self._broker.expect(number, seconds)

    def _put(self, run: RunFolder, number: int | None) -> None:
        with self._lock:
            self._adopted.discard(run.path)
            old = self._held.pop(run.path, None)
            if number is not None:
                self._held[run.path] = number
        if old is not None:
            self._broker.give_back(old)

    def _drop_adopted(self, run: RunFolder) -> None:
        """End the lease of a run that no job of this server has followed."""
        with self._lock:
            ours = run.path in self._adopted
            self._adopted.discard(run.path)
            number = self._held.pop(run.path, None) if ours else None
        if number is not None:
            self._broker.give_back(number)


class Adopting:
    """A thread that sees to it that runs which another process has begun have the device, too.

    adopt: gives them their leases.
    """

    def __init__(self, adopt: Callable[[], None]):
        self._adopt = adopt
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="adopting", daemon=True)

    def start(self) -> None:
        """Look at once, before anybody else takes the device, and then again and again."""
        self._adopt()
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join()

    def _loop(self) -> None:
        while not self._closing.wait(_LOOK_SECONDS):
            try:
                self._adopt()
            except OSError as error:  # the disk may be away for a moment
                log.warning("The runs could not be looked through: %s", error)
