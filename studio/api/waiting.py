"""Waiting for the end of jobs in an event loop, without a thread."""

import asyncio
from contextlib import suppress

from starlette.concurrency import run_in_threadpool

from studio.jobs.queue import JobQueue
from studio.store.jobs import JobRow

LOOK_AGAIN = 5.0
"""Seconds after which a job's row is read again, should another process run it."""


class Waited:
    """Jobs that somebody waits for in an event loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._end = asyncio.Event()
        self.left = 0

    def ended(self) -> None:
        """One of them is over; called from any thread."""
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(self._count)

    def _count(self) -> None:
        self.left -= 1
        if self.left <= 0:
            self._end.set()

    @property
    def over(self) -> bool:
        """Whether all of them are."""
        return self._end.is_set()

    async def wait(self, seconds: float) -> None:
        """Until all are over, or for so long."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._end.wait()


async def ended(queue: JobQueue, job_id: str) -> JobRow:
    """The row of a job once it is over, or as it is when its end could not be recorded.

    Whoever stops to wait does not stop the job.
    """
    waited = Waited()
    waited.left = 1
    await run_in_threadpool(queue.when_ended, job_id, waited.ended)
    while True:
        await waited.wait(LOOK_AGAIN)
        over = waited.over  # before the row is read, or an end between the two looks lost
        row = await run_in_threadpool(queue.get, job_id)
        if row.status.is_final or over:
            return row
