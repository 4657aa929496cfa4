"""Runs of trainings: what they do, what they have learnt, and their control."""

import math
from enum import Enum, StrEnum
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi import Path as InPath
from pydantic import BaseModel, Field

from studio.api.v1.door import FULL
from studio.api.v1.jobs import submitted
from studio.services import Services
from studio.training.launch.runs import RunEntry
from studio.training.run_folder import Phase
from studio.training_requests import Method

RunName = Annotated[
    str, InPath(min_length=1, max_length=255, description="Of the run, or of what it makes.")
]


class Action(StrEnum):
    """What can be done to a run; `pause` and `stop` let it save, and `kill` does not."""

    PAUSE = "pause"
    STOP = "stop"
    KILL = "kill"
    RESUME = "resume"


class RunInfo(BaseModel):
    """A run.

    title: what its outcome is called. step, steps: of the optimiser while it trains. made, changed:
    seconds since 1970. result: name of the file or folder of the outcome, "" before there is one.
    reason: why it failed, or "".
    """

    name: str
    title: str
    method: Method
    model: str
    owner: str
    phase: Phase
    is_alive: bool
    can_resume: bool
    step: int
    steps: int
    seconds_left: float | None
    reason: str
    made: float
    changed: float
    result: str


class RunDetail(RunInfo):
    """The same with what it was asked and what it has told, oldest first."""

    request: dict[str, Any]
    notices: list[str]


class RunList(BaseModel):
    """Runs, newest first."""

    runs: list[RunInfo]


class Point(BaseModel):
    """What was measured after a step; None where it was no number."""

    step: int
    values: dict[str, float | None]


class RunCurve(BaseModel):
    """Points of the curves, oldest first; next: where to go on reading."""

    points: list[Point]
    next: int = Field(ge=0)


class Sample(BaseModel):
    """A picture that was made on the way; number: of its prompt. url: where it is."""

    step: int
    number: int
    prompt: str
    url: str


class SampleList(BaseModel):
    """Samples by step and number."""

    samples: list[Sample]


class Acted(BaseModel):
    """The run after an action; job: the id of the one that goes on with it, or ""."""

    run: RunInfo
    job: str


def add_routes(router: APIRouter, services: Services) -> None:
    """Add them to a router."""
    runs = services.runs
    tags: list[str | Enum] = ["runs"]

    @router.get("/runs", operation_id="list_runs", summary="List trainings", tags=tags)
    def listed(
        phase: Annotated[Phase | None, Query(description="Only those that do this.")] = None,
        method: Annotated[Method | None, Query(description="Only those of this method.")] = None,
        owner: Annotated[str, Query(max_length=100, description="Only those of them.")] = "",
        text: Annotated[
            str, Query(max_length=200, description="That name, model or owner has.")
        ] = "",
    ) -> RunList:
        """Runs of everybody that fit all that is given, newest first."""
        entries = runs.entries(phase, method, owner, text)
        return RunList(runs=[RunInfo(**_told(entry)) for entry in entries])

    @router.get("/runs/{name}", operation_id="get_run", summary="Look at a training", tags=tags)
    def one(name: RunName) -> RunDetail:
        """Where it stands and what it was asked."""
        entry = runs.get(name)
        request = runs.request(name).model_dump(mode="json")
        return RunDetail(**_told(entry), request=request, notices=runs.notices(name))

    @router.get(
        "/runs/{name}/curve", operation_id="get_curve", summary="Read what was measured", tags=tags
    )
    def curve(
        name: RunName,
        start: Annotated[
            int, Query(ge=0, le=2**53, description="`next` of the last answer, 0 for all.")
        ] = 0,
    ) -> RunCurve:
        """Points of its curves, such as the loss; ask again from `next` for those that follow."""
        points, end = runs.curve(name, start)
        return RunCurve(points=[_point(each) for each in points if "step" in each], next=end)

    @router.get(
        "/runs/{name}/samples", operation_id="list_samples", summary="List samples", tags=tags
    )
    def samples(name: RunName) -> SampleList:
        """Pictures that were made on the way; get them at their addresses."""
        folder, request = runs.folder(name).name, runs.request(name)
        prompts = request.sample_prompts or (request.prompt,)
        found = [
            Sample(
                step=step,
                number=number,
                prompt=prompts[number] if number < len(prompts) else "",
                url=f"{services.settings.path_prefix}/runs/{folder}/samples/{step}/{number}",
            )
            for step, number, _ in runs.samples(name)
        ]
        return SampleList(samples=found)

    @router.post(
        "/runs/{name}/{action}",
        responses=FULL,
        operation_id="act_on_run",
        summary="Pause, stop, kill or resume a training",
        tags=tags,
    )
    def act(name: RunName, action: Action) -> Acted:
        """`pause` and `stop` save and end it, `kill` ends it at once, `resume` goes on with it."""
        job = _act(services, name, action)
        return Acted(run=RunInfo(**_told(runs.get(name))), job=job)


def _act(services: Services, name: str, action: Action) -> str:
    """Do it; the id of the job that a resumed run goes on as, or ""."""
    runs = services.runs
    match action:
        case Action.PAUSE:
            runs.pause(name)
        case Action.STOP:
            runs.stop(name)
        case Action.KILL:
            runs.kill(name)
        case Action.RESUME:
            return submitted(services.queue, runs.resumable(name))
    return ""


def _told(entry: RunEntry) -> dict[str, Any]:
    own = {name: getattr(entry, name) for name in RunInfo.model_fields if name != "result"}
    return own | {"result": entry.result.name if entry.result else ""}


def _point(told: dict[str, Any]) -> Point:
    values = {
        name: float(value) if math.isfinite(value) else None
        for name, value in told.items()
        if name != "step" and isinstance(value, int | float)
    }
    return Point(step=int(told["step"]), values=values)
