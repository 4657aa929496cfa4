"""Saved pictures: listed, shown, and put into the trash."""

import json
from enum import Enum
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import FileResponse
from pydantic import BaseModel, Field

from studio.api.outputs import OutputId, OutputInfo, facts, picture
from studio.api.v1.paging import Limit, Offset
from studio.services import Services
from studio.store.outputs import OutputRow

PICTURE: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The file.",
        "content": {
            f"image/{kind}": {"schema": {"type": "string", "contentMediaType": f"image/{kind}"}}
            for kind in ("png", "jpeg", "webp")
        },
    }
}


class OutputItem(OutputInfo):
    """A saved picture; job: the id of the job that made it."""

    job: str


class OutputDetail(OutputItem):
    """The same with all that was asked for it."""

    request: dict[str, Any]


class OutputList(BaseModel):
    """Some pictures, newest first; total counts all that match."""

    outputs: list[OutputItem]
    total: int = Field(ge=0)
    offset: int = Field(ge=0)


def add_routes(router: APIRouter, services: Services) -> None:
    """Add them to a router."""
    outputs = services.outputs
    tags: list[str | Enum] = ["outputs"]

    @router.get("/outputs", operation_id="list_outputs", summary="List pictures", tags=tags)
    def listed(
        search: Annotated[
            str, Query(max_length=1000, description="Words that prompt and model have.")
        ] = "",
        model: Annotated[str, Query(max_length=200, description="That made them.")] = "",
        trash: Annotated[bool, Query(description="Those in the trash instead.")] = False,
        offset: Offset = 0,
        limit: Limit = 50,
    ) -> OutputList:
        """One's own pictures, newest first; administrators see those of everybody."""
        page = outputs.page(offset, limit, search, model, trash)
        items = [OutputItem(**_told(row)) for row in page.rows]
        return OutputList(outputs=items, total=page.total, offset=offset)

    @router.get(
        "/outputs/{output_id}", operation_id="get_output", summary="Look at a picture", tags=tags
    )
    def one(output_id: OutputId) -> OutputDetail:
        """Its facts and settings."""
        return _detail(outputs.get(output_id))

    @router.get(
        "/outputs/{output_id}/file",
        operation_id="get_output_file",
        summary="Get a picture's file",
        response_class=FileResponse,
        responses=PICTURE,
        tags=tags,
    )
    def file(output_id: OutputId) -> FileResponse:
        """The picture as it was saved, with its settings inside."""
        return picture(outputs.path(output_id))

    @router.get(
        "/outputs/{output_id}/thumbnail",
        operation_id="get_output_thumbnail",
        summary="Get a picture made small",
        response_class=FileResponse,
        responses=PICTURE,
        tags=tags,
    )
    def thumbnail(output_id: OutputId) -> FileResponse:
        """A WebP of at most 256 pixels a side."""
        return picture(outputs.thumbnail(output_id))

    @router.delete(
        "/outputs/{output_id}",
        operation_id="trash_output",
        summary="Throw a picture away",
        tags=tags,
    )
    def trash(output_id: OutputId) -> OutputDetail:
        """Put it into the trash, from which it can be restored until that is emptied."""
        outputs.get(output_id)
        outputs.trash([output_id])
        return _detail(outputs.get(output_id))

    @router.post(
        "/outputs/{output_id}/restore",
        operation_id="restore_output",
        summary="Take a picture back",
        tags=tags,
    )
    def restore(output_id: OutputId) -> OutputDetail:
        """Take it out of the trash."""
        outputs.get(output_id)
        outputs.restore([output_id])
        return _detail(outputs.get(output_id))


def _told(row: OutputRow) -> dict[str, Any]:
    return facts(row) | {"job": row.job_id}


def _detail(row: OutputRow) -> OutputDetail:
    return OutputDetail(**_told(row), request=json.loads(row.request))
