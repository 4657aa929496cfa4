"""Who asked for which job: submission, waiting for the end, interruption, all by the caller.

A caller is known as a person, without accounts by its address on the network, and a job by the
task id that it was given; see docs/api.md. Both are kept with the job, so that they hold when the
server was started anew.
"""

import asyncio
import uuid
from collections.abc import Sequence

from fastapi import Request as HttpRequest
from starlette.concurrency import run_in_threadpool

from studio.api.sdapi.door import JobFailed, ServerStops
from studio.api.waiting import LOOK_AGAIN, Waited
from studio.errors import AtelierError, NotFound
from studio.events import Failed, Status
from studio.people import acting
from studio.requests import Request
from studio.services import Services
from studio.store.jobs import JobRow
from studio.store.tasks import TaskRow, TaskTable


def caller_of(request: HttpRequest) -> str:
    """How whoever sent a request is known: as a person, without accounts by the address."""
    if person := acting().id:
        return f"person {person}"
    return request.client.host if request.client else "this machine"


class Desk:
    """Takes in jobs for callers and finds them again."""

    def __init__(self, services: Services):
        self._queue = services.queue
        self._tasks = TaskTable(services.database)

    async def done(
        self, requests: Sequence[Request], caller: str, parameters: str, task_id: str = ""
    ) -> list[JobRow]:
        """The jobs of requests, ended; no thread waits meanwhile.

        parameters: what was asked in the caller's words, as JSON. When the caller goes away, the
        jobs go on.
        """
        waited = Waited()
        name = task_id or uuid.uuid4().hex
        submitted = (requests, caller, parameters, name, waited)
        ids = await run_in_threadpool(self._submit, *submitted)
        while True:
            try:
                await waited.wait(LOOK_AGAIN)
            except asyncio.CancelledError:  # by the web server, which ends and waits no longer
                raise ServerStops(name) from None
            over = waited.over  # before the rows are read, or an end between the two looks lost
            rows = await run_in_threadpool(lambda: [self._queue.get(each) for each in ids])
            if any(row.status is Status.INTERRUPTED for row in rows):
                raise ServerStops(name)
            if all(row.status.is_final for row in rows):
                return rows
            if over:  # the end was told, but could not be recorded
                raise JobFailed(self._reason(ids))

    def _submit(
        self,
        requests: Sequence[Request],
        caller: str,
        parameters: str,
        name: str,
        waited: Waited,
    ) -> list[str]:
        ids: list[str] = []
        waited.left = len(requests)
        try:
            for request in requests:
                ids.append(self._queue.submit(request))
                self._tasks.add(name, ids[-1], caller, parameters)
                self._queue.when_ended(ids[-1], waited.ended)
        except AtelierError:
            for each in ids:  # all of them or none
                self._queue.cancel(each)
            raise
        return ids

    def _reason(self, ids: list[str]) -> str:
        told = [event for each in ids for event in self._queue.now(each)]
        reasons = [event.reason for event in told if isinstance(event, Failed)]
        return reasons[0] if reasons else "The end of the job could not be recorded."

    def find(self, name: str) -> tuple[JobRow, TaskRow]:
        """The job of a task id or of its own id, or NotFound."""
        task = self._tasks.find(name)
        if task is None:
            raise NotFound(f"There is no job {name[:80]!r}; it may belong to another data folder.")
        return self._queue.get(task.job_id), task

    def current(self, caller: str, task_id: str = "") -> TaskRow | None:
        """What a caller means: the task of that id, or the caller's own that runs or is next."""
        if task_id:
            return self._tasks.find(task_id)
        return next(iter(self._tasks.unended(caller)), None)

    def interrupt(self, caller: str, task_id: str = "") -> None:
        """Take back the jobs of the caller's current request, and nobody else's."""
        current = self.current(caller, task_id)
        if current is None:
            return
        for task in self._tasks.unended(current.caller):
            if task.id == current.id:
                self._queue.cancel(task.job_id)

    def skip(self, caller: str, task_id: str = "") -> None:
        """Leave out the picture that the caller's current job is making."""
        current = self.current(caller, task_id)
        if current is not None:
            self._queue.skip(current.job_id)
