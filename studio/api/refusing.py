"""Refusals of the guard in the form that those who ask know: each API has one of its own."""

from starlette.responses import JSONResponse, Response

from studio.api.sdapi import door as sdapi
from studio.api.v1 import door as v1


def refusal(path: str, status: int, detail: str, wait: int = 0) -> Response:
    """Why not, in a sentence, which all forms have under `detail`; wait: seconds, 0 for no matter.

    path: what was asked for.
    """
    if _is_below(path, v1.PREFIX):
        answer = v1.problem(status, detail)
    elif _is_below(path, sdapi.PREFIX):
        answer = sdapi.refusal(status, "HTTPException", detail)
    else:
        answer = JSONResponse({"detail": detail}, status)
    answer.headers["Cache-Control"] = "no-store"
    if wait:
        answer.headers["Retry-After"] = str(wait)
    if status == 401:
        # A challenge by Basic would open the browser's own box over the page.
        answer.headers["WWW-Authenticate"] = 'Bearer realm="Atelier"'
    return answer


def _is_below(path: str, prefix: str) -> bool:
    return path == prefix or path.startswith(f"{prefix}/")
