"""All routes under /api/v1/admin, which answer administrators alone."""

from fastapi import APIRouter, Depends

from studio.api.v1.admin import audit, devices, disk, jobs, people, settings
from studio.api.v1.door import Route
from studio.people import Deed, acting
from studio.services import Services


def only_administrators() -> None:
    """Forbidden for all others, before anything is looked at."""
    acting().must_be_allowed(Deed.SEE_EVERYTHING)


def add_routes(router: APIRouter, services: Services) -> None:
    """Add them to a router."""
    below = APIRouter(
        prefix=f"{router.prefix}/admin",
        route_class=Route,
        dependencies=[Depends(only_administrators)],
        tags=["administration"],
        responses=router.responses,
    )
    for resource in (people, jobs, devices, disk, audit, settings):
        resource.add_routes(below, services)
    # Not included, for then they would not stand among the router's routes, which are described.
    router.routes.extend(below.routes)
