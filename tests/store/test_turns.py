"""Whose turn it is: the rule by examples, and that nobody waits longer than is fair."""

import random
from collections import Counter

import pytest

from studio.store.turns import Place, in_turn, takeable
from tests.store.crowd import Crowd


def waiting(told: str, raised: dict[str, float] | None = None) -> list[Place]:
    """Jobs in the order in which they came, such as "a1 a2 b1": the letter is the person."""
    raised = raised or {}
    return [
        Place(name, number, ord(name[0]), "errand", raised.get(name))
        for number, name in enumerate(told.split(), start=1)
    ]


def order(told: str, running: str = "", begun: str = "", **raised: float) -> str:
    """The order; running: people, once for each job. begun: people, the latest begun last."""
    turns = in_turn(
        waiting(told, raised),
        Counter(map(ord, running)),
        {ord(who): 100.0 + when for when, who in enumerate(begun)},
    )
    return " ".join(place.id for _, place in turns)


def test_jobs_of_one_person_run_first_come_first_served():
    assert order("a1 a2 a3", running="a", begun="a") == "a1 a2 a3"


def test_people_take_turns():
    assert order("a1 a2 a3 b1 c1 b2") == "a1 b1 c1 a2 b2 a3"


def test_what_runs_counts_as_a_turn():
    assert order("a1 a2 b1 b2", running="a", begun="a") == "b1 a1 b2 a2"
    assert order("a1 a2 b1 b2", running="aa", begun="a") == "b1 b2 a1 a2"


def test_who_was_served_last_comes_last():
    assert order("a1 b1 c1", begun="bca") == "b1 c1 a1"
    assert order("a1 b1 c1", begun="ab") == "c1 a1 b1", "c was never served"


def test_raised_jobs_come_before_all():
    assert order("a1 b1 a2 c1", a2=9.0, c1=5.0) == "c1 a2 a1 b1"


def test_a_device_may_choose_among_jobs_of_the_same_turn_and_those_of_who_is_next():
    turns = in_turn(waiting("a1 a2 b1 b2 c1"), Counter(), {})
    assert [place.id for place in takeable(turns)] == ["a1", "b1", "c1", "a2"]


def test_of_a_raised_job_there_is_no_choice():
    turns = in_turn(waiting("a1 a2 b1", {"a2": 1.0}), Counter(), {})
    assert [place.id for place in takeable(turns)] == ["a2"]
    assert takeable([]) == []


@pytest.mark.parametrize("seed", range(60))
def test_nobody_waits_for_more_than_a_job_of_each_other_person_before_each_of_their_own(seed):
    """On one device, whatever people send."""
    draw = random.Random(seed)
    crowd, people = Crowd(draw), range(draw.randint(2, 6))
    for _ in range(draw.randint(5, 40)):
        crowd.send(0)
    for _ in range(300):
        if draw.random() < 0.6:
            crowd.send(draw.choice(people))
        if not crowd.running and crowd.waiting:
            taken, passed = crowd.begin()
            own = passed.pop(taken.owner, 0)
            assert max(passed.values(), default=0) <= own + 1
        elif crowd.running and draw.random() < 0.8:
            crowd.end()


def test_first_come_first_served_would_break_that():
    crowd = Crowd(random.Random(1))
    for _ in range(10):
        crowd.send(0)
    crowd.send(1)
    for _ in range(10):
        crowd.begin(lambda _: min(crowd.waiting, key=lambda place: place.number))
        crowd.end()
    assert crowd.passed[crowd.waiting[0].id][0] == 10


@pytest.mark.parametrize("seed", range(20))
def test_several_devices_are_shared_as_long_as_everybody_has_jobs(seed):
    """Who has a job begun had no more of them running than who had the fewest."""
    draw = random.Random(seed)
    crowd, people, devices = Crowd(draw), range(draw.randint(2, 5)), draw.randint(2, 4)
    for person in draw.sample(people, len(people)):
        for _ in range(30):
            crowd.send(person)
    for _ in range(100):
        while len(crowd.running) < devices and len({p.owner for p in crowd.waiting}) == len(people):
            ran = Counter(place.owner for place in crowd.running)
            taken, _ = crowd.begin()
            assert ran[taken.owner] == min(ran[person] for person in people)
        if crowd.running:
            crowd.end()
