"""Styles: pieces of prompts that are kept by name, everybody's and one's own."""

from enum import Enum
from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from studio.api.sdapi.styles import Styles
from studio.people import acting
from studio.services import Services
from studio.store.preferences import Style, StyleTable

_Name = Annotated[str, Field(min_length=1, max_length=200)]
_Text = Annotated[str, Field(max_length=10_000)]


class StyleInfo(BaseModel):
    """A style; `{prompt}` in it is where the prompt goes, else it comes after it.

    own: whether it is yours alone.
    """

    name: str
    prompt: str
    negative_prompt: str
    own: bool


class StyleList(BaseModel):
    """Styles by name."""

    styles: list[StyleInfo]


class NewStyle(BaseModel):
    """A style that is to be kept; everybody: for all people, which administrators may say."""

    model_config = ConfigDict(extra="forbid")

    name: _Name
    prompt: _Text = ""
    negative_prompt: _Text = ""
    everybody: bool = False


def add_routes(router: APIRouter, services: Services) -> None:
    """Add them to a router."""
    tags: list[str | Enum] = ["styles"]
    table = StyleTable(services.database)
    styles = Styles(services.settings.data_dir, table)

    @router.get("/styles", operation_id="list_styles", summary="List styles", tags=tags)
    def listed() -> StyleList:
        """Those of `styles.csv`, those that were kept for everybody, and yours."""
        return StyleList(styles=[_told(each) for each in styles.all().values()])

    @router.post("/styles", operation_id="keep_style", summary="Keep a style", tags=tags)
    def keep(wanted: NewStyle) -> StyleInfo:
        """Keep a style for yourself, or for everybody, in the place of one of its name."""
        own = bool(acting().id) and not wanted.everybody
        style = Style(wanted.name, wanted.prompt, wanted.negative_prompt, own)
        table.keep(style)
        return _told(style)

    @router.delete(
        "/styles",
        status_code=204,
        operation_id="delete_style",
        summary="Delete a style",
        tags=tags,
    )
    def remove(
        name: Annotated[str, Query(min_length=1, max_length=200)],
        everybody: Annotated[bool, Query(description="Everybody's instead of yours.")] = False,
    ) -> Response:
        """Delete a style of yours, or everybody's; those of `styles.csv` are deleted there."""
        table.remove(name, own=bool(acting().id) and not everybody)
        return Response(status_code=204)


def _told(style: Style) -> StyleInfo:
    return StyleInfo(
        name=style.name,
        prompt=style.prompt,
        negative_prompt=style.negative_prompt,
        own=style.own,
    )
