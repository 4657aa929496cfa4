"""What stands before the application: counts, headers, the root path, the guard, who is in, and
how much is taken."""

from urllib.parse import urlsplit

from fastapi import FastAPI
from prometheus_client import CollectorRegistry, Counter
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from studio.api import account, login
from studio.api.bodies import Bounding
from studio.api.gate import Gate
from studio.api.guard import Guard
from studio.api.idle import Seen, Watching
from studio.api.origins import Hosts
from studio.api.pace import Pace
from studio.api.sessions import cookie_name
from studio.password import has_accounts, is_own, read_password
from studio.services import Services

_UPLOADED = ("/gradio_api/file=", "/gradio_api/file/")


class Prefix:
    """Takes the root path off the addresses, for proxies that leave it on."""

    def __init__(self, app: ASGIApp, root_path: str):
        self._app = app
        self._prefix = urlsplit(root_path).path.rstrip("/")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with the path that the application knows."""
        path = scope.get("path", "")
        if self._prefix and (path == self._prefix or path.startswith(f"{self._prefix}/")):
            raw = scope.get("raw_path", b"").removeprefix(self._prefix.encode()) or b"/"
            scope = {**scope, "path": path.removeprefix(self._prefix) or "/", "raw_path": raw}
        await self._app(scope, receive, send)


class Counting:
    """Counts answers by their status."""

    def __init__(self, app: ASGIApp, registry: CollectorRegistry):
        self._app = app
        self._answers = Counter(
            "atelier_http_responses", "Answers over HTTP by status.", ["status"], registry=registry
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and look at the answer's beginning."""

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._answers.labels(str(message["status"])).inc()
            await send(message)

        await self._app(scope, receive, answer)


class Sealing:
    """Tells browsers to take each answer for what it is called, and to run nothing of uploads."""

    def __init__(self, app: ASGIApp):
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and add to the answer's headers."""
        is_upload = scope.get("path", "").startswith(_UPLOADED)

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.setdefault("X-Content-Type-Options", "nosniff")
                headers.setdefault("Referrer-Policy", "same-origin")
                if is_upload:
                    headers.setdefault("Content-Security-Policy", "default-src 'none'; sandbox")
            await send(message)

        await self._app(scope, receive, answer)


def close(app: FastAPI, services: Services) -> None:
    """Let only those in who have an account, where there are accounts, and note who comes.

    To be called before a page is mounted at "/", which would take the login's address. The
    application's state has `seen` then, and `answers`, a registry of counts.
    """
    # What is added last stands first.
    settings = services.settings
    app.state.seen, app.state.answers = Seen(), CollectorRegistry()
    app.add_middleware(Watching, seen=app.state.seen)
    gate = None
    if has_accounts(settings):
        password = read_password(settings)
        if password:
            services.accounts.keep_house(password)
        gate = Gate(
            services.accounts,
            cookie_name(settings.data_dir),
            settings.root_path,
            any_name=bool(password) and is_own(settings.host),
        )
        app.include_router(login.build_router(gate))
        app.include_router(account.build_router(gate))
    app.add_middleware(Bounding, max_upload=settings.max_upload)
    hosts = Hosts(settings, with_accounts=gate is not None)
    pace = Pace(settings.requests_per_minute)
    app.add_middleware(Guard, gate=gate, hosts=hosts, pace=pace)
    if settings.root_path:
        app.add_middleware(Prefix, root_path=settings.root_path)
    app.add_middleware(Sealing)
    app.add_middleware(Counting, registry=app.state.answers)
