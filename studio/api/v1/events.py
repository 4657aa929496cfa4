"""A job's events as they happen, as server-sent events; no thread waits for them."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Annotated, Any

from fastapi import APIRouter, Header, Response
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

from studio.api.v1.jobs import JobId
from studio.events import EVENT, FINAL, Event
from studio.jobs.queue import JobQueue
from studio.services import Services

_HEARTBEAT = 15.0
"""Seconds without news after which a comment is sent, and the job's row is read again."""
_TOGETHER = 0.05
"""Seconds in which news gather: of progress only the newest matters."""
_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
EVENTS: dict[str, Any] = {
    "description": "Events until the final one; `event` is the type, `data` is JSON.",
    "content": {
        "text/event-stream": {
            "itemSchema": {
                "type": "object",
                "properties": {name: {"type": "string"} for name in ("id", "event", "data")},
                "required": ["id", "event", "data"],
            },
            "example": 'id: 5f0c9a31-9\nevent: saved\ndata: {"type":"saved","output_id":7}\n\n',
        }
    },
}
LastId = Annotated[
    str | None,
    Header(
        alias="Last-Event-ID",
        max_length=100,
        description="Id of the last event that was heard; only later ones are sent.",
    ),
]


def add_routes(router: APIRouter, services: Services) -> None:
    """Add them to a router."""
    queue = services.queue
    # Numbers begin anew with the server, so those of another one mean nothing.
    era = secrets.token_hex(4)

    @router.get(
        "/jobs/{job_id}/events",
        response_class=StreamingResponse,
        responses={200: EVENTS, 204: {"description": "All was heard: there is nothing to come."}},
        operation_id="follow_job",
        summary="Follow a job",
        tags=["jobs"],
    )
    async def events(job_id: JobId, last_id: LastId = None) -> Response:
        """The job's events from its start to its end, however late one comes.

        Of progress, previews and the like only the newest is sent. A comment every 15 seconds
        keeps the connection open; the stream ends after the event `finished`, `failed` or
        `stopped`. Whoever connects again with the header Last-Event-ID gets what was missed.
        """
        after = _number(last_id, era)
        row = await run_in_threadpool(queue.get, job_id)
        if row.status.is_final:
            rest = await run_in_threadpool(queue.told, job_id, after)
            if not rest:
                return Response(status_code=204)
            content = b"".join(_written(era, number, event) for number, event in rest)
            return Response(content, headers=_HEADERS, media_type="text/event-stream")
        stream = _follow(queue, job_id, era, after)
        return StreamingResponse(stream, headers=_HEADERS, media_type="text/event-stream")


async def _follow(queue: JobQueue, job_id: str, era: str, after: int) -> AsyncIterator[bytes]:
    loop, news = asyncio.get_running_loop(), asyncio.Event()

    def wake() -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody listens any more
            loop.call_soon_threadsafe(news.set)

    detach = queue.attach(job_id, wake)
    try:
        while True:
            news.clear()
            for number, event in await run_in_threadpool(queue.told, job_id, after):
                yield _written(era, number, event)
                if isinstance(event, FINAL):
                    return
                after = number
            await asyncio.sleep(_TOGETHER)
            try:
                async with asyncio.timeout(_HEARTBEAT):
                    await news.wait()
            except TimeoutError:
                yield b": nothing new\n\n"
    finally:
        detach()


def _written(era: str, number: int, event: Event) -> bytes:
    data = EVENT.dump_json(event).decode()
    return f"id: {era}-{number}\nevent: {event.type}\ndata: {data}\n\n".encode()


def _number(last_id: str | None, era: str) -> int:
    """The number that an id ends in, 0 for one of another time or none."""
    told, _, number = (last_id or "").partition("-")
    digits = number.isascii() and number.isdigit() and len(number) <= 12
    return int(number) if told == era and digits else 0
