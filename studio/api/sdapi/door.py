"""The frame around every route: bodies within bounds, refusals in words, no work in the loop."""

import json
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from dataclasses import dataclass
from typing import Any

import orjson
from fastapi import HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool
from starlette.responses import StreamingResponse

from studio.api.bodies import Bounded
from studio.errors import (
    AtelierError,
    DataError,
    DeviceBusy,
    Forbidden,
    InputError,
    ModelError,
    NotFound,
    RequestError,
)

PREFIX = "/sdapi/v1"
PICTURES = 4
"""How many pictures of the largest size a body may have."""
_TEXTS = 2 * 10**6
"""Bytes that a body may have beside its pictures."""
_AT_ONCE = 30 * 10**6
"""Bytes of pictures that are answered in one piece."""
_SMALLER = "send fewer or smaller pictures"
_REFUSED = (RequestError, InputError, ModelError, DeviceBusy, DataError)
"""What the one who asked can do something about."""
_SHOWN = 200


class JobFailed(AtelierError):
    """A job ended without what it was asked for; the message is its reason."""


class ServerStops(AtelierError):
    """The server ends before the job does."""

    def __init__(self, task: str):
        super().__init__(
            f"The server is being stopped; ask for {PREFIX}/jobs/{task} when it runs again."
        )


def answer(content: object, status: int = 200) -> Response:
    """An answer as JSON."""
    return Response(orjson.dumps(content), status, media_type="application/json")


async def in_thread(work: Callable[..., dict[str, Any] | list[Any] | None], *args: Any) -> Response:
    """What a function gives, packed as JSON where it was made: pictures make long texts."""
    return await run_in_threadpool(lambda: answer(work(*args)))


@dataclass(frozen=True)
class Packed:
    """An answer in JSON, piece by piece; size: bytes of the files in it."""

    size: int
    pieces: Iterator[bytes]


async def in_pieces(work: Callable[..., Packed], *args: Any) -> Response:
    """What a function packs: at once where that is little, else so that it never lies in memory."""

    def respond() -> Response:
        packed = work(*args)
        if packed.size <= _AT_ONCE:
            return Response(b"".join(packed.pieces), media_type="application/json")
        return StreamingResponse(packed.pieces, media_type="application/json")

    return await run_in_threadpool(respond)


def route_class(max_upload: int) -> type[APIRoute]:
    """The class of routes for a server; max_upload: bytes of one picture, 0 for any number."""
    limit = max_upload and PICTURES * max_upload * 4 // 3 + _TEXTS

    class Route(APIRoute):
        """A route that takes bodies up to the limit and tells in words what it cannot do."""

        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            """The route's own handler in the frame."""
            inner = super().get_route_handler()

            async def handle(request: Request) -> Response:
                return await _framed(
                    inner, Bounded(request.scope, request.receive, limit, _SMALLER)
                )

            return handle

    return Route


async def _framed(inner: Callable[[Request], Awaitable[Response]], request: Request) -> Response:
    if request.method == "POST" and request.headers.get("sec-fetch-site") == "cross-site":
        words = "Pages of other sites may not use this studio."
        return refusal(403, "HTTPException", words)
    try:
        return await inner(request)
    except RequestValidationError as error:
        return _invalid(error)
    except HTTPException as error:
        return refusal(error.status_code, "HTTPException", error.detail)
    except AtelierError as error:
        return refusal(_status(error), type(error).__name__, str(error))


def refusal(status: int, kind: str, words: object) -> Response:
    """Why not, in the form that it has there."""
    return answer({"error": kind, "detail": words, "body": "", "errors": str(words)}, status)


def _status(error: AtelierError) -> int:
    if isinstance(error, NotFound):
        return 404
    if isinstance(error, Forbidden):
        return 403
    if isinstance(error, ServerStops):
        return 503
    return 422 if isinstance(error, _REFUSED) else 500


def _invalid(error: RequestValidationError) -> Response:
    """The wrong fields by their places, without what was sent: that may be megabytes."""
    details = [
        {"loc": list(each["loc"]), "msg": each["msg"], "type": each["type"]}
        for each in error.errors()
    ]
    first = details[0] if details else {"loc": [], "msg": "the body is not as it must be"}
    place = ".".join(str(part)[:_SHOWN] for part in first["loc"] if part != "body")
    words = f"{place}: {first['msg']}" if place else str(first["msg"])
    content = {"error": "RequestValidationError", "detail": details, "body": "", "errors": words}
    # Whatever the places hold, the answer can be written.
    return Response(json.dumps(content).encode(), 422, media_type="application/json")
