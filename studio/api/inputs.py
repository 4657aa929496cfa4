"""Routes for pictures and masks that are sent to be worked on: bytes in, a hash out."""

from typing import Annotated, Literal

from fastapi import APIRouter, HTTPException, Query, Request
from fastapi import Path as InPath
from fastapi.responses import FileResponse
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool

from studio.api.outputs import HEADERS
from studio.errors import AtelierError, Forbidden, InputError, NotFound
from studio.requests import HASH
from studio.services import Services

_BINARY = "application/octet-stream"
Digest = Annotated[str, InPath(pattern=HASH)]


class InputInfo(BaseModel):
    """What was kept: its hash, its size in pixels, and sentences on what was changed."""

    hash: str
    width: int
    height: int
    notes: tuple[str, ...]


def build_router(services: Services) -> APIRouter:
    """Routes under /inputs."""
    router = APIRouter(prefix="/inputs", tags=["inputs"])

    @router.post("")
    async def add(
        request: Request,
        kind: Literal["picture", "mask"] = "picture",
        name: Annotated[str, Query(max_length=200)] = "",
    ) -> InputInfo:
        """Keep the file in the body; another site's page cannot send this type unasked."""
        if request.headers.get("content-type") != _BINARY:
            raise HTTPException(415, f"Send the file as it is, with the type {_BINARY}.")
        try:
            return await taken(request, services, kind, name)
        except InputError as error:
            raise HTTPException(422, str(error)) from None
        except Forbidden as error:
            raise HTTPException(403, str(error)) from None
        except AtelierError as error:
            raise HTTPException(500, str(error)) from None

    @router.get("/{digest}")
    def image(digest: Digest) -> FileResponse:
        """The kept picture or mask as a PNG file."""
        try:
            path = services.inputs.path(digest)
        except NotFound as error:
            raise HTTPException(404, str(error)) from None
        return FileResponse(path, media_type="image/png", headers=HEADERS)

    return router


async def taken(request: Request, services: Services, kind: str, name: str) -> InputInfo:
    """Keep the file in a request's body; InputError when it is no picture.

    kind: "picture" or "mask". name: for messages.
    """
    data = await _body(request, services.settings.max_upload)
    take = services.inputs.add_mask if kind == "mask" else services.inputs.add_picture
    shown = name or ("The mask" if kind == "mask" else "The file")
    kept = await run_in_threadpool(take, data, shown)
    return InputInfo(hash=kept.hash, width=kept.width, height=kept.height, notes=kept.notes)


async def _body(request: Request, limit: int) -> bytes:
    """The whole body; 413 as soon as it is longer than the limit, 0 for none."""
    parts, length = [], 0
    async for part in request.stream():
        length += len(part)
        if limit and length > limit:
            raise HTTPException(
                413, f"The file has more than {limit // 10**6} MB; make it smaller."
            )
        parts.append(part)
    return b"".join(parts)
