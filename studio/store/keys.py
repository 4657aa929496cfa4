"""What opens the studio instead of a password: sessions, tokens and one-time links.

Only hashes are kept. Each key is 32 random bytes, so that a plain hash gives nothing away.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, text

from studio.errors import NotFound
from studio.store.database import Database

SHOWN = 12
"""Characters of a hash by which people and routes name a key."""
_SEEN_EVERY = 60.0
"""Seconds within which a use is not written down again."""


@dataclass(frozen=True)
class SessionRow:
    """A browser that is logged in; place: its address, program: what it calls itself."""

    hash: str
    person: int
    created_at: float
    seen_at: float
    expires_at: float
    place: str
    program: str

    @property
    def id(self) -> str:
        """By which it is named."""
        return self.hash[:SHOWN]


@dataclass(frozen=True)
class TokenRow:
    """A key for programs; used_at: None when it never was."""

    hash: str
    person: int
    label: str
    created_at: float
    used_at: float | None

    @property
    def id(self) -> str:
        """By which it is named."""
        return self.hash[:SHOWN]


class KeyTable:
    """All keys of a data folder, by their hashes; person: whose, as an id.

    changed: called after every change of what they are good for.
    """

    def __init__(self, database: Database, changed: Callable[[], None] = lambda: None):
        self._database = database
        self._changed = changed

    def open_session(
        self, key_hash: str, person: int, seconds: float, place: str, program: str
    ) -> None:
        """Remember a session for so long; those that have run out are forgotten."""
        now = time.time()
        with self._database.write() as db:
            db.execute(text("DELETE FROM sessions WHERE expires_at <= :now"), {"now": now})
            db.execute(
                text(
                    "INSERT INTO sessions"
                    " (hash, person, created_at, seen_at, expires_at, place, program)"
                    " VALUES (:hash, :person, :now, :now, :expires, :place, :program)"
                ),
                {
                    "hash": key_hash,
                    "person": person,
                    "now": now,
                    "expires": now + seconds,
                    "place": place,
                    "program": program,
                },
            )

    def session(self, key_hash: str) -> int | None:
        """Whose session it is, None when it is none or over; that it was used is noted."""
        now = time.time()
        with self._database.read() as db:
            row = db.execute(
                text(
                    "SELECT person, seen_at FROM sessions WHERE hash = :hash AND expires_at > :now"
                ),
                {"hash": key_hash, "now": now},
            ).first()
        if row is None:
            return None
        if now - row.seen_at >= _SEEN_EVERY:
            self._execute(
                "UPDATE sessions SET seen_at = :now WHERE hash = :hash", hash=key_hash, now=now
            )
        return int(row.person)

    def sessions(self, person: int) -> list[SessionRow]:
        """A person's sessions that are not over, the last used first."""
        with self._database.read() as db:
            rows = db.execute(
                text(
                    "SELECT * FROM sessions WHERE person = :person AND expires_at > :now"
                    " ORDER BY seen_at DESC, hash"
                ),
                {"person": person, "now": time.time()},
            ).all()
        return [SessionRow(**row._mapping) for row in rows]

    def end_session(self, key_hash: str) -> None:
        """Forget a session."""
        self._change("DELETE FROM sessions WHERE hash = :hash", hash=key_hash)

    def end_sessions(self, person: int, but: str = "") -> None:
        """Forget a person's sessions; but: hash of one that stays."""
        self._change(
            "DELETE FROM sessions WHERE person = :person AND hash != :but", person=person, but=but
        )

    def add_token(self, key_hash: str, person: int, label: str) -> None:
        """Remember a token."""
        self._change(
            "INSERT INTO tokens (hash, person, label, created_at)"
            " VALUES (:hash, :person, :label, :now)",
            hash=key_hash,
            person=person,
            label=label,
            now=time.time(),
        )

    def token(self, key_hash: str) -> int | None:
        """Whose token it is, None when it is none or revoked; that it was used is noted."""
        now = time.time()
        with self._database.read() as db:
            row = db.execute(
                text(
                    "SELECT person, used_at FROM tokens WHERE hash = :hash AND revoked_at IS NULL"
                ),
                {"hash": key_hash},
            ).first()
        if row is None:
            return None
        if now - (row.used_at or 0) >= _SEEN_EVERY:
            self._execute(
                "UPDATE tokens SET used_at = :now WHERE hash = :hash", hash=key_hash, now=now
            )
        return int(row.person)

    def tokens(self, person: int) -> list[TokenRow]:
        """A person's tokens that are not revoked, the newest first."""
        with self._database.read() as db:
            rows = db.execute(
                text(
                    "SELECT hash, person, label, created_at, used_at FROM tokens"
                    " WHERE person = :person AND revoked_at IS NULL ORDER BY created_at DESC, hash"
                ),
                {"person": person},
            ).all()
        return [TokenRow(**row._mapping) for row in rows]

    def revoke(self, key_hash: str) -> None:
        """Have a token open nothing any more."""
        self._change(
            "UPDATE tokens SET revoked_at = :now WHERE hash = :hash AND revoked_at IS NULL",
            hash=key_hash,
            now=time.time(),
        )

    def revoke_all(self, person: int) -> None:
        """Revoke a person's tokens."""
        self._change(
            "UPDATE tokens SET revoked_at = :now WHERE person = :person AND revoked_at IS NULL",
            person=person,
            now=time.time(),
        )

    def put_link(self, key_hash: str, person: int, seconds: float) -> None:
        """Remember a one-time link for so long, in place of those that the person had.

        person: who is to choose a password by it, 0 for the first administrator.
        """
        now = time.time()
        with self._database.write() as db:
            db.execute(
                text("DELETE FROM links WHERE person = :person OR expires_at <= :now"),
                {"person": person, "now": now},
            )
            db.execute(
                text(
                    "INSERT INTO links (hash, person, expires_at) VALUES (:hash, :person, :until)"
                ),
                {"hash": key_hash, "person": person, "until": now + seconds},
            )

    def link(self, key_hash: str) -> int:
        """For whom a link is; NotFound when it is none, used or too old."""
        with self._database.read() as db:
            row = db.execute(
                text("SELECT person FROM links WHERE hash = :hash AND expires_at > :now"),
                {"hash": key_hash, "now": time.time()},
            ).first()
        return _person_of(row)

    def use_link(self, key_hash: str) -> int:
        """Use a link up and tell for whom it is; NotFound when it is none, used or too old."""
        with self._database.write() as db:
            row = db.execute(
                text("DELETE FROM links WHERE hash = :hash AND expires_at > :now RETURNING person"),
                {"hash": key_hash, "now": time.time()},
            ).first()
        return _person_of(row)

    def drop_links(self, person: int) -> None:
        """Have a person's links open nothing any more."""
        self._change("DELETE FROM links WHERE person = :person", person=person)

    def _execute(self, statement: str, **values: object) -> None:
        with self._database.write() as db:
            db.execute(text(statement), values)

    def _change(self, statement: str, **values: object) -> None:
        self._execute(statement, **values)
        self._changed()


def _person_of(row: Row[Any] | None) -> int:
    if row is None:
        raise NotFound(
            "This link is used up or too old; ask for a new one. (The studio prints one for its "
            "first administrator when it is started.)"
        )
    return int(row.person)
