"""Routes that look at jobs and stop them: progress, interrupt, skip, and a job by its id."""

import json
from itertools import chain
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Query, Request, Response
from fastapi import Path as InPath

from studio.api.sdapi import answers
from studio.api.sdapi.desk import Desk, caller_of
from studio.api.sdapi.door import Packed, answer, in_pieces, in_thread
from studio.api.sdapi.results import made, progress
from studio.events import Queued
from studio.services import Services
from studio.store.jobs import JobRow
from studio.store.tasks import TaskRow

TaskId = Annotated[str, Query(max_length=200, description="A force_task_id, or a job's id.")]
InAddress = Annotated[str, InPath(min_length=1, max_length=200)]


def add_routes(router: APIRouter, services: Services, desk: Desk) -> None:
    """Add them to a router."""

    @router.get("/progress", response_model=answers.ProgressAnswer)
    async def show_progress(
        request: Request, skip_current_image: bool = False, id_task: TaskId = ""
    ) -> Response:
        """How far the caller's job is, or the one of that task."""
        caller = caller_of(request)

        def look() -> dict[str, Any]:
            task = desk.current(caller, id_task)
            return progress(services, task.job_id if task else None, picture=not skip_current_image)

        return await in_thread(look)

    @router.post("/interrupt")
    async def interrupt(request: Request, id_task: TaskId = "") -> Response:
        """Stop the caller's job, or the one of that task; what is finished is kept."""
        await in_thread(desk.interrupt, caller_of(request), id_task)
        return answer({})

    @router.post("/skip")
    async def skip(request: Request, id_task: TaskId = "") -> Response:
        """Leave out the picture that the caller's job is making."""
        return await in_thread(desk.skip, caller_of(request), id_task)

    @router.get("/jobs/{task_id}", response_model=answers.TaskAnswer)
    async def job(task_id: InAddress, send_images: bool = True) -> Response:
        """A job by its task id or its own, with what it made."""

        def look() -> Packed:
            return _told(services, *desk.find(task_id), images=send_images)

        return await in_pieces(look)


def _told(services: Services, row: JobRow, task: TaskRow, *, images: bool) -> Packed:
    waits = [event for event in services.queue.now(row.id) if isinstance(event, Queued)]
    queued = waits[-1] if waits and row.started_at is None else None
    over = row.status.is_final
    facts = {
        "id": row.id,
        "task": task.id,
        "status": row.status.value,
        "position": queued.position if queued else 0,
        "seconds_to_begin": queued.seconds if queued else None,
        "progress": 1.0 if over else progress(services, row.id, picture=False)["progress"],
        "reason": row.reason,
    }
    if not over:
        return Packed(0, iter([orjson.dumps({**facts, "result": None})]))
    result = made(services, row, json.loads(task.parameters), images=images)
    start = orjson.dumps(facts)[:-1] + b',"result":'
    return Packed(result.size, chain([start], result.pieces, [b"}"]))
