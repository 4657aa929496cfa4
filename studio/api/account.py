"""One's own account, and everybody's for administrators: a page, and the routes that it uses."""

from collections.abc import Callable
from typing import TypeVar

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import HTMLResponse
from pydantic import BaseModel, ConfigDict, Field

from studio.accounts.accounts import Accounts
from studio.api.gate import Gate
from studio.api.login import filled
from studio.errors import AtelierError, Forbidden, NotFound, RequestError
from studio.people import Role, acting

_Answer = TypeVar("_Answer")
_STATUSES: tuple[tuple[type[AtelierError], int], ...] = (
    (Forbidden, 403),
    (NotFound, 404),
    (RequestError, 422),
)
_BROWSERS = (
    *(("Edg/", "Edge"), ("OPR/", "Opera"), ("SamsungBrowser/", "Samsung Internet")),
    *(("Firefox/", "Firefox"), ("FxiOS/", "Firefox"), ("CriOS/", "Chrome"), ("Chrome/", "Chrome")),
    ("Safari/", "Safari"),
)
"""Marks in what browsers call themselves; most of them claim to be those further down as well."""
_SYSTEMS = (
    *(("Android", "Android"), ("iPhone", "iPhone"), ("iPad", "iPad"), ("Windows", "Windows")),
    *(("Mac OS X", "macOS"), ("CrOS", "ChromeOS"), ("Linux", "Linux")),
)


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class PasswordBody(_Body):
    """A change of one's own password."""

    old: str = Field(repr=False)
    new: str = Field(repr=False)


class TokenBody(_Body):
    """What a new token is for."""

    label: str


class NewPerson(_Body):
    """Somebody who is to have an account."""

    name: str
    role: Role = Role.MEMBER


class Changes(_Body):
    """What is to be different about a person; None leaves it."""

    name: str | None = None
    role: Role | None = None
    disabled: bool | None = None


class SessionInfo(BaseModel):
    """A browser that is logged in; times in seconds since 1970; current: the one that asks."""

    id: str
    created_at: float
    seen_at: float
    place: str
    program: str
    current: bool


class TokenInfo(BaseModel):
    """A token without itself; used_at: None when it never was."""

    id: str
    label: str
    created_at: float
    used_at: float | None


class AccountInfo(BaseModel):
    """Who asks, and what opens the studio to them."""

    id: int
    name: str
    role: Role
    sessions: list[SessionInfo]
    tokens: list[TokenInfo]


class PersonInfo(BaseModel):
    """A person; invited: whether they have still to choose a password."""

    id: int
    name: str
    role: Role
    disabled: bool
    invited: bool


class NewToken(BaseModel):
    """A token, this once."""

    token: str


class LinkInfo(BaseModel):
    """Whom a one-time link is for, and where it leads below the studio's own address."""

    id: int
    link: str


def build_router(gate: Gate) -> APIRouter:
    """Routes under /account and /people."""
    router = APIRouter(tags=["account"])
    _add_own(router, gate)
    _add_people(router, gate.accounts)
    return router


def _add_own(router: APIRouter, gate: Gate) -> None:
    accounts = gate.accounts

    @router.get("/account")
    def page() -> HTMLResponse:
        """The page of one's account."""
        return filled(gate.root_path, "account.html")

    @router.get("/account/facts")
    def facts(request: Request) -> AccountInfo:
        """Who asks, their sessions and tokens."""
        person, key = acting(), request.cookies.get(gate.cookie, "")
        sessions = answered(lambda: accounts.sessions(person.id))
        return AccountInfo(
            id=person.id,
            name=person.name,
            role=person.role,
            sessions=[
                SessionInfo(
                    id=each.id,
                    created_at=each.created_at,
                    seen_at=each.seen_at,
                    place=each.place,
                    program=browser_of(each.program),
                    current=accounts.is_session(each, key),
                )
                for each in sessions
            ],
            tokens=[
                TokenInfo(
                    id=each.id,
                    label=each.label,
                    created_at=each.created_at,
                    used_at=each.used_at,
                )
                for each in answered(lambda: accounts.tokens(person.id))
            ],
        )

    @router.post("/account/password", status_code=204)
    def change_password(body: PasswordBody, request: Request) -> None:
        """Change one's password; all other sessions end."""
        key = request.cookies.get(gate.cookie, "")
        answered(lambda: accounts.change_own_password(body.old, body.new, key))

    @router.post("/account/tokens", status_code=201)
    def make_token(body: TokenBody) -> NewToken:
        """Make a token, which is shown this once."""
        return NewToken(token=answered(lambda: accounts.make_token(acting().id, body.label)))

    @router.delete("/account/tokens/{token_id}", status_code=204)
    def revoke_token(token_id: str) -> None:
        """Have a token open nothing any more."""
        answered(lambda: accounts.revoke_token(acting().id, token_id))

    @router.delete("/account/sessions/{session_id}", status_code=204)
    def end_session(session_id: str) -> None:
        """Log a browser out."""
        answered(lambda: accounts.end_session(acting().id, session_id))


def _add_people(router: APIRouter, accounts: Accounts) -> None:
    @router.get("/people")
    def people() -> list[PersonInfo]:
        """Everybody, for administrators."""
        return [
            PersonInfo(
                id=row.id,
                name=row.name,
                role=row.role,
                disabled=row.disabled_at is not None,
                invited=not row.password_hash,
            )
            for row in answered(accounts.listed)
        ]

    @router.post("/people", status_code=201)
    def add(body: NewPerson) -> LinkInfo:
        """Add somebody, who chooses a password by the link."""
        return _link(accounts, answered(lambda: accounts.add(body.name, body.role)))

    @router.post("/people/{person_id}/link")
    def link(person_id: int) -> LinkInfo:
        """A new link for somebody who has lost theirs, or the password."""
        return _link(accounts, person_id)

    @router.post("/people/{person_id}")
    def change(person_id: int, body: Changes) -> None:
        """Give somebody another name or role, let them in no more or again."""
        if body.name is not None:
            answered(lambda: accounts.rename(person_id, body.name or ""))
        if (role := body.role) is not None:
            answered(lambda: accounts.change_role(person_id, role))
        if body.disabled is not None:
            turn = accounts.disable if body.disabled else accounts.enable
            answered(lambda: turn(person_id))

    @router.delete("/people/{person_id}", status_code=204)
    def remove(person_id: int) -> None:
        """Forget somebody; what they have made stays."""
        answered(lambda: accounts.remove(person_id))


def browser_of(program: str) -> str:
    """What people call the browser that calls itself so, and its system; else its own words."""
    browser = next((name for mark, name in _BROWSERS if mark in program), "")
    system = next((name for mark, name in _SYSTEMS if mark in program), "")
    if browser and system:
        return f"{browser} on {system}"
    return browser or program.split("/")[0][:60] or "A program"


def _link(accounts: Accounts, person_id: int) -> LinkInfo:
    key = answered(lambda: accounts.invite(person_id))
    return LinkInfo(id=person_id, link=accounts.path_of_link(key, person_id))


def answered(ask: Callable[[], _Answer]) -> _Answer:
    """What is asked for, or the status that says why not."""
    try:
        return ask()
    except AtelierError as error:
        status = next((code for kind, code in _STATUSES if isinstance(error, kind)), 500)
        raise HTTPException(status, str(error)) from None
