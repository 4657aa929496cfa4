"""How long the rest will take, from the steps so far."""

import time
from collections.abc import Callable

_SMOOTHING = 0.2


class Pace:
    """Seconds left of a job from a moving average of its steps' time.

    total: of the weights of all steps, one each where all are equal.
    """

    def __init__(self, total: float, clock: Callable[[], float] = time.monotonic):
        self._left = total
        self._clock = clock
        self._last = clock()
        self._average: float | None = None

    def step(self, weight: float = 1) -> float:
        """Count one step; returns the seconds that all remaining ones will take."""
        now = self._clock()
        taken, self._last = (now - self._last) / weight, now
        if self._average is None:
            self._average = taken
        else:
            self._average += _SMOOTHING * (taken - self._average)
        self._left -= weight
        return self.seconds_left

    def leave_out(self, weight: float) -> None:
        """Steps that will not happen after all."""
        self._left -= weight
        self._last = self._clock()

    @property
    def seconds_left(self) -> float:
        """Seconds for the remaining steps at the present pace."""
        return max(0, self._left) * (self._average or 0.0)
