"""A job that ends just after its row was read is waited for once more, and found ended."""

import asyncio
from collections.abc import Sequence

import pytest

from studio.api import waiting
from studio.api.sdapi import desk as sdapi
from studio.events import Status
from studio.store.jobs import JobRow


class Ending:
    """The queue, with a job that ends while whoever has read its row goes on."""

    def __init__(self, desk, monkeypatch: pytest.MonkeyPatch):
        self._queue = desk.queue
        self._get = desk.queue.get
        self.looks = 0
        desk.jobs.claim_next("runner")
        monkeypatch.setattr(desk.queue, "get", self.get)

    def get(self, job_id: str) -> JobRow:
        row = self._get(job_id)
        self.looks += 1
        if self.looks == 2:  # the first is that of who begins to wait
            self._queue.end(job_id, Status.FINISHED)
        return row


@pytest.fixture(autouse=True)
def impatient(monkeypatch) -> None:
    for module in (waiting, sdapi):
        monkeypatch.setattr(module, "LOOK_AGAIN", 0.05)


def test_who_waits_for_a_row_gets_the_ended_one(desk, monkeypatch):
    job = desk.submit("anything")
    ending = Ending(desk, monkeypatch)
    row = asyncio.run(waiting.ended(desk.queue, job))
    assert row.status is Status.FINISHED
    assert ending.looks > 2


def test_who_waits_for_pictures_is_not_told_that_their_end_was_lost(desk, monkeypatch):
    class Services:
        queue = desk.queue
        database = desk.database

    async def asked() -> Sequence[JobRow]:
        made = sdapi.Desk(Services)
        monkeypatch.setattr(made, "_submit", lambda *given: begun(given[-1]))
        return await made.done([], "me", "{}")

    def begun(waited: sdapi.Waited) -> list[str]:
        job = desk.submit("anything")
        Ending(desk, monkeypatch)
        waited.left = 1
        desk.queue.when_ended(job, waited.ended)
        return [job]

    assert [row.status for row in asyncio.run(asked())] == [Status.FINISHED]
