"""The state of the studio at a glance, for the page's header and for health checks."""

import time
from dataclasses import asdict, replace

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel

from studio import __version__
from studio.api import measures, readiness
from studio.api.outputs import found
from studio.device.remote import Remote
from studio.engine import Engine
from studio.errors import AtelierError
from studio.models.broker import Lease
from studio.models.devices import Memory, main_memory
from studio.models.readers import KINDS
from studio.models.slots import Held
from studio.models.speedups import LOADERS
from studio.people import acting
from studio.services import Services

_LOOKED_AT_AGAIN = 10.0
"""Seconds for which it is remembered which models somebody is told of."""


class HeldInfo(BaseModel):
    """A model in memory: its loader's kind, id, title, the bytes it holds, whether it is used.

    id: "" for one that you may not use. resting: it is in main memory while others have the device.
    """

    kind: str
    id: str
    title: str
    bytes: int
    in_use: bool
    resting: bool


class LeaseInfo(BaseModel):
    """Who has the device, or waits for it; since, until: seconds since 1970, until 0 if unknown.

    job: its id, "" for another person's.
    """

    holder: str
    job: str
    alone: bool
    waits: bool
    since: float
    until: float


class ReadyInfo(BaseModel):
    """What work still waits for, in words; nothing when it can start."""

    waits_for: list[str]


class DeviceInfo(BaseModel):
    """One of the devices: its name, whether it can work, its memory in bytes, what it holds."""

    device: str
    ready: bool
    memory_used: int
    memory_total: int
    loaded: list[str]


class StatusInfo(BaseModel):
    """Device, memory in bytes, jobs and the models that are loaded; ready once work can start.

    budget: bytes that models may hold. main_used, main_total, main_budget: of main memory where the
    device has one of its own, else 0. leases: those that have the device first. devices: all of
    them, while the rest is of the first.
    """

    version: str
    ready: bool
    device: str
    dtype: str
    memory_used: int
    memory_total: int
    running: int
    waiting: int
    loaded: list[str]
    budget: int
    held: list[HeldInfo]
    main_used: int
    main_total: int
    main_budget: int
    leases: list[LeaseInfo]
    devices: list[DeviceInfo]


def build_router(services: Services) -> APIRouter:
    """Routes /status, /health, /ready and /metrics."""
    router = APIRouter(tags=["status"])
    now = measures.at_the_moment(services)
    as_shown = _Shown(services)

    @router.get("/status")
    def status() -> StatusInfo:
        """What the studio is doing right now."""
        line, held = services.queue.line(), as_shown(services.in_memory.held())
        device = services.engine.known_device
        memory = services.engine.memory() if device else None
        return StatusInfo(
            version=__version__,
            ready=device is not None,
            device=device.label if device else "",
            dtype=device.dtype if device else "",
            memory_used=memory.used if memory else 0,
            memory_total=memory.total if memory else 0,
            running=line.running,
            waiting=line.waiting,
            loaded=[each.title for each in held],
            budget=services.engine.budget() if device else 0,
            held=[HeldInfo(**asdict(each)) for each in held],
            leases=[_lease(services, each) for each in services.engine.broker.leases()],
            devices=[_device(as_shown, each) for each in services.engines],
            **_main_memory(services),
        )

    @router.get("/health")
    def health() -> dict[str, str]:
        """Answers as soon as the server does."""
        return {"status": "ok"}

    @router.get("/ready", responses={503: {"model": ReadyInfo}})
    def ready() -> ReadyInfo:
        """Whether work can start; status 503 as long as it cannot."""
        told = ReadyInfo(waits_for=readiness.obstacles(services))
        if told.waits_for:
            return JSONResponse(told.model_dump(), 503)  # type: ignore[return-value]
        return told

    @router.get("/metrics")
    def metrics(request: Request) -> Response:
        """What happened since the start, and how it is at the moment, for Prometheus."""
        answers = getattr(request.app.state, "answers", None)
        registries = [services.metrics, now, *([answers] if answers else [])]
        told = found(lambda: measures.written(services, registries))
        return Response(told, media_type=CONTENT_TYPE_LATEST)

    return router


class _Shown:
    """Models in memory as whoever asks is told of them; shelves are looked at now and then."""

    def __init__(self, services: Services):
        self._services = services
        self._known: dict[int, tuple[float, dict[str, set[str]]]] = {}

    def __call__(self, held: list[Held]) -> list[Held]:
        """Of those that who asks may not use, only that they are there."""
        if acting().is_administrator or not held:
            return held
        shown = self._ids()
        return [
            each
            if each.id in shown.get(each.kind, (each.id,))
            else replace(each, id="", title="somebody's model")
            for each in held
        ]

    def _ids(self) -> dict[str, set[str]]:
        """What is shown to who asks, by kind; every page asks every two seconds."""
        person, now = acting().id, time.monotonic()
        until, shown = self._known.get(person, (0.0, {}))
        if now >= until:
            models = {entry.id for entry in self._services.catalogue.entries()}
            readers = {entry.id for entry in self._services.readers.entries()}
            shown = {**dict.fromkeys(LOADERS, models), **dict.fromkeys(KINDS, readers)}
            self._known[person] = now + _LOOKED_AT_AGAIN, shown
        return shown


def _lease(services: Services, lease: Lease) -> LeaseInfo:
    title, job = lease.holder.title, lease.holder.job_id
    if job and not acting().is_administrator and not _is_shown(services, job):
        title, job = "somebody's job", ""
    return LeaseInfo(
        holder=title,
        job=job,
        alone=lease.alone,
        waits=lease.waits,
        since=lease.since,
        until=lease.until,
    )


def _is_shown(services: Services, job_id: str) -> bool:
    try:
        services.queue.get(job_id)
    except AtelierError:  # another's, or the database does not answer just now
        return False
    return True


def _device(as_shown: _Shown, engine: Engine | Remote) -> DeviceInfo:
    device = engine.known_device
    memory = engine.memory() if device else Memory(0, 0)
    return DeviceInfo(
        device=device.label if device else "",
        ready=device is not None and engine.is_up,
        memory_used=memory.used,
        memory_total=memory.total,
        loaded=[each.title for each in as_shown(engine.models.held())],
    )


def _main_memory(services: Services) -> dict[str, int]:
    """Main memory beside a device with its own; zeros where there is none."""
    budget = services.engine.resting_budget() if services.engine.known_device else 0
    now = main_memory() if budget else Memory(0, 0)
    return {"main_used": now.used, "main_total": now.total, "main_budget": budget}
