"""The guard before the whole application: whoever is nobody gets no further.

It stands before every route there is, also Gradio's and those that will be added, lets through
only what `OPEN` names, and says for whom all beneath it works (`studio.people.acting`). A person
has a cookie from the login page; a program sends a name and a password by HTTP Basic, or a token as
a bearer. Without accounts it keeps other sites' pages out, and everybody is at home.
"""

from urllib.parse import quote

from starlette.requests import HTTPConnection
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from studio.api.gate import Gate, address_of
from studio.api.origins import Hosts, host_of, is_forged
from studio.api.pace import Pace
from studio.api.refusing import refusal as refused
from studio.errors import AtelierError
from studio.people import HOME, NOBODY, Person, acting_as

OPEN = frozenset({"/health", "/ready", "/login", "/setup"})
ASKING = "atelier.person"
"""Where a request's scope says who asks, for work that is done outside of the request."""


class Guard:
    """The middleware; gate: None for no accounts. See the module."""

    def __init__(self, app: ASGIApp, gate: Gate | None, hosts: Hosts, pace: Pace):
        self._app = app
        self._gate = gate
        self._hosts = hosts
        self._pace = pace

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass what may pass, answer all else."""
        nobody = HOME if self._gate is None else NOBODY
        if scope["type"] not in ("http", "websocket"):
            # Tasks that are begun here, such as Gradio's queue, go on as whoever this is.
            with acting_as(nobody, ""):
                await self._app(scope, receive, send)
            return
        connection = HTTPConnection(scope)
        person, refusal = await self._judged(connection)
        if refusal is None:
            refusal = await self._pace.refused(connection, person or nobody)
        if refusal is None:
            scope[ASKING] = person or nobody
            with acting_as(person or nobody, address_of(connection)):
                await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            await refusal(scope, receive, send)

    async def _judged(self, connection: HTTPConnection) -> tuple[Person | None, Response | None]:
        """Who asks, and what they are told if they may not pass."""
        path = connection.scope["path"]
        if not self._hosts.admit(connection):
            name = host_of(connection.headers.get("host", ""))[:80]
            return None, refused(
                path,
                403,
                f"This studio is not known as {name!r}; name it in allowed_hosts "
                "(ATELIER_ALLOWED_HOSTS), or open it by its address.",
            )
        if self._gate is None or path in OPEN:
            person, refusal = None, None
        else:
            person, refusal = await self._known(self._gate, connection)
        if refusal is None and is_forged(connection):
            words = "Another site's page has sent this; open the studio's own page."
            refusal = refused(path, 403, words)
        return person, refusal

    async def _known(
        self, gate: Gate, connection: HTTPConnection
    ) -> tuple[Person | None, Response | None]:
        path = connection.scope["path"]
        try:
            attempt = await gate.person_of(connection)
        except AtelierError as error:
            return None, refused(path, 503, str(error))
        if attempt.person is not None:
            return attempt.person, None
        if attempt.wait:
            return None, too_many(attempt.wait, path)
        if (refusal := await self._pace.refused(connection, None)) is not None:
            return None, refusal
        if not attempt.sent and _is_navigation(connection):
            to = f"{gate.root_path}/login?next={quote(_shown_path(connection), safe='/')}"
            return None, RedirectResponse(to, 303)
        words = "Who are you? Send a name and a password by HTTP Basic, or a token as a bearer."
        return None, refused(path, 401, words)


def too_many(wait: int, path: str = "") -> Response:
    """The answer to one who has tried too often."""
    return refused(path, 429, f"Too many wrong passwords; try again in {wait} s.", wait)


def told(status: int, detail: str) -> Response:
    """A refusal in a sentence, where no API has a form of its own."""
    return refused("", status, detail)


def _is_navigation(connection: HTTPConnection) -> bool:
    """Whether a person is about to see the answer."""
    if connection.scope["type"] != "http" or connection.scope["method"] not in ("GET", "HEAD"):
        return False
    mode = connection.headers.get("sec-fetch-mode", "navigate")
    return mode == "navigate" and "text/html" in connection.headers.get("accept", "")


def _shown_path(connection: HTTPConnection) -> str:
    query = connection.scope.get("query_string", b"").decode("latin-1")
    return connection.scope["path"] + (f"?{query}" if query else "")
