"""The frame around every route: bodies within bounds, and one shape for all that goes wrong."""

import math
from collections.abc import Awaitable, Callable, Coroutine
from http import HTTPStatus
from typing import Any

import orjson
from fastapi import HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel, Field

from studio.api.bodies import Bounded
from studio.api.v1.asked import KINDS
from studio.errors import (
    AtelierError,
    DataError,
    DeviceBusy,
    Forbidden,
    InputError,
    ModelError,
    NotFound,
    QueueFull,
    QuotaUsed,
    RequestError,
)
from studio.requests import label

PREFIX = "/api/v1"
LARGEST = 32 * 10**6
"""Bytes of a body in JSON: the longest text that readers take, in letters of one byte."""
_STATUSES: tuple[tuple[type[AtelierError], int], ...] = (
    (Forbidden, 403),
    (NotFound, 404),
    (DeviceBusy, 409),
    (QueueFull, 429),
    (RequestError, 422),
    (InputError, 422),
    (DataError, 422),
    (ModelError, 422),
)
"""What the one who asked can do something about; anything else is 500."""
_RETRY = "30"
"""Seconds after which a full queue may have room."""
_SAFE = ("GET", "HEAD", "OPTIONS")
_PLACES = ("body", "query", "path", "header")
_SHOWN = 60


class Problem(BaseModel):
    """Why not: the status, what that is called, one sentence, and the field at fault, or ""."""

    status: int = Field(examples=[422])
    title: str = Field(examples=["Unprocessable Entity"])
    detail: str = Field(examples=["Steps must be less than or equal to 150, but is 500."])
    field: str = Field("", examples=["steps"])


def refusal(words: str) -> dict[str, Any]:
    """What OpenAPI says of a `Problem`.

    By its place, for FastAPI would give it the type of the route's own answer, as of a picture.
    """
    schema = {"$ref": f"#/components/schemas/{Problem.__name__}"}
    return {"description": words, "content": {"application/json": {"schema": schema}}}


REFUSALS: dict[int | str, dict[str, Any]] = {
    403: refusal("A page of another site asked, or it may not be done by who asks."),
    404: refusal("There is no such thing."),
    413: refusal("The body is too large."),
    422: refusal("It cannot be done; `detail` says why."),
    500: refusal("The machine refuses; `detail` says why."),
}
"""What every route may answer."""
BUSY: dict[int | str, dict[str, Any]] = {409: refusal("Somebody has the device alone.")}
FULL: dict[int | str, dict[str, Any]] = {
    429: {
        "model": Problem,
        "description": "As many jobs wait as may, or a quota is used up.",
        "headers": {"Retry-After": {"schema": {"type": "integer"}, "description": "Seconds."}},
    }
}


class Route(APIRoute):
    """A route that takes bodies up to the limit and tells all that goes wrong as a `Problem`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The route's own handler in the frame."""
        inner = super().get_route_handler()

        async def handle(request: Request) -> Response:
            bounded = Bounded(request.scope, request.receive, LARGEST, "send less")
            return await _framed(inner, bounded)

        return handle


def problem(status: int, detail: str, field: str = "", retry: str = _RETRY) -> Response:
    """An answer that says why not."""
    title = HTTPStatus(status).phrase
    told = Problem(status=status, title=title, detail=detail, field=field)
    more = {"Retry-After": retry} if status == 429 else {}
    # Half a pair of surrogates, as a message may quote, is no text that could be sent.
    content = told.model_dump_json().encode("utf-8", "replace")
    return Response(content, status, more, media_type="application/json")


async def _framed(inner: Callable[[Request], Awaitable[Response]], request: Request) -> Response:
    site = request.headers.get("sec-fetch-site", "none")
    if request.method not in _SAFE and site not in ("same-origin", "none"):
        return problem(403, "Pages of other sites may not use this studio.")
    try:
        return await inner(request)
    except RequestValidationError as error:
        return _invalid(error)
    except HTTPException as error:
        return problem(error.status_code, str(error.detail))
    except AtelierError as error:
        field = error.field if isinstance(error, RequestError) else ""
        return problem(_status(error), str(error), field, _retry(error))


def _retry(error: AtelierError) -> str:
    """Seconds after which it may be asked again."""
    known = isinstance(error, QuotaUsed) and error.seconds
    return str(math.ceil(error.seconds)) if known else _RETRY  # type: ignore[attr-defined]


def _status(error: AtelierError) -> int:
    return next((status for kind, status in _STATUSES if isinstance(error, kind)), 500)


def _invalid(error: RequestValidationError) -> Response:
    """The first wrong field and its rule in a sentence, as all other doors tell it."""
    first = error.errors()[0]
    place = [str(part) for part in first["loc"] if part not in _PLACES]
    tag = isinstance(error.body, dict) and error.body.get("kind")
    if place and place[0] == tag and first["loc"][0] == "body":
        place = place[1:]  # which of the kinds of requests it is
    field = ".".join(place)[:_SHOWN]
    return problem(422, _sentence(first, field), field)


def _sentence(first: dict[str, Any], field: str) -> str:
    shown = label(field) or "The request"
    message = str(first["msg"])
    match first["type"]:
        case "missing":
            return f"{shown} is missing; send it."
        case "extra_forbidden":
            return f"{field!r} is no field of this request; leave it out."
        case "json_invalid":
            return "The body is not JSON; send an object with the type application/json."
        case "value_error":
            return f"{label(field)} {message.removeprefix('Value error, ')}.".lstrip()
        case "union_tag_invalid" | "union_tag_not_found":
            return f"The kind of the request must be one of: {', '.join(KINDS)}."
    rule = message.replace("Input should", "must").replace("String should", "must")
    return f"{shown} {rule}, but is {_quoted(first.get('input'))}."


def _quoted(value: Any) -> str:
    try:
        shown = orjson.dumps(value).decode()
    except TypeError:
        shown = repr(value)
    return shown if len(shown) <= _SHOWN else f"{shown[:40]}… ({len(shown):,} characters)"
