"""How far a job is that does many like things, one after the other."""

import time
from collections.abc import Callable

from studio.events import Event, Progress


class Counted:
    """Tells how many things are done, and how long the others will take.

    emit: takes the events. there: how many are done before it begins, and so tell nothing of its
    pace.
    """

    def __init__(self, emit: Callable[[Event], object], label: str, there: int = 0):
        self._emit = emit
        self._label = label
        self.begin(there)

    def begin(self, there: int) -> None:
        """The work begins now: so many things were there already."""
        self._there, self._began = there, time.monotonic()

    def tell(self, done: int, of: int, share: float = 0.0) -> None:
        """So many of so many are done. share: of the one at work."""
        own = done + share - self._there
        left = of - done - share
        self._emit(
            Progress(
                step=done,
                steps=of,
                item=1,
                items=1,
                seconds_left=(time.monotonic() - self._began) * left / own if own > 0 else None,
                label=self._label,
                unit="picture",
            )
        )
