"""Who asks: their role, what they may have, and what they have used."""

from dataclasses import asdict
from enum import Enum
from typing import Annotated

from fastapi import APIRouter
from fastapi import Path as InPath
from pydantic import BaseModel, ConfigDict, Field

from studio.people import Deed, Role, acting
from studio.services import Services
from studio.store.quotas import NAMES

PersonId = Annotated[int, InPath(ge=1, le=2**31, description="Of the person.")]


class PersonInfo(BaseModel):
    """A person; id 0 and no name for who works without an account."""

    id: int
    name: str
    role: Role


class QuotaInfo(BaseModel):
    """What a person may have, 0 for as much as they like.

    waiting_jobs: at a time. images_a_day: in 24 hours. training_hours: in 30 days. disk: bytes.
    """

    waiting_jobs: int
    images_a_day: int
    training_hours: float
    disk: int


class UsedInfo(BaseModel):
    """What a person has used of it.

    images: made in 24 hours. images_to_come: of jobs that wait or run. disk: bytes.
    """

    waiting_jobs: int
    images: int
    images_to_come: int
    training_hours: float
    disk: int


class RoomInfo(BaseModel):
    """Seconds until there is room for another image and another training, 0 where there is."""

    images: float
    training: float


class MeInfo(BaseModel):
    """Who asks."""

    person: PersonInfo
    quotas: QuotaInfo
    used: UsedInfo
    room: RoomInfo


class QuotaChange(BaseModel):
    """What is to hold for a person, null for what is usual; what is left out stays as it is."""

    model_config = ConfigDict(extra="forbid")

    waiting_jobs: Annotated[int | None, Field(ge=0, le=100_000)] = None
    images_a_day: Annotated[int | None, Field(ge=0, le=10**9)] = None
    training_hours: Annotated[float | None, Field(ge=0, le=720)] = None
    disk: Annotated[int | None, Field(ge=0, le=2**60)] = None


def add_routes(router: APIRouter, services: Services) -> None:
    """Add them to a router."""
    tags: list[str | Enum] = ["people"]
    allowance = services.allowance

    @router.get("/me", operation_id="get_me", summary="See who you are", tags=tags)
    def me() -> MeInfo:
        """Your role, your quotas and what you have used of them."""
        person = acting()
        return MeInfo(
            person=PersonInfo(id=person.id, name=person.name, role=person.role),
            quotas=QuotaInfo(**asdict(allowance.limits(person))),
            used=UsedInfo(**asdict(allowance.used(person.id))),
            room=RoomInfo(**asdict(allowance.room(person))),
        )

    @router.get(
        "/people/{person}/quotas", operation_id="get_quotas", summary="See quotas", tags=tags
    )
    def quotas(person: PersonId) -> QuotaInfo:
        """What a person may have; for administrators."""
        acting().must_be_allowed(Deed.MANAGE_PEOPLE)
        services.accounts.get(person)
        return QuotaInfo(**asdict(allowance.quotas.of(person)))

    @router.post(
        "/people/{person}/quotas", operation_id="set_quotas", summary="Change quotas", tags=tags
    )
    def change(person: PersonId, wanted: QuotaChange) -> QuotaInfo:
        """Say what a person may have; for administrators."""
        acting().must_be_allowed(Deed.MANAGE_PEOPLE)
        services.accounts.get(person)
        given = {name: getattr(wanted, name) for name in NAMES if name in wanted.model_fields_set}
        allowance.quotas.set(person, given)
        return QuotaInfo(**asdict(allowance.quotas.of(person)))
