"""Who is at work: the person for whom something is done, and what a role allows.

Doors set the person (`acting_as`), everything beneath asks for them (`acting`), and from where they
ask (`place`). Threads of the studio itself act as `HOME`; what runs on the event loop of a
server with accounts acts as `NOBODY` until a door has found out who asks.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from enum import Enum, StrEnum
from functools import wraps
from typing import ParamSpec, Protocol, TypeVar

from studio.errors import Forbidden


class Role(StrEnum):
    """What a person may do: everything, their own work, or only look."""

    ADMINISTRATOR = "administrator"
    MEMBER = "member"
    VIEWER = "viewer"


class Deed(Enum):
    """What not everybody may do: the least role that allows it, and what it is, in words."""

    MAKE = Role.MEMBER, "make, add or change anything"
    MANAGE_MODELS = Role.ADMINISTRATOR, "install, change or delete models"
    CHANGE_SETTINGS = Role.ADMINISTRATOR, "change what holds for everybody"
    MANAGE_PEOPLE = Role.ADMINISTRATOR, "manage people"
    SEE_FIGURES = Role.ADMINISTRATOR, "see the figures of the whole studio"
    PUT_FIRST = Role.ADMINISTRATOR, "put a job before those of others"
    SEE_EVERYTHING = Role.ADMINISTRATOR, "see what everybody does"


_RANKS = (Role.VIEWER, Role.MEMBER, Role.ADMINISTRATOR)
"""Roles by how much they allow, the least first."""


_WITH_ARTICLE = {
    Role.VIEWER: "a viewer",
    Role.MEMBER: "a member",
    Role.ADMINISTRATOR: "an administrator",
}


@dataclass(frozen=True)
class Person:
    """Somebody with an account; id: of its row, 0 for whoever has none."""

    id: int
    name: str
    role: Role

    @property
    def is_administrator(self) -> bool:
        """Whether they see and may do everything."""
        return self.role is Role.ADMINISTRATOR

    def must_be_allowed(self, deed: Deed) -> None:
        """Forbidden when the person's role allows less."""
        role, doing = deed.value
        if _RANKS.index(self.role) < _RANKS.index(role):
            raise Forbidden(
                f"To {doing} one has to be {_WITH_ARTICLE[role]} of this studio, and your role is "
                f"{self.role.value}; ask an administrator for it."
            )

    def sees(self, owner: int) -> bool:
        """Whether what belongs to a person (an id) is shown to this one."""
        return self.is_administrator or (self.id == owner and self != NOBODY)


HOME = Person(0, "", Role.ADMINISTRATOR)
"""The studio itself, and whoever sits before one without accounts."""
NOBODY = Person(0, "", Role.VIEWER)
"""Who asks before it is known who that is: nothing is shown to them."""
EVERYBODY = Person(-1, "", Role.MEMBER)
"""Somebody who is shown only what everybody is: for whom a page is built that all people get."""

COMMAND = "command"
"""The place of who works on the server's own machine by `atelier` and a word."""

_acting: ContextVar[Person] = ContextVar("acting", default=HOME)
_place: ContextVar[str] = ContextVar("place", default="")


def acting() -> Person:
    """For whom the caller's thread or task works now."""
    return _acting.get()


def place() -> str:
    """From where they ask: an address, `COMMAND`, or "" for the server itself."""
    return _place.get()


@contextmanager
def acting_as(person: Person, place: str | None = None) -> Iterator[None]:
    """Work for a person while the block runs, also in threads that copy this one's context.

    place: from where they ask, None to leave that as it is.
    """
    token = _acting.set(person)
    where = _place.set(_place.get() if place is None else place)
    try:
        yield
    finally:
        _place.reset(where)
        _acting.reset(token)


_Given = ParamSpec("_Given")
_Answer = TypeVar("_Answer")


def needs(deed: Deed) -> Callable[[Callable[_Given, _Answer]], Callable[_Given, _Answer]]:
    """Have a function refuse, by Forbidden, whom their role does not allow what it does."""

    def guarded(function: Callable[_Given, _Answer]) -> Callable[_Given, _Answer]:
        @wraps(function)
        def allowed(*args: _Given.args, **kwargs: _Given.kwargs) -> _Answer:
            acting().must_be_allowed(deed)
            return function(*args, **kwargs)

        return allowed

    return guarded


class Owned(Protocol):
    """Things of one sort in files, by their names: whose they are, and who is shown them."""

    def shown(self, names: Iterable[str]) -> set[str]:
        """Those of some names that are shown to who is at work."""
        ...

    def shows(self, name: str) -> bool:
        """Whether a thing is shown to who is at work."""
        ...

    def keep(self, name: str) -> None:
        """Note that who is at work has made a thing, which is theirs alone until it is shared."""
        ...

    def forget(self, name: str) -> None:
        """Note that a thing is gone."""
        ...

    def demand(self, name: str) -> None:
        """Forbidden, unless who is at work may change or delete a thing that they are shown."""
        ...


class _Everybodys:
    def shown(self, names: Iterable[str]) -> set[str]:
        return set(names)

    def shows(self, name: str) -> bool:
        return True

    def keep(self, name: str) -> None:
        pass

    def forget(self, name: str) -> None:
        pass

    def demand(self, name: str) -> None:
        pass


EVERYBODYS: Owned = _Everybodys()
"""The things of a folder of one person, of whatever sort."""
