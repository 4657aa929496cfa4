"""The pages before the studio: logging in, and choosing a password by a one-time link."""

import html
from base64 import b64encode
from pathlib import Path
from string import Template
from urllib.parse import parse_qs, urlsplit

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.concurrency import run_in_threadpool

from studio.accounts.accounts import HOUSE, SESSION_SECONDS
from studio.api.gate import Gate, Sent, address_of
from studio.api.guard import too_many
from studio.errors import AtelierError, NotFound, RequestError
from studio.people import Person

_ASSETS = Path(__file__).resolve().parents[2] / "assets"
_LONGEST_FORM = 32_768
_MOST_FIELDS = 20
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; "
    "script-src 'unsafe-inline'; connect-src 'self'; img-src data:; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}
_WRONG = "That is not the name and password of anybody here."


def build_router(gate: Gate) -> APIRouter:
    """Routes /login, /logout and /setup."""
    router = APIRouter(tags=["login"])
    _add_login(router, gate)
    _add_set_up(router, gate)
    return router


def _add_login(router: APIRouter, gate: Gate) -> None:
    @router.get("/login")
    def page(next: str = "/") -> HTMLResponse:
        """The page that asks for name and password; next: path to go on to."""
        # Who has only set a password, as for a container, need not know what its account is called.
        return _login_page(gate, next, HOUSE if gate.accounts.house_alone() else "")

    @router.post("/login")
    async def login(request: Request) -> Response:
        """Take the form of the page, or the one that Gradio's clients send."""
        form = await _form(request)
        next, name = form.get("next", "/"), form.get("username", "")
        by_person = "text/html" in request.headers.get("accept", "")
        attempt = await gate.attempt(Sent(name, form.get("password", "")), address_of(request))
        if attempt.person is not None:
            to = f"{gate.root_path}{_own(next)}"
            done = RedirectResponse(to, 303) if by_person else JSONResponse({"success": True})
            await _keep(done, request, gate, attempt.person)
            return done
        if not by_person:
            if attempt.wait:
                return too_many(attempt.wait)
            raise HTTPException(401, _WRONG)
        if attempt.wait:
            text = f"Too many wrong passwords. Try again in {attempt.wait} seconds."
            return _login_page(gate, next, name, text, attempt.wait)
        return _login_page(gate, next, name, _WRONG)

    @router.post("/logout")
    async def logout(request: Request) -> Response:
        """End this browser's session."""
        key = request.cookies.get(gate.cookie, "")
        await run_in_threadpool(gate.accounts.close_session, key)
        done = RedirectResponse(f"{gate.root_path}/login", 303)
        done.delete_cookie(gate.cookie, path=gate.root_path or "/", httponly=True)
        return done


def _add_set_up(router: APIRouter, gate: Gate) -> None:
    @router.get("/setup")
    def set_up_page() -> HTMLResponse:
        """The page of one-time links; their key is behind a #, so that no log ever has it."""
        return _set_up_page(gate)

    @router.post("/setup")
    async def set_up(request: Request) -> Response:
        """Make the first administrator, or take the password of whom the link is for."""
        form = await _form(request)
        key, name = form.get("key", ""), form.get("username", "")
        address = address_of(request)
        if wait := gate.tries.wait(address):
            text = f"Too many wrong links. Try again in {wait} seconds."
            return _set_up_page(gate, text, 429, key, name)
        try:
            person = await run_in_threadpool(
                gate.accounts.use_link, key, name, form.get("password", "")
            )
        except RequestError as error:
            return _set_up_page(gate, str(error), 422, key, name)
        except NotFound as error:
            gate.tries.failed(address)
            return _set_up_page(gate, str(error), 404)
        except AtelierError as error:
            return _set_up_page(gate, str(error), 500, key, name)
        done = RedirectResponse(f"{gate.root_path}/", 303)
        await _keep(done, request, gate, person)
        return done


def filled(root: str, file: str, status: int = 200, /, **fields: str) -> HTMLResponse:
    """A page of ours with the studio's mark; fields: texts, which are made harmless here.

    root: path prefix that clients see. A script of the page's own name is put into it.
    """
    head, template = (
        Template((_ASSETS / "pages" / each).read_text(encoding="utf-8"))
        for each in ("head.html", file)
    )
    script = (_ASSETS / "scripts" / file).with_suffix(".js")
    icon = (_ASSETS / "theme" / "icon.svg").read_text(encoding="utf-8")
    text = template.substitute(
        icon=icon,
        head=head.substitute(
            # Else the browser would ask the start of the host for one, which may be another's.
            mark=b64encode(icon.encode()).decode(),
            style=(_ASSETS / "pages" / "plain.css").read_text(encoding="utf-8"),
        ),
        root=html.escape(root),
        script=script.read_text(encoding="utf-8") if script.is_file() else "",
        **{key: html.escape(value) for key, value in fields.items()},
    )
    return HTMLResponse(text, status, _HEADERS)


async def _form(request: Request) -> dict[str, str]:
    """The fields of a form in the body."""
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > _LONGEST_FORM:
            raise HTTPException(413, "That is too long for a name and a password.")
    try:
        fields = parse_qs(
            body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=_MOST_FIELDS
        )
    except ValueError:
        raise HTTPException(422, "That has more fields than the form.") from None
    return {name: values[0] for name, values in fields.items()}


async def _keep(response: Response, request: Request, gate: Gate, person: Person) -> None:
    """Give the browser its session."""
    # The browser's own word counts as well: a proxy that is not trusted may stand before us.
    by_tls = request.url.scheme == "https" or request.headers.get("origin", "").startswith("https:")
    program = request.headers.get("user-agent", "")
    response.set_cookie(
        gate.cookie,
        await run_in_threadpool(gate.accounts.open_session, person, address_of(request), program),
        max_age=SESSION_SECONDS,
        path=gate.root_path or "/",
        secure=by_tls,
        httponly=True,
        samesite="lax",
    )


def _own(path: str) -> str:
    """The path if it leads to the studio itself, else its start."""
    parts = urlsplit(path)
    plain = path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable()
    return path if plain and not parts.scheme and not parts.netloc and "\\" not in path else "/"


def _login_page(
    gate: Gate, next: str, name: str = "", problem: str = "", wait: int = 0
) -> HTMLResponse:
    shown = name or (HOUSE if gate.any_name else "")
    status = 429 if wait else 401 if problem else 200
    page = filled(
        gate.root_path, "login.html", status, next=_own(next), problem=problem, name=shown
    )
    if wait:
        page.headers["Retry-After"] = str(wait)
    return page


def _set_up_page(
    gate: Gate, problem: str = "", status: int = 200, key: str = "", name: str = ""
) -> HTMLResponse:
    return filled(gate.root_path, "setup.html", status, problem=problem, key=key, name=name)
