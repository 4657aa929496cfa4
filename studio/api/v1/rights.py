"""Who may use what: shown, shared and limited."""

from enum import Enum
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from studio.models.rights import Right
from studio.people import acting
from studio.services import Services

Kind = Annotated[
    str,
    Field(
        max_length=50,
        description="`model`, `LoRA`, `embedding` or `reader`; `picture set`, `run`, `data set` or "
        "`submission`.",
    ),
]
ItemId = Annotated[
    str,
    Field(
        max_length=1000,
        description="A model's or reader's id, a file's place in `models/`, a name, or a "
        "submission's number.",
    ),
]


class RightInfo(BaseModel):
    """Who may use a thing.

    owner: id of the person who has made it, 0 for nobody. by: their name, empty for nobody's.
    shared: whether others see it. people: ids of those to whom its use is limited, none for
    everybody.
    """

    kind: str
    id: str
    title: str
    owner: int
    by: str
    shared: bool
    people: list[int]


class RightChange(BaseModel):
    """What is to be so; what is left out stays as it is."""

    model_config = ConfigDict(extra="forbid")

    kind: Kind
    id: ItemId
    shared: bool | None = None
    people: Annotated[
        list[Annotated[int, Field(ge=1, le=2**31)]] | None, Field(max_length=1000)
    ] = None


def add_routes(router: APIRouter, services: Services) -> None:
    """Add them to a router."""
    tags: list[str | Enum] = ["models"]
    rights = services.rights

    @router.get("/rights", operation_id="get_right", summary="See who may use it", tags=tags)
    def right(
        kind: Annotated[Kind, Query()],
        id: Annotated[ItemId, Query()],
    ) -> RightInfo:
        """Whose a model, an adapter, a picture set, a run, a data set or a submission is."""
        return told(rights.get(kind, id))

    @router.post("/rights", operation_id="set_right", summary="Say who may use it", tags=tags)
    def change(wanted: RightChange) -> RightInfo:
        """Share what one has made, or stop that; administrators limit the use of anything."""
        if wanted.shared is not None:
            rights.share(wanted.kind, wanted.id, wanted.shared)
        if wanted.people is not None:
            rights.limit(wanted.kind, wanted.id, wanted.people)
        return told(rights.get(wanted.kind, wanted.id))

    def told(right: Right) -> RightInfo:
        names = services.accounts.names([right.owner])
        return RightInfo(
            kind=right.kind,
            id=right.id,
            title=right.title,
            owner=right.owner,
            by=names.get(right.owner, ""),
            shared=right.shared,
            # Who else may use it is for those to know who decide on it.
            people=[each for each in right.people if acting().sees(each)],
        )
