"""The administrators' page; all that stands on it comes by routes of `studio.api.v1.admin`."""

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

from studio.api.account import answered
from studio.api.login import filled
from studio.password import has_accounts
from studio.people import Deed, acting
from studio.services import Services


def build_router(services: Services) -> APIRouter:
    """The route /admin."""
    router = APIRouter(tags=["administration"])
    settings = services.settings
    accounts = "on" if has_accounts(settings) else "off"

    @router.get("/admin")
    def page() -> HTMLResponse:
        """The page, for administrators."""
        answered(lambda: acting().must_be_allowed(Deed.SEE_EVERYTHING))
        return filled(settings.path_prefix, "admin.html", accounts=accounts)

    return router
