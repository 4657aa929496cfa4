"""Routes for saved pictures, by id only: no path ever comes from a client."""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, HTTPException
from fastapi import Path as InPath
from fastapi.responses import FileResponse
from pydantic import BaseModel

from studio.errors import AtelierError, Forbidden, NotFound
from studio.services import Services
from studio.store.outputs import OutputRow

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; sandbox",
    # A picture never changes under its id, so a browser need not ask twice.
    "Cache-Control": "private, max-age=31536000, immutable",
}
_TYPES = {".png": "image/png", ".jpg": "image/jpeg", ".webp": "image/webp"}

OutputId = Annotated[int, InPath(ge=1, le=2**63 - 1)]
_Found = TypeVar("_Found")


class OutputInfo(BaseModel):
    """What is known of a saved picture.

    created_at: seconds since 1970. source: hash of the input that it was made from, or "".
    """

    id: int
    created_at: float
    width: int
    height: int
    bytes: int
    seed: int
    model: str
    prompt: str
    negative_prompt: str
    infotext: str
    trashed: bool
    name: str
    source: str = ""


def build_router(services: Services) -> APIRouter:
    """Routes under /outputs."""
    router = APIRouter(prefix="/outputs", tags=["outputs"])
    outputs = services.outputs

    @router.get("/{output_id}/image")
    def image(output_id: OutputId) -> FileResponse:
        """The picture, for showing."""
        return picture(found(lambda: outputs.path(output_id)))

    @router.get("/{output_id}/thumbnail")
    def thumbnail(output_id: OutputId) -> FileResponse:
        """The picture made small."""
        return picture(found(lambda: outputs.thumbnail(output_id)))

    @router.get("/{output_id}/download")
    def download(output_id: OutputId) -> FileResponse:
        """The picture, for saving under its own name."""
        response = picture(found(lambda: outputs.path(output_id)))
        name = Path(response.path).name
        response.headers["Content-Disposition"] = f'attachment; filename="atelier-{name}"'
        return response

    @router.get("/{output_id}")
    def info(output_id: OutputId) -> OutputInfo:
        """Settings and facts of the picture."""
        return OutputInfo(**facts(found(lambda: outputs.get(output_id))))

    return router


def facts(row: OutputRow) -> dict[str, Any]:
    """The fields of an OutputInfo."""
    known = {k: v for k, v in asdict(row).items() if k in OutputInfo.model_fields}
    return known | {
        "trashed": row.trashed_at is not None,
        "name": Path(row.file).name,
        "source": json.loads(row.request).get("source", ""),
    }


def picture(path: Path) -> FileResponse:
    """The file of a picture, as it is shown."""
    return FileResponse(path, media_type=_TYPES[path.suffix], headers=HEADERS)


def found(find: Callable[[], _Found]) -> _Found:
    """What is asked for, or the status that says why not."""
    try:
        return find()
    except NotFound as error:
        raise HTTPException(404, str(error)) from None
    except Forbidden as error:
        raise HTTPException(403, str(error)) from None
    except AtelierError as error:
        raise HTTPException(500, str(error)) from None
