"""The accounts of a data folder: people with their roles, and all that opens the studio to them.

Who may call what is checked here, so that no door can forget it: a person changes what is their
own, administrators change everybody's. Commands on the server's own machine act as the studio.
"""

import secrets
import threading
import time
import unicodedata
from collections import OrderedDict
from collections.abc import Iterable
from hashlib import sha256
from urllib.parse import quote

from studio.accounts.passwords import Passwords
from studio.accounts.recognised import Recognised
from studio.audit import Act, audited
from studio.errors import NotFound, RequestError
from studio.password import LEAST_LENGTH
from studio.people import NOBODY, Deed, Person, Role, acting, needs
from studio.store.audit import AuditTable
from studio.store.database import Database
from studio.store.keys import KeyTable, SessionRow, TokenRow
from studio.store.people import PeopleTable, PersonRow

SESSION_SECONDS = 14 * 86_400
"""Until a browser is asked for the password again."""
LINK_SECONDS = 86_400
"""As long as a one-time link may be used."""
TOKEN_MARK = "atelier_"
"""What tokens begin with, so that nobody takes one for anything else."""
HOUSE = "admin"
"""Name of the administrator whose password the settings give."""
LONGEST_NAME = 40
_LONGEST_PASSWORD = 4096
_LONGEST_LABEL = 80
_KNOWN, _KNOWN_SECONDS = 1000, 300.0
"""Passwords that were right lately and need not be checked at length, and for how long."""
_SEEN_EVERY = 60.0
"""Seconds within which it is not written down again that somebody was here."""


def _whom(accounts: "Accounts", person_id: int, *_: object, **__: object) -> str:
    """Whom an act is about."""
    return accounts.audit.name_of(person_id)


class Accounts:
    """See the module."""

    def __init__(self, database: Database, audit: AuditTable | None = None):
        self._lately = Recognised()
        self._people = PeopleTable(database, self._lately.forget)
        self._keys = KeyTable(database, self._lately.forget)
        self.audit = audit or AuditTable(database)
        self._passwords = Passwords()
        self._salt = secrets.token_bytes(32)
        self._known: OrderedDict[bytes, tuple[str, float]] = OrderedDict()
        self._lock = threading.Lock()

    # Who somebody is.

    def by_password(self, name: str, password: str, *, often: bool = False) -> Person | None:
        """Whose name and password these are; takes as long when nobody's.

        often: whether the same is asked with every request, so that it is remembered for a while.
        """
        row = self._people.named(folded(name)) if name.isprintable() else None
        may = row is not None and row.may_enter
        stored = row.password_hash if row is not None and may else ""
        digest = sha256(self._salt + f"{name}\0{password}".encode("utf-8", "surrogatepass"))
        if often and stored and self._is_known(digest.digest(), stored):
            return self._seen(row) if row else None
        if not self._passwords.fits(password[: _LONGEST_PASSWORD + 1], stored) or row is None:
            self._note_wrong(row)
            return None
        if self._passwords.is_old(stored):
            stored = self._passwords.hash(password)
            self._people.change(row.id, password_hash=stored)
        if often:
            self._remember(digest.digest(), stored)
        return self._seen(row)

    def by_session(self, key: str) -> Person | None:
        """Whose session a cookie is."""
        digest = _hash(key)
        return self._lately.found(digest, lambda: self._entering(self._keys.session(digest)))

    def by_token(self, key: str) -> Person | None:
        """Whose token it is."""
        digest = _hash(key)
        return self._lately.found(digest, lambda: self._entering(self._keys.token(digest)))

    def lately(self, key: str) -> Person | None:
        """Who came by a session or token within the last seconds; never waits for the database."""
        return self._lately.get(_hash(key))

    # At the server's start and by one-time links.

    def keep_house(self, password: str) -> None:
        """Make the administrator whose password the settings give, or bring the account in line."""
        row = self._people.named(HOUSE)
        if row is None:
            self._people.add(HOUSE, HOUSE, Role.ADMINISTRATOR, self._passwords.hash(password))
            self.audit.note(Act.ADD, f"{HOUSE}, whose password the settings give")
            return
        if not self._passwords.fits(password, row.password_hash):
            self._people.change(row.id, password_hash=self._passwords.hash(password))
            self._keys.end_sessions(row.id)
            self.audit.note(Act.PASSWORD, f"{HOUSE}, as the settings give it")
        if row.role is not Role.ADMINISTRATOR or row.disabled_at is not None:
            self._people.change(row.id, role=Role.ADMINISTRATOR, disabled=False)
            self.audit.note(Act.ROLE, f"{HOUSE}: administrator, as whose password is set")

    def house_alone(self) -> bool:
        """Whether nobody but the administrator of the settings' password has an account."""
        return [folded(row.name) for row in self._people.listed()] == [HOUSE]

    def set_up_key(self) -> str:
        """What a one-time link to make the first administrator has; "" when there is one."""
        return "" if self._people.has_administrator() else self._new_link(0)

    def link_is_for(self, key: str) -> str:
        """Name of whom a one-time link is for, "" for the first administrator; else NotFound."""
        person_id = self._keys.link(_hash(key))
        return self._people.get(person_id).name if person_id else ""

    def use_link(self, key: str, name: str, password: str) -> Person:
        """Choose a password by a one-time link, which is used up then.

        name: of the first administrator; others have theirs. Raises NotFound when the link is none,
        RequestError when the name or the password cannot be taken.
        """
        person_id = self._keys.link(_hash(key))
        shown = "" if person_id else checked_name(name)
        password_hash = self._passwords.hash(checked_password(password))
        if self._keys.use_link(_hash(key)) != person_id:
            raise NotFound("This link is used up; ask for a new one.")
        if not person_id:
            made = self._people.add_first(shown, folded(shown), password_hash)
            if made is None:
                raise NotFound("This studio has an administrator already; ask them for a link.")
            first = self._people.get(made).person
            self.audit.note(Act.SET_UP, f"{first.name}, the first administrator", by=first)
            return first
        self._people.change(person_id, password_hash=password_hash)
        self._keys.end_sessions(person_id)
        self._keys.revoke_all(person_id)
        person = self._people.get(person_id).person
        self.audit.note(Act.SET_UP, person.name, by=person)
        return person

    # One's own account.

    def open_session(self, person: Person, place: str, program: str) -> str:
        """What the cookie of a new session has; place: address, program: of whoever logs in."""
        key = secrets.token_urlsafe(32)
        self._keys.open_session(_hash(key), person.id, SESSION_SECONDS, place[:80], program[:200])
        self.audit.note(Act.LOGIN, by=person)
        return key

    def close_session(self, key: str) -> None:
        """End the session of a cookie."""
        person = self._entering(self._keys.session(_hash(key)))
        self._keys.end_session(_hash(key))
        if person is not None:
            self.audit.note(Act.LOGOUT, by=person)

    def sessions(self, person_id: int) -> list[SessionRow]:
        """A person's sessions."""
        self._of(person_id)
        return self._keys.sessions(person_id)

    def is_session(self, row: SessionRow, key: str) -> bool:
        """Whether a session is the one of this cookie."""
        return secrets.compare_digest(row.hash, _hash(key))

    @audited(Act.LOGOUT, lambda self, person_id, _: f"another browser of {_whom(self, person_id)}")
    def end_session(self, person_id: int, session_id: str) -> None:
        """End one of a person's sessions."""
        found = [row for row in self.sessions(person_id) if row.id == session_id]
        if not found:
            raise NotFound(f"There is no session {session_id[:20]!r}; it may be over.")
        self._keys.end_session(found[0].hash)

    def tokens(self, person_id: int) -> list[TokenRow]:
        """A person's tokens."""
        self._of(person_id)
        return self._keys.tokens(person_id)

    @audited(Act.TOKEN, lambda self, person_id, label: f"{label} of {_whom(self, person_id)}")
    def make_token(self, person_id: int, label: str) -> str:
        """A new token, which is never shown again; label: what it is for."""
        self._of(person_id)
        label = " ".join(label.split())
        if not label or len(label) > _LONGEST_LABEL or not label.isprintable():
            raise RequestError(
                f"Say what the token is for, in 1 to {_LONGEST_LABEL} characters.", "label"
            )
        key = TOKEN_MARK + secrets.token_urlsafe(32)
        self._keys.add_token(_hash(key), person_id, label)
        return key

    @audited(Act.REVOKE, lambda self, person_id, key: self._token_named(person_id, key))
    def revoke_token(self, person_id: int, token_id: str) -> None:
        """Have a token open nothing any more."""
        found = [row for row in self.tokens(person_id) if row.id == token_id]
        if not found:
            raise NotFound(f"There is no token {token_id[:20]!r}; it may be revoked already.")
        self._keys.revoke(found[0].hash)

    @audited(Act.PASSWORD, lambda *_: acting().name)
    def change_own_password(self, old: str, new: str, session: str = "") -> None:
        """Change the password of who asks and end their sessions; session: a cookie's that stays.

        Raises RequestError when the old one is wrong or the new one cannot be taken.
        """
        row = self._of(acting().id)
        new = checked_password(new)
        if not self._passwords.fits(old[: _LONGEST_PASSWORD + 1], row.password_hash):
            raise RequestError("The old password is not right; type it again.", "old")
        self._people.change(row.id, password_hash=self._passwords.hash(new))
        self._keys.end_sessions(row.id, but=_hash(session))
        self._keys.drop_links(row.id)

    # Everybody's.

    @needs(Deed.MANAGE_PEOPLE)
    def listed(self) -> list[PersonRow]:
        """All people by name."""
        return self._people.listed()

    def names(self, ids: Iterable[int]) -> dict[int, str]:
        """What people are called, as far as they are still there; for who is shown their things."""
        return self._people.names(ids)

    @needs(Deed.MANAGE_PEOPLE)
    def named(self, name: str) -> PersonRow:
        """The person of a name, whatever its case; NotFound when there is none."""
        row = self._people.named(folded(name))
        if row is None:
            raise NotFound(f"There is no person {name[:LONGEST_NAME]!r}; see who there is.")
        return row

    def get(self, person_id: int) -> PersonRow:
        """A person's row, or NotFound."""
        return self._of(person_id)

    @audited(Act.ADD, lambda self, name, role, password="": f"{name}: {role}")
    @needs(Deed.MANAGE_PEOPLE)
    def add(self, name: str, role: Role, password: str = "") -> int:
        """A new person's id; without a password they need a link (`invite`) to enter."""
        name = checked_name(name)
        hashed = self._passwords.hash(checked_password(password)) if password else ""
        return self._people.add(name, folded(name), role, hashed)

    @audited(Act.LINK, _whom)
    @needs(Deed.MANAGE_PEOPLE)
    def invite(self, person_id: int) -> str:
        """What a one-time link has by which a person chooses a password; older ones are void."""
        return self._new_link(self._people.get(person_id).id)

    @audited(Act.RENAME, lambda self, person_id, name: f"{_whom(self, person_id)}: {name}")
    @needs(Deed.MANAGE_PEOPLE)
    def rename(self, person_id: int, name: str) -> None:
        """Give a person another name."""
        name = checked_name(name)
        self._people.rename(self._people.get(person_id).id, name, folded(name))

    @audited(Act.ROLE, lambda self, person_id, role: f"{_whom(self, person_id)}: {role}")
    @needs(Deed.MANAGE_PEOPLE)
    def change_role(self, person_id: int, role: Role) -> None:
        """Give a person another role; not the last administrator."""
        self._people.change(person_id, role=role)

    @audited(Act.PASSWORD, _whom)
    @needs(Deed.MANAGE_PEOPLE)
    def set_password(self, person_id: int, password: str) -> None:
        """Give a person a password; what they were logged in with ends, tokens too."""
        hashed = self._passwords.hash(checked_password(password))
        self._people.change(person_id, password_hash=hashed)
        self._shut_out(person_id, tokens=True)

    @audited(Act.DISABLE, _whom)
    @needs(Deed.MANAGE_PEOPLE)
    def disable(self, person_id: int) -> None:
        """Let a person in no more, until `enable`; not the last administrator."""
        self._people.change(person_id, disabled=True)
        self._shut_out(person_id)

    @audited(Act.ENABLE, _whom)
    @needs(Deed.MANAGE_PEOPLE)
    def enable(self, person_id: int) -> None:
        """Let a person in again."""
        self._people.change(person_id, disabled=False)

    @audited(Act.REMOVE, _whom)
    @needs(Deed.MANAGE_PEOPLE)
    def remove(self, person_id: int) -> None:
        """Forget a person; what they have made stays. Not the last administrator."""
        self._people.remove(person_id)
        self._shut_out(person_id, tokens=True)

    def _of(self, person_id: int) -> PersonRow:
        """Whose account is looked at or changed: who asks, or anybody's by an administrator."""
        if acting().id != person_id or not person_id:
            acting().must_be_allowed(Deed.MANAGE_PEOPLE)
        return self._people.get(person_id)

    def _shut_out(self, person_id: int, *, tokens: bool = False) -> None:
        self._keys.end_sessions(person_id)
        self._keys.drop_links(person_id)
        if tokens:
            self._keys.revoke_all(person_id)

    def path_of_link(self, key: str, person_id: int = 0) -> str:
        """Where a one-time link leads, below the studio's own address; 0: the first one's."""
        whom = f"&for={quote(self._people.get(person_id).name)}" if person_id else ""
        return f"/setup#key={key}{whom}"

    def _new_link(self, person_id: int) -> str:
        key = secrets.token_urlsafe(32)
        self._keys.put_link(_hash(key), person_id, LINK_SECONDS)
        return key

    def _entering(self, person_id: int | None) -> Person | None:
        """The person if they may come in."""
        if person_id is None:
            return None
        try:
            row = self._people.get(person_id)
        except NotFound:
            return None
        return self._seen(row) if row.may_enter else None

    def _seen(self, row: PersonRow) -> Person:
        """The person of a row, who is here just now."""
        if time.time() - (row.seen_at or 0.0) >= _SEEN_EVERY:
            self._people.saw(row.id)
        return row.person

    def _note_wrong(self, row: PersonRow | None) -> None:
        """Note a wrong try; a name that nobody has is not kept, for it may be a password."""
        if row is None:
            self.audit.note(Act.LOGIN, "a name that nobody has", "That is no account.", NOBODY)
        else:
            why = "wrong password" if row.may_enter else "is not let in"
            self.audit.note(Act.LOGIN, "", why, row.person)

    def _token_named(self, person_id: int, token_id: str) -> str:
        """What a token is for, and whose it is; "" for one that is not there."""
        labels = [each.label for each in self._keys.tokens(person_id) if each.id == token_id]
        return f"{labels[0]} of {_whom(self, person_id)}" if labels else ""

    def _is_known(self, digest: bytes, stored: str) -> bool:
        with self._lock:
            known, until = self._known.get(digest, ("", 0.0))
        return known == stored and time.monotonic() < until

    def _remember(self, digest: bytes, stored: str) -> None:
        with self._lock:
            self._known[digest] = (stored, time.monotonic() + _KNOWN_SECONDS)
            while len(self._known) > _KNOWN:
                self._known.popitem(last=False)


def folded(name: str) -> str:
    """A name as it is compared: whatever its case and however its letters are composed."""
    return unicodedata.normalize("NFKC", name).strip().casefold()


def checked_name(name: str) -> str:
    """The name as it is kept; RequestError when it cannot be one."""
    name = unicodedata.normalize("NFC", name).strip()
    # HTTP Basic takes what stands before the first colon for the name.
    if not name or len(name) > LONGEST_NAME or not name.isprintable() or ":" in name:
        raise RequestError(
            f"A name has 1 to {LONGEST_NAME} characters and no colon, which {name[:60]!r} has not; "
            "choose another one.",
            "name",
        )
    return name


def checked_password(password: str) -> str:
    """The password; RequestError, which never tells it, when it cannot be one."""
    if not LEAST_LENGTH <= len(password) <= _LONGEST_PASSWORD:
        raise RequestError(
            f"A password has {LEAST_LENGTH} to {_LONGEST_PASSWORD} characters; choose another one.",
            "password",
        )
    return password


def _hash(key: str) -> str:
    return sha256(key.encode("utf-8", "surrogatepass")).hexdigest()
