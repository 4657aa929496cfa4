"""Pictures and masks that are sent to be worked on: bytes in, a hash out."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, HTTPException, Query, Request, Response
from fastapi.responses import FileResponse

from studio.api.inputs import Digest, InputInfo, taken
from studio.api.outputs import HEADERS
from studio.api.v1.door import PREFIX, refusal
from studio.services import Services

_TYPES = ("application/octet-stream", "image/png", "image/jpeg", "image/webp")
"""None of which another site's page can send unasked."""
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {kind: {"schema": {"type": "string", "format": "binary"}} for kind in _TYPES},
    }
}
_ANSWERS: dict[int | str, dict[str, Any]] = {
    201: {"headers": {"Location": {"schema": {"type": "string"}, "description": "The picture."}}},
    415: refusal("The type is no picture's."),
}
_PNG: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The file.",
        "content": {"image/png": {"schema": {"type": "string", "contentMediaType": "image/png"}}},
    }
}


def add_routes(router: APIRouter, services: Services) -> None:
    """Add them to a router."""

    @router.post(
        "/inputs",
        status_code=201,
        openapi_extra=_BODY,
        responses=_ANSWERS,
        operation_id="add_input",
        summary="Send a picture",
        tags=["inputs"],
    )
    async def add(
        request: Request,
        response: Response,
        kind: Annotated[Literal["picture", "mask"], Query(description="What it is.")] = "picture",
        name: Annotated[str, Query(max_length=200, description="For messages.")] = "",
    ) -> InputInfo:
        """Keep the file that is the body; requests take its hash as `source` or `mask`."""
        sent = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if sent not in _TYPES:
            raise HTTPException(
                415, f"The type is {sent[:60]!r}, but must be one of {', '.join(_TYPES)}."
            )
        kept = await taken(request, services, kind, name)
        response.headers["Location"] = f"{services.settings.path_prefix}{PREFIX}/inputs/{kept.hash}"
        return kept

    @router.get(
        "/inputs/{digest}",
        operation_id="get_input",
        summary="Get a picture that was sent",
        response_class=FileResponse,
        responses=_PNG,
        tags=["inputs"],
    )
    def one(digest: Digest) -> FileResponse:
        """The kept picture or mask as a PNG file."""
        return FileResponse(services.inputs.path(digest), media_type="image/png", headers=HEADERS)
