"""Who is at work, across threads and tasks."""

import asyncio
import threading

import anyio.to_thread
import pytest

from studio.people import HOME, NOBODY, Person, Role, acting, acting_as

ADA, BEN = Person(1, "ada", Role.MEMBER), Person(2, "ben", Role.VIEWER)


def test_the_studio_itself_acts_where_nobody_else_does():
    assert acting() == HOME
    with acting_as(ADA):
        assert acting() == ADA
        with acting_as(BEN):
            assert acting() == BEN
        assert acting() == ADA
    assert acting() == HOME


def test_threads_that_answer_somebody_act_for_them_and_own_threads_do_not():
    async def answer(person: Person) -> Person:
        with acting_as(person):
            await asyncio.sleep(0)
            return await anyio.to_thread.run_sync(acting)

    async def both() -> list[Person]:
        return await asyncio.gather(answer(ADA), answer(BEN))

    assert asyncio.run(both()) == [ADA, BEN]
    seen = []
    with acting_as(ADA):
        thread = threading.Thread(target=lambda: seen.append(acting()))
        thread.start()
        thread.join()
    assert seen == [HOME]


@pytest.mark.parametrize(
    ("person", "owner", "sees"),
    [(HOME, 5, True), (NOBODY, 0, False), (NOBODY, 5, False), (ADA, 1, True), (ADA, 2, False)],
)
def test_everybody_sees_their_own(person, owner, sees):
    assert person.sees(owner) is sees
