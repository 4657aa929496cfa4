"""The state of the studio at a glance, for the page's header and for health checks."""

from dataclasses import asdict

from fastapi import APIRouter
from pydantic import BaseModel

from studio import __version__
from studio.services import Services


class HeldInfo(BaseModel):
    """A model in memory: its loader's kind, id, title, the bytes it holds, whether it is used."""

    kind: str
    id: str
    title: str
    bytes: int
    in_use: bool


class StatusInfo(BaseModel):
    """Device, memory in bytes, jobs and the models that are loaded; ready once work can start.

    budget: bytes that models may hold.
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


def build_router(services: Services) -> APIRouter:
    """Routes /status and /health."""
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
        )

    @router.get("/health")
    def health() -> dict[str, str]:
        """Answers as soon as the server does."""
        return {"status": "ok"}

    return router
