"""The devices: those of this machine, and those of a cluster's nodes."""

from dataclasses import asdict

from fastapi import APIRouter
from pydantic import BaseModel

from studio.api.status import HeldInfo, LeaseInfo
from studio.device.remote import Remote
from studio.engine import Engine
from studio.models.devices import Memory
from studio.services import Services


class DeviceAtWork(BaseModel):
    """A device.

    device, name: what it is, for people and for PyTorch, "" until it was found. dtype: of weights.
    place: the node of a cluster, "" for this machine. state: `ready`, `busy`, `starting` or
    `hopeless`, when its process cannot come up. memory_used, memory_total, budget: bytes; the last
    is what models may hold. held: models. leases: what it does, and who waits for it. restarts: of
    its process since the server's start.
    """

    device: str
    name: str
    dtype: str
    place: str
    state: str
    memory_used: int
    memory_total: int
    budget: int
    held: list[HeldInfo]
    leases: list[LeaseInfo]
    restarts: int


class DeviceList(BaseModel):
    """All devices, those of this machine first."""

    devices: list[DeviceAtWork]


def add_routes(router: APIRouter, services: Services) -> None:
    """Add them to a router."""

    @router.get("/devices", operation_id="list_devices", summary="See the devices")
    def devices() -> DeviceList:
        """What each holds and does."""
        found = [_told(engine, "") for engine in services.own_engines]
        if services.crew is not None:
            hands = services.crew.roster.hands
            found += [
                _told(hand.engine, hand.places[-1].host if hand.places else "on its way")
                for hand in hands
            ]
        return DeviceList(devices=found)


def _told(engine: Engine | Remote, place: str) -> DeviceAtWork:
    device, leases = engine.known_device, engine.broker.leases()
    memory = engine.memory() if device else Memory(0, 0)
    return DeviceAtWork(
        device=device.label if device else "",
        name=device.name if device else "",
        dtype=device.dtype if device else "",
        place=place,
        state=_state(engine, any(not lease.waits for lease in leases)),
        memory_used=memory.used,
        memory_total=memory.total,
        budget=engine.budget() if device else 0,
        held=[HeldInfo(**asdict(each)) for each in engine.models.held()],
        leases=[
            LeaseInfo(
                holder=lease.holder.title,
                job=lease.holder.job_id,
                alone=lease.alone,
                waits=lease.waits,
                since=lease.since,
                until=lease.until,
            )
            for lease in leases
        ],
        restarts=engine.restarts,
    )


def _state(engine: Engine | Remote, is_used: bool) -> str:
    if engine.is_hopeless:
        return "hopeless"
    if engine.known_device is None or not engine.is_up:
        return "starting"
    return "busy" if is_used else "ready"
