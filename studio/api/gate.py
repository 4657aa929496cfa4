"""Knows who may pass: by a session's cookie, by name and password, or by a token."""

import base64
import binascii
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.requests import HTTPConnection

from studio.accounts.accounts import HOUSE, TOKEN_MARK, Accounts, folded
from studio.api.tries import Tries
from studio.people import Person


@dataclass(frozen=True)
class Attempt:
    """Who it was, None when it was nobody; wait: seconds until the address may try, when not now.

    sent: whether there was anything to try at all.
    """

    person: Person | None = None
    wait: int = 0
    sent: bool = True


@dataclass(frozen=True)
class Sent:
    """A name and a password that a program sends, or a password (or token) alone: name None."""

    name: str | None
    password: str = field(repr=False)


class Gate:
    """See the module.

    cookie: its name. any_name: whether the password of the settings opens under any name, as it
    does on one's own machine. root_path: prefix of the addresses that clients see.
    """

    def __init__(
        self,
        accounts: Accounts,
        cookie: str,
        root_path: str = "",
        *,
        any_name: bool = False,
        tries: Tries | None = None,
    ):
        self.accounts = accounts
        self.cookie = cookie
        self.any_name = any_name
        self.root_path = urlsplit(root_path).path.rstrip("/")
        self.tries = tries or Tries()

    async def person_of(self, connection: HTTPConnection) -> Attempt:
        """Who asks."""
        if key := connection.cookies.get(self.cookie, ""):
            if (known := self.accounts.lately(key)) is not None:
                return Attempt(known)
            person = await run_in_threadpool(self.accounts.by_session, key)
            if person is not None:
                return Attempt(person)
        sent = sent_password(connection.headers)
        if sent is None:
            return Attempt(sent=False)
        return await self.attempt(sent, address_of(connection), often=True)

    async def attempt(self, sent: Sent, address: str, *, often: bool = False) -> Attempt:
        """Try on behalf of an address; too many wrong ones are not looked at.

        often: whether the same is sent with every request.
        """
        # What cannot be guessed costs no tries: a program whose token was revoked shuts nobody out.
        if sent.password.startswith(TOKEN_MARK):
            person = self.accounts.lately(sent.password) or await run_in_threadpool(
                self.accounts.by_token, sent.password
            )
            fits = sent.name is None or (person and folded(person.name) == folded(sent.name))
            return Attempt(person if fits else None)
        if wait := self.tries.wait(address):
            return Attempt(wait=wait)
        # Before it is looked at, or as many as are sent at once would be looked at.
        self.tries.failed(address)
        person = await run_in_threadpool(self._by_password, sent, often)
        if person is not None:
            self.tries.forgive(address)
        return Attempt(person)

    def _by_password(self, sent: Sent, often: bool) -> Person | None:
        name = HOUSE if sent.name is None or self.any_name else sent.name
        return self.accounts.by_password(name, sent.password, often=often)


def sent_password(headers: Headers) -> Sent | None:
    """What a program sends, None when it sends nothing."""
    scheme, _, value = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        # Headers come as Latin letters, whatever their bytes were meant to be.
        return Sent(None, value.strip().encode("latin-1").decode("utf-8", "replace"))
    if scheme.lower() == "basic":
        try:
            both = base64.b64decode(value.strip(), validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            return Sent("", "")
        name, _, password = both.partition(":")
        return Sent(name, password)
    return None


def address_of(connection: HTTPConnection) -> str:
    """Who asks, as far as the trusted proxies tell."""
    return connection.client.host if connection.client else ""
