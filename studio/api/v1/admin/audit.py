"""The audit log: who has done what, a page at a time or all of it as a table."""

import csv
import io
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

from studio.api.v1.paging import Limit, Offset
from studio.audit import Act
from studio.services import Services
from studio.store.audit import AuditRow

_COLUMNS = ("time", "person", "name", "place", "act", "thing", "outcome")
_FORMULA = ("=", "+", "-", "@")
"""What spreadsheets take for the beginning of something to be computed."""

WhoseId = Annotated[
    int | None, Query(ge=0, le=2**31, description="Only what this person did; 0 is the studio.")
]
WhichAct = Annotated[Act | None, Query(description="Only acts of this sort.")]


class ActInfo(BaseModel):
    """Something that was done.

    at: seconds since 1970. person, name: id and name of who did it, as they were called then; 0 and
    "" for the studio itself and for nobody known. place: their address, `command` on the server's
    own machine, "" for the server. thing: what it was done to. outcome: `done`, or why not.
    """

    number: int
    at: float
    person: int
    name: str
    place: str
    act: str
    thing: str
    outcome: str


class WhoInfo(BaseModel):
    """Somebody of whom something is noted."""

    id: int
    name: str


class AuditInfo(BaseModel):
    """Some acts, newest first; total counts all that match. people, known: what can be chosen."""

    acts: list[ActInfo]
    total: int = Field(ge=0)
    offset: int = Field(ge=0)
    people: list[WhoInfo]
    known: list[Act]
    days: int


def add_routes(router: APIRouter, services: Services) -> None:
    """Add them to a router."""
    table = services.audit

    @router.get("/audit", operation_id="list_acts", summary="See who did what")
    def acts(
        person: WhoseId = None, act: WhichAct = None, offset: Offset = 0, limit: Limit = 50
    ) -> AuditInfo:
        """What was noted, newest first."""
        page = table.page(offset, limit, person, act)
        return AuditInfo(
            acts=[ActInfo(**asdict(row)) for row in page.rows],
            total=page.total,
            offset=offset,
            people=[WhoInfo(id=each, name=name) for each, name in table.people()],
            known=list(Act),
            days=services.settings.audit_days,
        )

    @router.get(
        "/audit.csv",
        response_class=StreamingResponse,
        responses={200: {"content": {"text/csv": {"schema": {"type": "string"}}}}},
        operation_id="get_acts_as_csv",
        summary="Take all of it",
    )
    def as_csv(person: WhoseId = None, act: WhichAct = None) -> StreamingResponse:
        """The same as a table, all that matches, newest first; times in UTC."""
        return StreamingResponse(
            _table(table.every(person, act)),
            media_type="text/csv; charset=utf-8",
            headers={"Content-Disposition": 'attachment; filename="atelier-audit.csv"'},
        )


def _table(rows: Iterable[AuditRow]) -> Iterator[str]:
    yield _line(_COLUMNS)
    for row in rows:
        at = datetime.fromtimestamp(row.at, UTC).isoformat(timespec="seconds")
        told = (row.name, row.place, row.act, row.thing, row.outcome)
        yield _line((at, str(row.person), *map(_harmless, told)))


def _line(cells: Iterable[str]) -> str:
    stream = io.StringIO()
    csv.writer(stream).writerow(cells)
    return stream.getvalue()


def _harmless(cell: str) -> str:
    """A text that no spreadsheet computes: names and labels are chosen by people."""
    return f"'{cell}" if cell.startswith(_FORMULA) else cell
