"""Everybody with an account: what they may have, and what they use."""

from fastapi import APIRouter
from pydantic import BaseModel

from studio.api.v1.me import QuotaInfo
from studio.people import Role
from studio.services import Services
from studio.store.quotas import NAMES
from studio.store.spending import Share


class OwnQuotas(BaseModel):
    """What is said of one person, null where it is as usual."""

    waiting_jobs: int | None
    images_a_day: int | None
    training_hours: float | None
    disk: int | None


class PersonAtWork(BaseModel):
    """A person, and how much of the studio is theirs at the moment.

    Times are seconds since 1970, null for what has not happened. invited: whether they have still
    to choose a password. images: of the last 24 hours. training_hours: of the last 30 days. disk:
    bytes, null until they have been measured. own: what is said of their quotas alone.
    """

    id: int
    name: str
    role: Role
    disabled: bool
    invited: bool
    created_at: float
    seen_at: float | None
    waiting: int
    running: int
    images: int
    training_hours: float
    disk: int | None
    own: OwnQuotas


class PeopleInfo(BaseModel):
    """Everybody, and the usual quotas, 0 for as much as one likes."""

    people: list[PersonAtWork]
    usual: QuotaInfo


def add_routes(router: APIRouter, services: Services) -> None:
    """Add them to a router."""
    quotas = services.allowance.quotas

    @router.get("/people", operation_id="list_people", summary="See everybody")
    def people() -> PeopleInfo:
        """Everybody with an account, by name, and what they use."""
        shares, own = services.allowance.of_all(), quotas.everybodys()
        measured = services.disk.last()
        sizes = {each.person: each.total for each in measured.people} if measured else {}
        services.disk.look()
        nothing = dict.fromkeys(NAMES)
        found = []
        for row in services.accounts.listed():
            share = shares.get(row.id, Share())
            found.append(
                PersonAtWork(
                    id=row.id,
                    name=row.name,
                    role=row.role,
                    disabled=row.disabled_at is not None,
                    invited=not row.password_hash,
                    created_at=row.created_at,
                    seen_at=row.seen_at,
                    waiting=share.waiting,
                    running=share.running,
                    images=share.images,
                    training_hours=share.training_hours,
                    disk=sizes.get(row.id, 0) if measured else None,
                    own=OwnQuotas.model_validate(own.get(row.id, nothing)),
                )
            )
        usual = {name: getattr(quotas.usual, name) for name in NAMES}
        return PeopleInfo(people=found, usual=QuotaInfo(**usual))
