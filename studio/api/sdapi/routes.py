"""All routes under /sdapi/v1."""

from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute

from studio.api.sdapi import answers, lists, making, managing, watching
from studio.api.sdapi.desk import Desk
from studio.api.sdapi.door import PREFIX, refusal, route_class
from studio.api.sdapi.options import Options
from studio.api.sdapi.styles import Styles
from studio.services import Services
from studio.store.preferences import StyleTable

_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
_REFUSALS = {
    403: "A page of another site asked, or your role does not allow it.",
    404: "There is no such thing.",
    413: "The request is too large.",
    422: "It cannot be done; `detail` says why.",
    500: "The job failed; `detail` says why.",
    503: "The server is being stopped.",
}


def build_router(services: Services) -> APIRouter:
    """Routes under /sdapi/v1."""
    router = APIRouter(
        prefix=PREFIX,
        tags=["AUTOMATIC1111"],
        route_class=route_class(services.settings.max_upload),
        responses={
            status: {"model": answers.Refusal, "description": words}
            for status, words in _REFUSALS.items()
        },
    )
    desk, options = Desk(services), Options(services)
    styles = Styles(services.settings.data_dir, StyleTable(services.database))
    making.add_routes(router, services, desk, making.Reading(services, options, styles))
    watching.add_routes(router, services, desk)
    managing.add_routes(router, services, options)
    lists.add_routes(router, services, styles)
    _add_rest(router)
    return router


def _add_rest(router: APIRouter) -> None:
    """Answer for all that is not there, as else the page would: 405 where another method is."""
    known: dict[str, set[str]] = {}
    for route in router.routes:
        if isinstance(route, APIRoute):
            known.setdefault(route.path, set()).update(route.methods or ())

    async def rest(request: Request) -> Response:
        # Below a prefix the path has that of a proxy before it.
        path = PREFIX + request.url.path.partition(PREFIX)[2].rstrip("/")
        if methods := known.get(path):
            answer = refusal(405, "HTTPException", "Method Not Allowed")
            answer.headers["Allow"] = ", ".join(sorted(methods))
            return answer
        return refusal(404, "HTTPException", f"There is no route {path[:200]} in this studio.")

    router.add_route(f"{PREFIX}/{{rest:path}}", rest, _METHODS, include_in_schema=False)
