"""Who was found lately by a session or a token, so that not every request has to look them up."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable

from studio.people import Person

SECONDS = 2.0
"""After which somebody is looked up again: so soon what a command changes holds for a server."""
_REMEMBERED = 10_000


class Recognised:
    """People by the hash of what they sent; all are forgotten with every change of this process."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, tuple[Person, float]] = OrderedDict()
        self._changes = 0
        self._lock = threading.Lock()

    def get(self, key_hash: str) -> Person | None:
        """Who was found by it lately; None for nobody, or when that is to be looked up."""
        with self._lock:
            person, until = self._known.get(key_hash, (None, 0.0))
            return person if time.monotonic() < until else None

    def found(self, key_hash: str, look: Callable[[], Person | None]) -> Person | None:
        """Who is found by it now."""
        with self._lock:
            changes = self._changes
        person = look()
        with self._lock:
            # What was changed in the middle of the look may not have been seen by it.
            if person is not None and changes == self._changes:
                self._known[key_hash] = person, time.monotonic() + SECONDS
                self._known.move_to_end(key_hash)
                while len(self._known) > _REMEMBERED:
                    self._known.popitem(last=False)
        return person

    def forget(self) -> None:
        """Look everybody up again: something about people, sessions or tokens was changed."""
        with self._lock:
            self._changes += 1
            self._known.clear()
