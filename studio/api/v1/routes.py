"""All routes under /api/v1, and what describes them."""

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse
from fastapi.routing import APIRoute

from studio.api.v1 import events, inputs, jobs, me, models, outputs, reader, rights, runs, styles
from studio.api.v1.admin import routes as admin
from studio.api.v1.describing import description, openapi
from studio.api.v1.door import PREFIX, REFUSALS, Route, problem
from studio.api.v1.handbook import HEADERS, page
from studio.password import has_accounts
from studio.services import Services

_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


def build_router(services: Services) -> APIRouter:
    """Routes under /api/v1."""
    router = APIRouter(prefix=PREFIX, route_class=Route, responses=REFUSALS)
    work = (jobs, events, outputs, inputs, models, rights, runs, styles, reader)
    for resource in (*work, me, admin):
        resource.add_routes(router, services)
    _add_description(router, services)
    _add_rest(router)
    return router


def _add_description(router: APIRouter, services: Services) -> None:
    guarded = has_accounts(services.settings)
    told: Callable[[], dict[str, Any]] = description(
        lambda: openapi([each for each in router.routes if isinstance(each, APIRoute)], guarded)
    )

    @router.get(
        "/openapi.json",
        operation_id="get_openapi",
        summary="This API for programs",
        tags=["description"],
    )
    def for_programs() -> dict[str, Any]:
        """The description of this API as OpenAPI 3.1."""
        return told()

    @router.get(
        "/docs",
        response_class=HTMLResponse,
        operation_id="get_docs",
        summary="This API for people",
        tags=["description"],
    )
    def for_people() -> HTMLResponse:
        """The same as a page, which fetches nothing from anywhere."""
        return HTMLResponse(page(told()), headers=HEADERS)


def _add_rest(router: APIRouter) -> None:
    """Answer for all that is not there, as else the page would: 405 where another method is."""
    ours = [each for each in router.routes if isinstance(each, APIRoute)]

    async def rest(request: Request) -> Response:
        # Below a prefix the path has that of a proxy before it.
        path = PREFIX + request.url.path.partition(PREFIX)[2]
        methods = {m for each in ours if each.path_regex.match(path) for m in each.methods or ()}
        if methods:
            answer = problem(405, f"{path[:200]} cannot be asked with {request.method}.")
            answer.headers["Allow"] = ", ".join(sorted(methods))
            return answer
        return problem(404, f"There is no route {path[:200]} in this studio.")

    router.add_route(f"{PREFIX}/{{rest:path}}", rest, _METHODS, include_in_schema=False)
