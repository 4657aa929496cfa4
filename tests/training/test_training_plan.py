"""Which pictures each step sees."""

from collections import Counter

import pytest

from studio.training.plan import Plan, parts, seed_of, shared

BUCKETS = ["wide", "tall", "wide", "square", "wide", "square", "tall"]


@pytest.mark.parametrize("batch", [1, 2, 3, 4, 10])
def test_an_epoch_shows_each_picture_as_often_as_it_repeats(batch):
    repeats = [1, 2, 1, 1, 3, 1, 1]
    plan = Plan(BUCKETS, repeats, batch, seed=5)
    assert plan.steps_an_epoch == -(-10 // batch)
    for epoch in range(3):
        seen: Counter[int] = Counter()
        for step in range(plan.steps_an_epoch):
            slots = plan.step(epoch * plan.steps_an_epoch + step)
            assert len(slots) == batch
            seen.update(slot.place for slot in slots)
        extra = seen - Counter(dict(enumerate(repeats)))
        assert not Counter(dict(enumerate(repeats))) - seen
        assert extra.total() == plan.steps_an_epoch * batch - 10


def test_steps_follow_from_their_numbers_alone():
    def slots(number: int) -> object:
        return Plan(BUCKETS, [1] * 7, 2, seed=1).step(number)

    plan = Plan(BUCKETS, [1] * 7, 2, seed=1)
    assert [plan.step(each) for each in range(12)] == [slots(each) for each in range(12)]
    assert plan.step(11) == slots(11)
    assert plan.step(0) == slots(0)
    orders = {tuple(slot.place for slot in slots(each * 4)) for each in range(8)}
    assert len(orders) > 3


def test_shapes_are_together_where_possible():
    plan = Plan(["a"] * 8 + ["b"] * 8, [1] * 16, 4, seed=2)
    for step in range(4):
        assert len({slot.place < 8 for slot in plan.step(step)}) == 1


def test_the_class_stands_beside_the_subject_and_all_of_it_comes():
    plan = Plan(["a"] * 3, [1] * 3, 2, seed=3, prior=5)
    seen: Counter[int] = Counter()
    for step in range(20):
        slots = plan.step(step)
        assert [slot.prior for slot in slots] == [False, False, True, True]
        seen.update(slot.place for slot in slots if slot.prior)
    assert set(seen) == {3, 4, 5, 6, 7}
    assert max(seen.values()) == min(seen.values()) == 8


def test_processes_share_the_slots_and_their_chances():
    plan = Plan(["a"] * 6, [1] * 6, 4, seed=4, prior=2)
    slots = plan.step(7)
    halves = [shared(slots, each, 2) for each in range(2)]
    assert sorted(map(str, [*halves[0], *halves[1]])) == sorted(map(str, slots))
    assert [len(each) for each in halves] == [4, 4]
    assert [sum(slot.prior for slot in each) for each in halves] == [2, 2]
    assert len({slot.seed for slot in slots}) == 8


def test_parts_are_of_one_shape_and_sort():
    buckets = [*BUCKETS, "wide"]
    slots = Plan(BUCKETS, [1] * 7, 7, seed=4, prior=1).step(0)
    groups = parts(slots, buckets, 2)
    assert sum(map(len, groups)) == 14
    for group in groups:
        assert len(group) <= 2
        assert len({(buckets[slot.place], slot.prior) for slot in group}) == 1


def test_seeds_are_stable_and_apart():
    assert seed_of(1, 2, 3) == seed_of(1, 2, 3) == 4487740463121531623
    seeds = {seed_of(0, step, slot) for step in range(100) for slot in range(8)}
    assert len(seeds) == 800
    assert all(0 <= each < 2**63 for each in seeds)
