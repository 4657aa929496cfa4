"""The workers on the nodes of a cluster: as many as there are places, while nodes come and go."""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from studio.cluster.node import Whereabouts
from studio.device.remote import Remote
from studio.jobs.worker import Worker

log = logging.getLogger(__name__)
_LOOK_SECONDS = 2.0
_HOPELESS_SECONDS = 60.0
"""How long one that cannot work is kept: its node may be mended meanwhile."""
_PART_SECONDS = 5.0


@dataclass(frozen=True)
class Hand:
    """One worker and its engine.

    resource: what it takes of a node. places: where its processes were, the last one's last.
    since: of the clock's start.
    """

    resource: str
    engine: Remote
    worker: Worker
    places: list[Whereabouts]
    since: float = field(default_factory=time.monotonic)


class Roster:
    """Hires a hand for each place, and lets those go that have none any more.

    places: how many there are by resource. hire: makes a hand that is at work. part: ends one.
    """

    def __init__(
        self,
        places: Callable[[], Mapping[str, int]],
        hire: Callable[[str], Hand],
        part: Callable[[Hand, float], object],
    ):
        self._places = places
        self._hire = hire
        self._part = part
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="roster", daemon=True)
        self.hands: list[Hand] = []

    def start(self) -> None:
        """Begin to look, at once and then every few seconds."""
        self._thread.start()

    def stop(self) -> None:
        """Hire nobody any more."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join(_PART_SECONDS)

    def look(self) -> None:
        """Hire and let go until all places are taken by hands that may work there."""
        for hand in [*self.hands]:
            if hand.engine.is_hopeless and time.monotonic() - hand.since > _HOPELESS_SECONDS:
                self._let_go(hand)
        for resource, count in self._places().items():
            here = [hand for hand in self.hands if hand.resource == resource]
            # One that works has its place, whatever the count says.
            waiting = [hand for hand in here if not hand.engine.is_up]
            for hand in waiting[: max(0, len(here) - count)]:
                self._let_go(hand)
            for _ in range(count - len(here)):
                self.hands.append(self._hire(resource))

    def _let_go(self, hand: Hand) -> None:
        log.warning("A worker of the cluster is let go: there is no place for it any more.")
        self.hands.remove(hand)
        self._part(hand, _PART_SECONDS)

    def _loop(self) -> None:
        trouble: type[Exception] | None = None
        while not self._closing.is_set():
            try:
                self.look()
            except Exception as error:  # of Ray, whose head may be away for hours: said once
                if type(error) is not trouble:
                    log.exception("The nodes of the cluster could not be looked at")
                trouble = type(error)
            else:
                if trouble:
                    log.info("The nodes of the cluster can be looked at again.")
                trouble = None
            self._closing.wait(_LOOK_SECONDS)
