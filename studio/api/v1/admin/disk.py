"""The disk: its room, and who keeps how much of what."""

from fastapi import APIRouter
from pydantic import BaseModel

from studio.services import Services


class KeptInfo(BaseModel):
    """What a person keeps: bytes by sort. person 0: what belongs to nobody, and the studio's."""

    person: int
    name: str
    bytes: dict[str, int]
    total: int


class RestInfo(BaseModel):
    """What else lies in the data folder, by the name of the file or folder."""

    name: str
    bytes: int


class DiskInfo(BaseModel):
    """The disk of the data folder.

    total, free: bytes right now. The rest was measured at a time (seconds since 1970), in some
    seconds; null before the first time. measuring: whether that is done now.
    """

    folder: str
    total: int
    free: int
    measuring: bool
    measured_at: float | None
    seconds: float
    people: list[KeptInfo]
    rest: list[RestInfo]


def add_routes(router: APIRouter, services: Services) -> None:
    """Add them to a router."""
    disk = services.disk

    @router.get("/disk", operation_id="get_disk", summary="See the disk")
    def look() -> DiskInfo:
        """As it was last measured; what is older than an hour is measured again meanwhile."""
        disk.look()
        return _told(services)

    @router.post("/disk", operation_id="measure_disk", summary="Measure it again")
    def measure() -> DiskInfo:
        """Begin to measure it anew, where that is not done already."""
        disk.look(again=True)
        return _told(services)


def _told(services: Services) -> DiskInfo:
    # In this order: what ends between the two is then told of at the next look.
    measuring, last, room = services.disk.is_measuring, services.disk.last(), services.disk.room()
    return DiskInfo(
        folder=str(services.settings.data_dir),
        total=room.total,
        free=room.free,
        measuring=measuring,
        measured_at=last.at if last else None,
        seconds=last.seconds if last else 0.0,
        people=[
            KeptInfo(
                person=each.person,
                name=services.audit.name_of(each.person),
                bytes=each.bytes,
                total=each.total,
            )
            for each in (last.people if last else ())
        ],
        rest=[RestInfo(name=name, bytes=size) for name, size in (last.rest if last else ())],
    )
