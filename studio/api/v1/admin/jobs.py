"""The jobs of everybody: those that run, those that wait, and those that were over last."""

from collections.abc import Callable, Sequence

from fastapi import APIRouter
from pydantic import BaseModel, Field

from studio.api.v1.jobs import JobInfo, told
from studio.services import Services
from studio.store.jobs import JobRow

_WAITING, _ENDED = 200, 30
"""How many are told of."""


class OwnedJob(JobInfo):
    """A job, and whose it is: owner: their id, 0 for the studio; raised: whether it was put first.

    by_command: whether a command on the server's machine runs it.
    """

    owner: int
    name: str
    raised: bool
    by_command: bool


class AllJobs(BaseModel):
    """Those that run, those that wait in the order in which they will run, and the last ended ones.

    total: of those that wait, of which the first 200 are listed. A job waits for those of its own
    line alone: `position` counts in that.
    """

    running: list[OwnedJob]
    waiting: list[OwnedJob]
    total: int = Field(ge=0)
    ended: list[OwnedJob]


def add_routes(router: APIRouter, services: Services) -> None:
    """Add them to a router."""
    queue = services.queue

    @router.get("/jobs", operation_id="list_all_jobs", summary="See everybody's jobs")
    def jobs() -> AllJobs:
        """What runs, what comes next, and how the last ones ended."""
        names: dict[int, str] = {}

        def name(owner: int) -> str:
            if owner not in names:
                names[owner] = services.audit.name_of(owner)
            return names[owner]

        order = queue.in_order(_WAITING)
        waiting = _owned(services, [row for _, row in order], name)
        for job, (position, _) in zip(waiting, order, strict=True):
            job.position = position
        return AllJobs(
            running=_owned(services, queue.at_work(), name),
            waiting=waiting,
            total=queue.line().waiting,
            ended=_owned(services, queue.ended(_ENDED), name),
        )


def _owned(
    services: Services, rows: Sequence[JobRow], name: Callable[[int], str]
) -> list[OwnedJob]:
    return [
        OwnedJob(
            **info.model_dump(),
            owner=row.owner,
            name=name(row.owner),
            raised=row.raised_at is not None,
            by_command=row.by_command,
        )
        for info, row in zip(told(services, rows), rows, strict=True)
    ]
