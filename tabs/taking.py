"""What Gradio takes of clients: forms within bounds and without leavings, calls told in words."""

from contextlib import suppress
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from gradio import route_utils, routes
from gradio.route_utils import GradioMultiPartParser, MultiPartException
from starlette.routing import Mount

_LONGEST_FIELD = 10**6
"""Bytes of what is no file, which is held in memory."""
_CALLS = ("/api/", "/call/", "/run/", "/queue/join")
_UNFIT = (KeyError, TypeError, route_utils.FnIndexInferError)
"""What Gradio raises where a call names what is not there, or brings what does not fit."""


class Parser(GradioMultiPartParser):
    """Gradio's bounds files alone, and leaves those behind whose sender went away."""

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        """Take a piece of a file or a field."""
        part = self._current_part
        if part.file is None and len(part.data) + end - start > _LONGEST_FIELD:
            raise MultiPartException(
                f"A field exceeded the maximum allowed size of {_LONGEST_FIELD} bytes."
            )
        super().on_part_data(data, start, end)

    async def parse(self) -> Any:
        """Read the whole form."""
        try:
            return await super().parse()
        except BaseException:
            for file in self._files_to_close_on_error:
                file.close()
                with suppress(OSError):
                    Path(file.name).unlink()
            raise


def bound(app: FastAPI) -> None:
    """Have Gradio, which is mounted in an application, take all forms and calls like this."""
    for module in (routes, route_utils):
        module.GradioMultiPartParser = Parser  # type: ignore[attr-defined]
    for route in app.routes:
        if isinstance(route, Mount) and isinstance(route.app, routes.App):
            for kind in _UNFIT:
                route.app.add_exception_handler(kind, _unfit)


async def _unfit(request: Request, error: Exception) -> JSONResponse:
    """Say that a call does not fit; what is raised anywhere else is a fault of ours."""
    if not any(each in request.url.path for each in _CALLS):
        raise error
    words = "There is no such endpoint, or it takes other values; see /gradio_api/openapi.json."
    return JSONResponse({"detail": words}, 422)
