"""Which pictures each step sees, and with what chance: all of it follows from the step's number.

So a run that goes on after a kill, on more devices, or with smaller batches sees the same.
"""

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Slot:
    """One picture of a step. place: among the examples. seed: of all its chances.

    prior: it is one of the class, whose loss counts apart.
    """

    place: int
    seed: int
    prior: bool = False


class Plan:
    """Batches over epochs: each picture as often as it repeats, shapes together where possible.

    buckets: of each example, what must be alike in a batch. repeats: of each. batch: pictures of a
    step. prior: how many pictures of the class there are; each of the subject then has one beside
    it. The class's pictures stand after the others.
    """

    def __init__(
        self,
        buckets: Sequence[object],
        repeats: Sequence[int],
        batch: int,
        seed: int,
        prior: int = 0,
    ):
        self._batch = batch
        self._seed = seed
        self._prior = prior
        self._count = len(buckets)
        self._of: dict[object, list[int]] = defaultdict(list)
        for place, (bucket, times) in enumerate(zip(buckets, repeats, strict=True)):
            self._of[bucket] += [place] * times
        total = sum(len(places) for places in self._of.values())
        self.steps_an_epoch = -(-total // batch)
        self._epoch: tuple[int, list[list[int]]] = (-1, [])

    def step(self, number: int) -> list[Slot]:
        """The slots of a step, counted from 0; with a prior, half of them are the class's."""
        epoch, at = divmod(number, self.steps_an_epoch)
        if self._epoch[0] != epoch:
            self._epoch = epoch, self._batches(epoch)
        places = self._epoch[1][at]
        slots = [
            Slot(place, seed_of(self._seed, number, index)) for index, place in enumerate(places)
        ]
        if self._prior:
            for index in range(len(places)):
                place = self._prior_place(number * self._batch + index)
                slots.append(
                    Slot(place, seed_of(self._seed, number, self._batch + index), prior=True)
                )
        return slots

    def _batches(self, epoch: int) -> list[list[int]]:
        """An epoch's batches: whole ones of one bucket, and mixed ones of what is left."""
        chance = np.random.default_rng((self._seed, epoch))
        batches, rest = [], []
        for places in self._of.values():
            order = [places[each] for each in chance.permutation(len(places))]
            whole = len(order) // self._batch * self._batch
            batches += [order[i : i + self._batch] for i in range(0, whole, self._batch)]
            rest += order[whole:]
        if short := -len(rest) % self._batch:
            everything = [place for places in self._of.values() for place in places]
            rest += [everything[each] for each in chance.integers(0, len(everything), short)]
        # Those of one shape stay together, so that they still go through the model at once.
        batches += [rest[i : i + self._batch] for i in range(0, len(rest), self._batch)]
        return [batches[each] for each in chance.permutation(len(batches))]

    def _prior_place(self, number: int) -> int:
        """The picture of the class that comes at a number: all of them in turn, shuffled."""
        turn, at = divmod(number, self._prior)
        order = np.random.default_rng((self._seed, 1, turn)).permutation(self._prior)
        return self._count + int(order[at])


def shared(slots: Sequence[Slot], process: int, processes: int) -> list[Slot]:
    """The slots of one process: every so many-th of the subject's, and of the class's."""
    subject = [slot for slot in slots if not slot.prior]
    prior = [slot for slot in slots if slot.prior]
    return subject[process::processes] + prior[process::processes]


def parts(
    slots: Sequence[Slot], buckets: Sequence[object], micro_batch: int
) -> list[tuple[Slot, ...]]:
    """Slots that go through the model at once: of one shape and sort, at most micro_batch."""
    alike: dict[tuple[object, bool], list[Slot]] = defaultdict(list)
    for slot in slots:
        alike[buckets[slot.place], slot.prior].append(slot)
    return [
        tuple(group[i : i + micro_batch])
        for group in alike.values()
        for i in range(0, len(group), micro_batch)
    ]


def seed_of(*parts: object) -> int:
    """A seed below 2**63: a hash, so that no two are near each other."""
    digest = hashlib.sha256(" ".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
