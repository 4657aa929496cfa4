"""Jobs: put into the queue, looked at, skipped and taken back."""

import json
from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Body, Query, Response
from fastapi import Path as InPath
from pydantic import BaseModel, Field

from studio.api.v1.asked import EXAMPLES, AnyRequest
from studio.api.v1.door import FULL, PREFIX
from studio.api.v1.paging import Limit, Offset
from studio.errors import NotFound, RequestError
from studio.events import Event, Progress, Queued, Status, Waiting
from studio.jobs.queue import JobQueue
from studio.requests import Request
from studio.services import Services
from studio.store.jobs import JobRow

JobId = Annotated[str, InPath(pattern="^[0-9a-f]{32}$", description="Of the job.")]


class JobInfo(BaseModel):
    """A job.

    position: in the line, 0 unless it waits. progress: share of it that is done, 0 to 1.
    seconds_left: until it should be over, where that is known. seconds_to_begin: the same of the
    begin of one that waits. reason: why it failed, or "". Times
    are seconds since 1970. outputs: ids of the pictures that it has made. request: what was asked,
    complete.
    """

    id: str
    kind: str
    status: Status
    position: int
    progress: float
    seconds_left: float | None
    seconds_to_begin: float | None
    reason: str
    created_at: float
    started_at: float | None
    ended_at: float | None
    outputs: list[int]
    request: dict[str, Any]


class JobList(BaseModel):
    """Some jobs, newest first; total counts all that match."""

    jobs: list[JobInfo]
    total: int = Field(ge=0)
    offset: int = Field(ge=0)


def add_routes(router: APIRouter, services: Services) -> None:
    """Add them to a router."""
    queue = services.queue

    @router.post(
        "/jobs",
        status_code=201,
        responses=FULL
        | {
            201: {
                "headers": {"Location": {"schema": {"type": "string"}, "description": "The job."}}
            }
        },
        operation_id="submit_job",
        summary="Ask for something",
        tags=["jobs"],
    )
    def submit(
        request: Annotated[AnyRequest, Body(openapi_examples=EXAMPLES)], response: Response
    ) -> JobInfo:
        """Put a request into the queue.

        What it leaves open, such as a seed, is decided at once, and stands in the answer.
        """
        job_id = submitted(queue, request)
        response.headers["Location"] = f"{services.settings.path_prefix}{PREFIX}/jobs/{job_id}"
        return told(services, [queue.get(job_id)])[0]

    @router.get("/jobs", operation_id="list_jobs", summary="List jobs", tags=["jobs"])
    def listed(
        status: Annotated[list[Status] | None, Query(description="Only jobs of these.")] = None,
        kind: Annotated[str, Query(max_length=50, description="Only jobs of this kind.")] = "",
        offset: Offset = 0,
        limit: Limit = 50,
    ) -> JobList:
        """One's own jobs, newest first; administrators see those of everybody."""
        page = queue.page(offset, limit, status or (), kind)
        return JobList(jobs=told(services, page.rows), total=page.total, offset=offset)

    @router.get("/jobs/{job_id}", operation_id="get_job", summary="Look at a job", tags=["jobs"])
    def job(job_id: JobId) -> JobInfo:
        """Where it stands and what it has made."""
        return told(services, [queue.get(job_id)])[0]

    @router.delete(
        "/jobs/{job_id}", operation_id="cancel_job", summary="Take a job back", tags=["jobs"]
    )
    def cancel(job_id: JobId) -> JobInfo:
        """At once when it waits, within a step when it runs; one that is over stays as it is."""
        queue.cancel(job_id)
        return told(services, [queue.get(job_id)])[0]

    @router.post(
        "/jobs/{job_id}/raise", operation_id="raise_job", summary="Put a job first", tags=["jobs"]
    )
    def raise_(job_id: JobId) -> JobInfo:
        """Let it be the next of those that wait for the same; administrators may do so."""
        queue.raise_(job_id)
        return told(services, [queue.get(job_id)])[0]

    @router.post(
        "/jobs/{job_id}/skip", operation_id="skip_item", summary="Skip a picture", tags=["jobs"]
    )
    def skip(job_id: JobId) -> JobInfo:
        """Leave out the picture (or batch) that the job is making; it goes on with the next."""
        queue.skip(job_id)
        return told(services, [queue.get(job_id)])[0]


def submitted(queue: JobQueue, request: Request) -> str:
    """The id of the job that a request has become.

    RequestError also when it names what is not there: the address that was asked is there.
    """
    try:
        return queue.submit(request)
    except NotFound as error:
        raise RequestError(str(error)) from None


def told(services: Services, rows: Sequence[JobRow]) -> list[JobInfo]:
    """Jobs as they are told of."""
    found = []
    for row in rows:
        now = [] if row.status.is_final else services.queue.now(row.id)
        done, left = _progress(row, now)
        waits = [event for event in now if isinstance(event, Queued)]
        queued = waits[-1] if waits and row.status is Status.QUEUED else None
        found.append(
            JobInfo(
                id=row.id,
                kind=row.kind,
                status=row.status,
                position=queued.position if queued else 0,
                progress=done,
                seconds_left=left,
                seconds_to_begin=queued.seconds if queued else None,
                reason=row.reason or "",
                created_at=row.created_at,
                started_at=row.started_at,
                ended_at=row.ended_at,
                outputs=list(services.queue.outputs(row.id)),
                request=json.loads(row.request),
            )
        )
    return found


def _progress(row: JobRow, now: list[Event]) -> tuple[float, float | None]:
    """Share that is done and seconds that are left, None where nobody knows."""
    if row.status is Status.FINISHED:
        return 1.0, 0.0
    for event in reversed(now):
        if isinstance(event, Progress):
            return event.fraction, event.seconds_left
        if isinstance(event, Waiting):
            return 0.0, event.seconds_left
    return 0.0, None
