"""The devices of a cluster, put together: each a process that Ray places, and who takes jobs."""

from collections.abc import Callable

from studio.cluster.joining import join, leave, places
from studio.cluster.placed import GPU, Whereabouts, placed
from studio.cluster.roster import Hand, Roster
from studio.device.child import Child
from studio.device.messages import Begin
from studio.device.remote import Remote
from studio.parts import OnDevice, Parts
from studio.workers import Workers


class Crew:
    """All workers on the nodes of a cluster.

    address: of the cluster, which is joined. begin: what a device's process is told first, by the
    device. lost: told of each that died, by its name and why. does: what an engine does. Raises
    SettingsError when the cluster cannot be joined.
    """

    def __init__(
        self,
        address: str,
        parts: Parts,
        workers: Workers,
        begin: Callable[[str], Begin],
        lost: Callable[[str, str], object],
        does: Callable[[Remote], OnDevice],
    ):
        self._parts = parts
        self._workers = workers
        self._begin = begin
        self._lost = lost
        self._does = does
        self.roster = Roster(places, self._hire, self._part)
        join(address)

    @property
    def engines(self) -> tuple[Remote, ...]:
        """Of the workers that there are at the moment."""
        return tuple(hand.engine for hand in self.roster.hands)

    def start(self) -> None:
        """Hire for all places that there are, and from now on for all that come."""
        self.roster.start()

    def stop(self) -> None:
        """Hire nobody any more, and end what was placed."""
        self.roster.stop()
        for engine in self.engines:
            engine.stop()

    def leave(self) -> None:
        """Let go of the cluster."""
        leave()

    def _hire(self, resource: str) -> Hand:
        had: list[Whereabouts] = []
        child = Child(
            self._begin("auto" if resource == GPU else "cpu"),
            self._parts.settings.hang_seconds,
            self._parts.journal,
            lambda why: self._lost(had[-1].host, why),
            placed(resource, had.append),
        )
        engine = Remote(child, self._parts.journal, self._parts.inputs)
        child.start()
        return Hand(resource, engine, self._workers.add(engine, self._does(engine)), had)

    def _part(self, hand: Hand, seconds: float) -> None:
        hand.worker.close()
        hand.engine.stop()
        self._workers.remove(hand.worker, seconds)
