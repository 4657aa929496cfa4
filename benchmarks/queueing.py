"""A simulation of the line of jobs: people who ask, cards that make, and one server between them.

Discrete events on a heap. Who asks thinks for a while, asks for one job, waits for its end, and
thinks again; some ask for many at once. The line is served round robin over people; a card takes
what stands first of those whose model it holds, else of those whose model no idle card holds, and
passes the very first over three times at most, as `studio/jobs/choosing.py` does. All that the
server does for a job, it does one thing at a time.
"""

import heapq
import itertools
import random
import statistics
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field

_LOOKED_AT = 100
_PASSED_OVER = 3
"""By each card."""


@dataclass(frozen=True)
class Lab:
    """What is simulated; seconds throughout.

    think: mean time from one's picture to one's next wish. service: draws what a job takes once it
    is begun. load: for bringing a model to a card. models: of which each job wants one, the n-th as
    often as 1/n. held: models that a card holds. server: what the server works on a job, all told.
    eager: how many of the people ask for `many` jobs at once. fair: whether people are served in
    turn, and not jobs as they came.
    """

    people: int
    cards: int
    think: float
    service: Callable[[random.Random], float]
    load: float = 0.0
    models: int = 1
    held: int = 1
    server: float = 0.0
    eager: int = 0
    many: int = 1
    fair: bool = True


@dataclass
class Outcome:
    """What came of it, without the first fifth of the time; waits: of whoever asked for one job."""

    seconds: float
    jobs: int = 0
    waits: list[float] = field(default_factory=list)
    busy: float = 0.0
    loads: int = 0
    served: float = 0.0

    @property
    def rate(self) -> float:
        """Jobs a second."""
        return self.jobs / self.seconds

    @property
    def mean(self) -> float:
        """Seconds that one job waits to be begun."""
        return statistics.fmean(self.waits)

    @property
    def late(self) -> float:
        """The same for the one in twenty that waits longest."""
        return statistics.quantiles(self.waits, n=20)[-1]


@dataclass
class _Card:
    held: OrderedDict[int, None] = field(default_factory=OrderedDict)
    is_idle: bool = True


@dataclass(frozen=True, eq=False)
class _Job:
    person: int
    model: int
    asked: float
    is_one_of_many: bool


class Simulation:
    """One run; seed: of all that is drawn."""

    def __init__(self, lab: Lab, seconds: float, seed: int):
        self._lab = lab
        self._until = seconds
        self._from = seconds / 5
        self._random = random.Random(seed)
        self._weights = [1 / (n + 1) for n in range(lab.models)]
        self._cards = [_Card() for _ in range(lab.cards)]
        self._events: list[tuple[float, int, Callable[[float], None]]] = []
        self._numbers = itertools.count()
        self._waiting: OrderedDict[int, deque[_Job]] = OrderedDict()
        self._left = [0] * lab.people
        self._free_at = 0.0
        self._first: _Job | None = None
        self._passed = 0
        self.outcome = Outcome(seconds - self._from)

    def run(self) -> Outcome:
        """Let the time pass."""
        for person in range(self._lab.people):
            self._think(0.0, person)
        while self._events and self._events[0][0] <= self._until:
            now, _, call = heapq.heappop(self._events)
            call(now)
        return self.outcome

    def _at(self, when: float, call: Callable[[float], None]) -> None:
        heapq.heappush(self._events, (when, next(self._numbers), call))

    def _think(self, now: float, person: int) -> None:
        pause = self._random.expovariate(1 / self._lab.think)
        self._at(now + pause, lambda then: self._ask(then, person))

    def _ask(self, now: float, person: int) -> None:
        count = self._lab.many if person < self._lab.eager else 1
        self._left[person] = count
        (model,) = self._random.choices(range(self._lab.models), self._weights)
        for _ in range(count):
            job = _Job(person, model, now, count > 1)
            # A third of the server's work is before a job waits, the rest is done while it runs.
            seen = self._served(now, self._lab.server / 3)
            self._at(seen, lambda then, job=job: self._arrive(then, job))

    def _served(self, now: float, seconds: float) -> float:
        """When the server, which does one thing at a time, has worked so long."""
        self._free_at = max(now, self._free_at) + seconds
        if now >= self._from:
            self.outcome.served += seconds
        return self._free_at

    def _arrive(self, now: float, job: _Job) -> None:
        # A person who had none in the line is behind all who have.
        key = job.person if self._lab.fair else next(self._numbers)
        self._waiting.setdefault(key, deque()).append(job)
        for card in sorted(self._idle(), key=lambda card: job.model not in card.held):
            self._take(now, card)
            return

    def _idle(self) -> list[_Card]:
        return [card for card in self._cards if card.is_idle]

    def _take(self, now: float, card: _Card) -> None:
        job = self._chosen(card)
        if job is None:
            card.is_idle = True
            return
        card.is_idle = False
        load = 0.0
        if job.model not in card.held:
            load = self._lab.load
            if len(card.held) >= self._lab.held:
                card.held.popitem(last=False)
        card.held[job.model] = None
        card.held.move_to_end(job.model)
        seconds = load + self._lab.service(self._random)
        if now >= self._from:
            self.outcome.jobs += 1
            if not job.is_one_of_many:
                self.outcome.waits.append(now - job.asked)
            self.outcome.busy += min(seconds, self._until - now)
            self.outcome.loads += load > 0
        self._at(now + seconds, lambda then: self._end(then, card, job))

    def _end(self, now: float, card: _Card, job: _Job) -> None:
        done = self._served(now, 2 * self._lab.server / 3)
        self._at(done, lambda then: self._take(then, card))
        self._left[job.person] -= 1
        if not self._left[job.person]:
            self._at(done, lambda then: self._think(then, job.person))

    def _chosen(self, card: _Card) -> _Job | None:
        """The job that a card takes, which goes out of the line."""
        line = {jobs[0]: key for key, jobs in itertools.islice(self._waiting.items(), _LOOKED_AT)}
        if not line:
            return None
        first = next(iter(line))
        if first is not self._first:
            self._first, self._passed = first, 0
        chosen = first
        if self._passed < _PASSED_OVER * self._lab.cards:
            there = {m for other in self._idle() if other is not card for m in other.held}
            chosen = next(
                (job for job in line if job.model in card.held),
                next((job for job in line if job.model not in there), first),
            )
        self._passed += chosen is not first
        key = line[chosen]
        jobs = self._waiting.pop(key)
        jobs.popleft()
        if jobs:
            self._waiting[key] = jobs  # at the end: the others come first
        return chosen


def simulated(lab: Lab, seconds: float, seed: int = 1) -> Outcome:
    """What comes of a lab in so much time."""
    return Simulation(lab, seconds, seed).run()
