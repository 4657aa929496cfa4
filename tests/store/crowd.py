"""Devices and people who send jobs at random, and what each job was passed over by."""

import random
from collections import Counter
from collections.abc import Callable
from itertools import count

from studio.store.turns import Place, in_turn, takeable


class Crowd:
    """passed: for each waiting job, how many jobs of a person were begun since it came."""

    def __init__(self, draw: random.Random):
        self._draw, self._clock = draw, count()
        self.waiting: list[Place] = []
        self.running: list[Place] = []
        self.passed: dict[str, Counter[int]] = {}
        self._begun: dict[int, float] = {}

    def send(self, person: int) -> None:
        """Have a person send a job."""
        number = next(self._clock)
        self.waiting.append(Place(f"{person}-{number}", number, person, "errand"))
        self.passed[self.waiting[-1].id] = Counter()

    def begin(
        self, choose: Callable[[list[Place]], Place] = lambda takeable: takeable[0]
    ) -> tuple[Place, Counter[int]]:
        """Begin a job: it, and whose jobs were begun while it waited."""
        running = Counter(place.owner for place in self.running)
        taken = choose(takeable(in_turn(self.waiting, running, self._begun)))
        self.waiting.remove(taken)
        self.running.append(taken)
        self._begun[taken.owner] = next(self._clock)
        for other in self.waiting:
            self.passed[other.id][taken.owner] += 1
        return taken, self.passed.pop(taken.id)

    def end(self) -> None:
        """End one of the jobs that run."""
        self.running.remove(self._draw.choice(self.running))
