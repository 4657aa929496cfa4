"""Bodies of requests, read within bounds and without holding up the event loop."""

from typing import Any

import orjson
from fastapi import HTTPException, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_SMALL = 10**6
"""Bytes that are read as JSON so fast that no thread need do it."""


class Bounded(Request):
    """A request whose body is read up to a limit, and as JSON off the event loop.

    limit: bytes, 0 for any number. instead: what to do about a body that has more.
    """

    def __init__(self, scope: Any, receive: Any, limit: int, instead: str):
        super().__init__(scope, receive)
        self._limit = limit
        self._instead = instead

    async def body(self) -> bytes:
        """The whole body; 413 as soon as it is longer than the limit, 0 for none."""
        if not hasattr(self, "_body"):
            parts, length = [], 0
            async for part in self.stream():
                length += len(part)
                if self._limit and length > self._limit:
                    raise HTTPException(
                        413,
                        f"The request has more than {self._limit // 10**6} MB; {self._instead}.",
                    )
                parts.append(part)
            self._body = b"".join(parts)
        return self._body

    async def json(self) -> Any:
        """The body as JSON; JSONDecodeError also for what strict JSON does not know."""
        body = await self.body()
        if len(body) <= _SMALL:
            return orjson.loads(body)
        return await run_in_threadpool(orjson.loads, body)


SMALL_BODY = 10**6
"""Bytes of a body for which no door has a limit of its own: some fields of JSON."""
EVENT_BODY = 64 * 10**6
"""Bytes of an event of the page: the longest text that readers take, escaped; files go apart."""
FILES_AT_ONCE = 100
"""Of the largest size, in one upload of the page; smaller ones may be more."""
_EVENTS, _UPLOAD = "/gradio_api/", "/gradio_api/upload"
_OWN = ("/api/v1/", "/sdapi/v1/")
_FILES = frozenset({"/inputs"})
"""Doors that know better what is too much."""


class Bounding:
    """The middleware that takes no more of a body than its door has use for, however it is sent.

    max_upload: bytes of one file, 0 for any number. Doors with a limit of their own have that one.
    """

    def __init__(self, app: ASGIApp, max_upload: int):
        self._app = app
        self._max_upload = max_upload

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on; 413 as soon as it has sent too much."""
        limit = self._limit(scope["path"]) if scope["type"] == "http" else 0
        if not limit:
            await self._app(scope, receive, send)
            return
        taken = _Taken(limit, receive, send)
        if _length(scope) > limit:
            await taken.refuse()
            return
        try:
            await self._app(scope, taken.receive, taken.send)
        except _TooMuch:
            await taken.refuse()

    def _limit(self, path: str) -> int:
        """Bytes, 0 for any number."""
        if path.startswith(_OWN) or path in _FILES:
            return 0
        if path.rstrip("/") == _UPLOAD:
            return FILES_AT_ONCE * self._max_upload
        return EVENT_BODY if path.startswith(_EVENTS) else SMALL_BODY


class _TooMuch(Exception):
    """More of a body has come than is taken."""


class _Taken:
    """One request's body as it is taken, and its answer; what is too much ends in 413."""

    def __init__(self, limit: int, receive: Receive, send: Send):
        self._limit = limit
        self._receive = receive
        self._send = send
        self._length = 0
        self._is_begun = False

    async def receive(self) -> Message:
        message = await self._receive()
        self._length += len(message.get("body", b""))
        if self._length > self._limit:
            raise _TooMuch
        return message

    async def send(self, message: Message) -> None:
        # Some catch whatever goes wrong as they read, and answer that the body is not right.
        if self._length > self._limit and not self._is_begun:
            raise _TooMuch
        self._is_begun = True
        await self._send(message)

    async def refuse(self) -> None:
        """Answer that it is too much, where nothing was answered yet."""
        if self._is_begun:
            return
        self._is_begun = True
        words = f"That is more than the {self._limit / 10**6:g} MB that are taken; send less."
        answer = JSONResponse({"detail": words}, 413, {"Connection": "close"})
        await answer({"type": "http"}, self._receive, self._send)


def _length(scope: Scope) -> int:
    told = dict(scope["headers"]).get(b"content-length", b"0")
    return int(told) if told.isdigit() else 0
