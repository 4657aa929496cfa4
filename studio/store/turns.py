"""Whose turn it is: the one order in which waiting jobs are taken, counted and told of.

Raised jobs come first, the earliest raised before the others. Then people take turns. The turn of a
job is the number of its person's jobs that run, and of those of theirs that wait before it, plus
one: so the n-th job of a person comes after the jobs of everybody who has fewer. Among jobs of the
same turn that person's comes first whose last job was begun the longest ago (who never had one
begun before all), and then the job that came first. Jobs of one person thus keep their order, and
while one device works, nobody has two jobs begun while somebody else's waits for its first turn.

All is counted within one lane: the kinds of jobs that the same workers take.
"""

import heapq
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

_LATER = 1e12
"""Seconds since 1970 after which nothing was begun yet."""


@dataclass(frozen=True)
class Place:
    """Decides when a waiting job is taken; number: of its row, raised_at: None if it is not."""

    id: str
    number: int
    owner: int
    kind: str
    raised_at: float | None = None


def in_turn(
    waiting: Iterable[Place], running: Mapping[int, int], begun: Mapping[int, float]
) -> list[tuple[int, Place]]:
    """Waiting jobs of a lane in the order in which they are taken, each with its turn, 0 if raised.

    running: how many jobs of a person run. begun: when the last job of a person was begun.
    """
    places = sorted(waiting, key=lambda each: each.number)
    raised = [place for place in places if place.raised_at is not None]
    raised.sort(key=lambda each: each.raised_at or 0.0)
    queues: dict[int, deque[Place]] = defaultdict(deque)
    for place in places:
        if place.raised_at is None:
            queues[place.owner].append(place)
    order = [(0, place) for place in raised]
    # The next of each person; whoever has one taken meanwhile is served later than all before.
    heads = [
        (running.get(owner, 0) + 1, begun.get(owner, 0.0), own[0].number, owner)
        for owner, own in queues.items()
    ]
    heapq.heapify(heads)
    while heads:
        turn, _, _, owner = heads[0]
        order.append((turn, queues[owner].popleft()))
        if own := queues[owner]:
            heapq.heapreplace(heads, (turn + 1, _LATER + len(order), own[0].number, owner))
        else:
            heapq.heappop(heads)
    return order


def takeable(order: Sequence[tuple[int, Place]]) -> list[Place]:
    """Those among which a device may choose without making anybody wait longer than is fair.

    They are the jobs of whoever is next, and those of others that have the same turn; of a raised
    job there is no choice. order: as `in_turn` gives it.
    """
    if not order:
        return []
    turn, first = order[0]
    if not turn:
        return [first]
    return [place for each, place in order if each == turn or place.owner == first.owner]
