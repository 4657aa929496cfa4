"""Whose a job is: nobody else finds it, and everything that is asked of a job asks that first."""

import threading
import time

import pytest

from studio.errors import Forbidden, NotFound
from studio.events import Queued, Status
from studio.people import NOBODY, Person, Role, acting_as
from tests.jobs.conftest import WAIT

ADA = Person(1, "ada", Role.MEMBER)
BOB = Person(2, "bob", Role.MEMBER)
ROOT = Person(3, "root", Role.ADMINISTRATOR)
GUEST = Person(4, "guest", Role.VIEWER)

ASKED = {
    "get": lambda queue, job: queue.get(job),
    "outputs": lambda queue, job: queue.outputs(job),
    "cancel": lambda queue, job: queue.cancel(job),
    "leave": lambda queue, job: queue.leave(job),
    "skip": lambda queue, job: queue.skip(job),
    "follow": lambda queue, job: queue.follow(job),
    "now": lambda queue, job: queue.now(job),
    "told": lambda queue, job: queue.told(job),
    "attach": lambda queue, job: queue.attach(job, print),
    "when_ended": lambda queue, job: queue.when_ended(job, print),
    "raise_": lambda queue, job: queue.raise_(job),
}


def sent(desk, person: Person, name: str = "errand", kind: str = "errand") -> str:
    with acting_as(person):
        return desk.submit(name, kind)


@pytest.mark.parametrize("stranger", [BOB, GUEST, NOBODY], ids=["member", "viewer", "nobody"])
@pytest.mark.parametrize("asked", ASKED)
def test_a_job_is_not_there_for_others(desk, asked, stranger):
    job = sent(desk, ADA)
    acts = asked in ("cancel", "skip") and stranger.role is Role.VIEWER
    refusal = Forbidden if acts else NotFound  # who may only look is told so, whatever they name
    with acting_as(stranger), pytest.raises(refusal) as told:
        ASKED[asked](desk.queue, job)
    with acting_as(stranger), pytest.raises(refusal) as unknown:
        ASKED[asked](desk.queue, "f" * 32)
    assert str(told.value).replace(job, "") == str(unknown.value).replace("f" * 32, "")
    assert desk.queue.get(job).status is Status.QUEUED


@pytest.mark.parametrize("asked", sorted(ASKED.keys() - {"raise_"}))
@pytest.mark.parametrize("person", [ADA, ROOT], ids=["owner", "administrator"])
def test_a_job_is_there_for_its_owner_and_for_administrators(desk, asked, person):
    job = sent(desk, ADA)
    with acting_as(person):
        ASKED[asked](desk.queue, job)


def test_lists_of_jobs_hold_ones_own(desk):
    jobs = {person: sent(desk, person) for person in (ADA, BOB)}
    for person, job in jobs.items():
        with acting_as(person):
            page = desk.queue.page(0, 10)
            assert [row.id for row in page.rows] == [job]
            assert page.total == 1
            assert [row.id for row in desk.queue.unended("errand")] == [job]
    with acting_as(ROOT):
        assert {row.id for row in desk.queue.page(0, 10).rows} == set(jobs.values())
    with acting_as(NOBODY):
        assert desk.queue.page(0, 10).total == 0
    with acting_as(ADA):
        assert desk.queue.line().waiting == 2, "how long the line is, everybody may know"


def test_who_may_only_look_asks_for_nothing(desk):
    for person in (GUEST, NOBODY):
        with acting_as(person), pytest.raises(Forbidden):
            desk.submit("errand")
    assert desk.jobs.waiting() == 0


def test_people_take_turns_and_know_their_positions(desk):
    ended = []
    go_on = threading.Event()
    for name in ("a0", "a1", "a2", "b1"):
        desk.errands[name] = lambda context, name=name: (go_on.wait(WAIT), ended.append(name))
    desk.worker.start()
    jobs = {"a0": sent(desk, ADA, "a0")}
    while desk.jobs.waiting():
        time.sleep(0.01)
    jobs |= {name: sent(desk, ADA, name) for name in ("a1", "a2")}
    jobs["b1"] = sent(desk, BOB, "b1")
    positions = {name: _position(desk, jobs[name]) for name in ("b1", "a1", "a2")}
    assert positions == {"b1": 1, "a1": 2, "a2": 3}
    go_on.set()
    for job in jobs.values():
        assert desk.wait(job) is Status.FINISHED
    assert ended == ["a0", "b1", "a1", "a2"]


def test_only_administrators_raise_a_job(desk):
    first, second = sent(desk, ADA), sent(desk, BOB)
    with acting_as(BOB), pytest.raises(Forbidden):
        desk.queue.raise_(second)
    assert desk.jobs.queued() == [first, second]
    with acting_as(ROOT):
        desk.queue.raise_(second)
    assert desk.jobs.queued() == [second, first]
    assert (_position(desk, second), _position(desk, first)) == (1, 2)
    assert desk.jobs.claim_next("runner").id == second


def _position(desk, job: str) -> int:
    return [event.position for event in desk.queue.now(job) if isinstance(event, Queued)][-1]
