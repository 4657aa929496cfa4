"""The state of the studio at a glance, for the page's header and for health checks."""

from dataclasses import asdict

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel

from studio import __version__
from studio.models.devices import Memory, main_memory
from studio.services import Services


class HeldInfo(BaseModel):
    """A model in memory: its loader's kind, id, title, the bytes it holds, whether it is used.

    resting: it is in main memory while others have the device.
    """

    kind: str
    id: str
    title: str
    bytes: int
    in_use: bool
    resting: bool


class LeaseInfo(BaseModel):
    """Who has the device, or waits for it; since, until: seconds since 1970, until 0 if unknown."""

    holder: str
    job: str
    alone: bool
    waits: bool
    since: float
    until: float


class StatusInfo(BaseModel):
    """Device, memory in bytes, jobs and the models that are loaded; ready once work can start.

    budget: bytes that models may hold. main_used, main_total, main_budget: of main memory where the
    device has one of its own, else 0. leases: those that have the device first.
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


def build_router(services: Services) -> APIRouter:
    """Routes /status, /health and /metrics."""
    router = APIRouter(tags=["status"])

    @router.get("/status")
    def status() -> StatusInfo:
        """What the studio is doing right now."""
        line, held = services.queue.line(), services.engine.models.held()
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
            leases=[
                LeaseInfo(
                    holder=each.holder.title,
                    job=each.holder.job_id,
                    alone=each.alone,
                    waits=each.waits,
                    since=each.since,
                    until=each.until,
                )
                for each in services.engine.broker.leases()
            ],
            **_main_memory(services),
        )

    @router.get("/health")
    def health() -> dict[str, str]:
        """Answers as soon as the server does."""
        return {"status": "ok"}

    @router.get("/metrics")
    def metrics() -> Response:
        """Counts of what the broker of the device did, and memory by model, for Prometheus."""
        return Response(generate_latest(services.metrics), media_type=CONTENT_TYPE_LATEST)

    return router


def _main_memory(services: Services) -> dict[str, int]:
    """Main memory beside a device with its own; zeros where there is none."""
    budget = services.engine.resting_budget() if services.engine.known_device else 0
    now = main_memory() if budget else Memory(0, 0)
    return {"main_used": now.used, "main_total": now.total, "main_budget": budget}
