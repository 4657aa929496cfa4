"""Which waiting job a device takes: one whose model it holds, and nobody waits for ever."""

import json
import random
import threading
import time
from dataclasses import dataclass, field

import pytest

from studio.events import Status
from studio.jobs.choosing import PASSED_OVER, Choice, Chooser
from studio.jobs.worker import Worker
from studio.models.slots import Held
from studio.people import Person, Role
from studio.store.jobs import JobRow
from studio.store.turns import Place
from tests.store.crowd import Crowd


@dataclass
class Memory:
    """The models that a device holds."""

    names: list[str] = field(default_factory=list)
    resting: bool = False

    def held(self) -> list[Held]:
        return [
            Held("diffusion", name, name, 1, in_use=False, resting=self.resting)
            for name in self.names
        ]


def submitted(desk, *models: str) -> list[str]:
    """Jobs that wait, and name these models."""
    return [desk.jobs.add("errand", json.dumps({"model": model})).id for model in models]


def taken(desk, chooser: Chooser, memory: Memory) -> str:
    row = desk.jobs.claim_next("runner", ("errand",), lambda rows: chooser.choose(rows, memory))
    return row.id


def test_a_device_takes_the_oldest_job_whose_model_it_holds(desk):
    first, second, third, fourth = submitted(desk, "a", "b", "a", "b")
    chooser = Chooser()
    assert taken(desk, chooser, Memory(["b"])) == second
    assert taken(desk, chooser, Memory(["a"])) == first
    assert taken(desk, chooser, Memory(["b"])) == fourth
    assert taken(desk, chooser, Memory(["b"])) == third, "there is no other"


def test_a_device_without_models_takes_the_oldest(desk):
    first, second = submitted(desk, "a", "b")
    chooser = Chooser()
    assert taken(desk, chooser, Memory()) == first
    assert taken(desk, chooser, Memory(["a"], resting=True)) == second


def test_the_oldest_is_passed_over_three_times_at_most(desk):
    oldest, *others = submitted(desk, "a", *["b"] * (PASSED_OVER + 2))
    chooser = Chooser()
    order = [taken(desk, chooser, Memory(["b"])) for _ in range(PASSED_OVER + 3)]
    assert order == [*others[:PASSED_OVER], oldest, *others[PASSED_OVER:]]


def test_others_pass_the_one_whose_turn_it_is_once_each(desk):
    """However many jobs for the model that a device holds somebody has."""
    jobs = {
        name: desk.jobs.add(
            "errand", json.dumps({"model": model}), person=Person(owner, "", Role.MEMBER)
        ).id
        for name, model, owner in (
            ("ada", "a", 1),
            *((f"bob {number}", "b", 2) for number in range(9)),
            ("cid", "b", 3),
        )
    }
    chooser, names = Chooser(), {job: name for name, job in jobs.items()}
    order = []
    for _ in range(4):
        row = desk.jobs.claim_next(
            "runner", choose=lambda rows: chooser.choose(rows, Memory(["b"]))
        )
        desk.jobs.move(row.id, Status.FINISHED)
        order.append(names[row.id])
    assert order == ["bob 0", "cid", "ada", "bob 1"]


@pytest.mark.parametrize("seed", range(40))
def test_models_earn_nobody_more_than_one_turn_beyond_the_fair_ones(seed):
    """On one device that always holds the same model, whatever people send."""
    draw = random.Random(seed)
    crowd, people, chooser = Crowd(draw), range(draw.randint(2, 6)), Chooser()

    def choose(places: list[Place]) -> Place:
        rows = [as_row(place) for place in places]
        return places[rows.index(chooser.choose(rows, Memory(["m0"])))]

    for _ in range(draw.randint(5, 40)):
        crowd.send(0)
    for _ in range(300):
        if draw.random() < 0.6:
            crowd.send(draw.choice(people))
        if not crowd.running and crowd.waiting:
            taken, passed = crowd.begin(choose)
            own = passed.pop(taken.owner, 0)
            assert max(passed.values(), default=0) <= 2 * (own + 1)
        elif crowd.running and draw.random() < 0.8:
            crowd.end()


def as_row(place: Place) -> JobRow:
    """A job for one of two models; the first person's are all for the one that is held."""
    model = f"m{place.owner and place.number % 2}"
    request = json.dumps({"model": model})
    return JobRow(
        place.number,
        place.id,
        "errand",
        request,
        Status.QUEUED,
        "",
        "",
        0,
        None,
        None,
        0,
        place.owner,
    )


def test_a_job_that_names_no_model_waits_its_turn(desk):
    plain = desk.jobs.add("errand", "{}").id
    (named,) = submitted(desk, "a")
    chooser = Chooser()
    assert taken(desk, chooser, Memory(["a"])) == named
    assert taken(desk, chooser, Memory(["a"])) == plain


def test_a_job_waits_in_the_line_until_its_device_can_begin(desk):
    free = threading.Event()
    desk.errands["good"] = lambda context: None
    worker = Worker(desk.queue, desk.jobs, desk.runner, ("errand",), Choice(free.is_set))
    worker.start()
    try:
        job = desk.submit("good")
        time.sleep(0.3)
        assert desk.queue.get(job).status is Status.QUEUED
        free.set()
        assert desk.wait(job) is Status.FINISHED
        free.clear()
        desk.submit("good")
        start = time.monotonic()
    finally:
        worker.stop(10)
    assert time.monotonic() - start < 2, "its end does not wait for the device"


def test_a_job_is_left_to_an_idle_device_that_holds_its_model(desk):
    first, second = submitted(desk, "a", "b")
    chooser = Chooser()

    def claimed(memory: Memory, *idle: Memory) -> str:
        row = desk.jobs.claim_next(
            "r", ("errand",), lambda rows: chooser.choose(rows, memory, idle)
        )
        return row.id if row else ""

    assert claimed(Memory(["c"]), Memory(["a"]), Memory(["b"])) == "", "both have somebody"
    assert claimed(Memory(["c"]), Memory(["a"])) == second
    assert claimed(Memory(["c"]), Memory(["b"])) == first


def test_a_job_that_was_left_to_another_is_taken_when_that_one_is_busy(desk):
    chooser, others = Chooser(), [Memory(["a"])]
    worker = Worker(
        desk.queue,
        desk.jobs,
        desk.runner,
        ("errand",),
        Choice(lambda: True, lambda rows: chooser.choose(rows, Memory(["b"]), others)),
    )
    worker.start()
    try:
        (job,) = submitted(desk, "a")
        time.sleep(0.2)
        assert desk.jobs.get(job).status is Status.QUEUED
        others.clear()
        until = time.monotonic() + 10
        while desk.jobs.get(job).status is Status.QUEUED:
            assert time.monotonic() < until
            time.sleep(0.01)
    finally:
        worker.stop()


def test_each_of_several_devices_may_pass_the_oldest_over(desk):
    oldest, *others = submitted(desk, "a", *["b"] * (2 * PASSED_OVER + 1))
    chooser = Chooser(lambda: 2)
    order = [taken(desk, chooser, Memory(["b"])) for _ in range(2 * PASSED_OVER + 1)]
    assert order == [*others[: 2 * PASSED_OVER], oldest]
