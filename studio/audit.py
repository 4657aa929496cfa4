"""What is noted of what people do: the acts, and who writes them down; no secret is ever among it.

Acts are noted where they are done, so that no door can forget it. Who is at work, and from where,
is known there (`studio.people`).
"""

from collections.abc import Callable
from enum import StrEnum
from functools import wraps
from typing import Concatenate, ParamSpec, Protocol, TypeVar

from studio.errors import AtelierError
from studio.people import Person

DONE = "done"
"""The outcome of what went well; of what did not, it is the sentence that says why."""


class Act(StrEnum):
    """Everything that is noted, in the words in which it is shown."""

    LOGIN = "log in"
    LOGOUT = "log out"
    SET_UP = "choose a password by a link"
    PASSWORD = "change a password"
    TOKEN = "make a token"
    REVOKE = "revoke a token"
    ADD = "add a person"
    LINK = "make a link"
    RENAME = "rename a person"
    ROLE = "change a role"
    DISABLE = "disable a person"
    ENABLE = "let a person in again"
    REMOVE = "remove a person"
    QUOTAS = "change quotas"
    SHARE = "share"
    LIMIT = "limit the use"
    INSTALL = "install"
    CONVERT = "convert a model"
    TRASH = "put a model into the trash"
    RESTORE = "take a model out of the trash"
    DELETE = "delete a model"
    DEFAULT = "change the default model"
    OPTIONS = "change options"
    CANCEL = "cancel another's job"
    TRAINING = "stop another's training"
    RAISE = "put a job first"
    BACKUP = "back up"
    BROUGHT_BACK = "restore a backup"


class Audit(Protocol):
    """Writes down what people do."""

    def note(
        self, act: Act, thing: str = "", outcome: str = DONE, by: Person | None = None
    ) -> None:
        """Note an act; thing: what it was done to, in words. by: None for who is at work."""
        ...

    def name_of(self, person: int) -> str:
        """A person's name by their id, also of one who was removed; "" where there is none."""
        ...


class _Nowhere:
    def note(
        self, act: Act, thing: str = "", outcome: str = DONE, by: Person | None = None
    ) -> None:
        pass

    def name_of(self, person: int) -> str:
        return ""


UNNOTED: Audit = _Nowhere()
"""Of parts that stand alone."""


class Noting(Protocol):
    """What has its acts noted."""

    @property
    def audit(self) -> Audit:
        """Where."""
        ...


_Self = TypeVar("_Self", bound=Noting)
_Given = ParamSpec("_Given")
_Answer = TypeVar("_Answer")
_Method = Callable[Concatenate[_Self, _Given], _Answer]


def audited(
    act: Act, thing: Callable[..., str]
) -> Callable[[_Method[_Self, _Given, _Answer]], _Method[_Self, _Given, _Answer]]:
    """Have every call of a method noted, and how it went, also when it was refused.

    thing: tells what it is done to, from what the method is given; looked at before it is done.
    """

    def noted(method: _Method[_Self, _Given, _Answer]) -> _Method[_Self, _Given, _Answer]:
        @wraps(method)
        def call(self: _Self, *args: _Given.args, **more: _Given.kwargs) -> _Answer:
            what = thing(self, *args, **more)
            try:
                answer = method(self, *args, **more)
            except AtelierError as error:
                self.audit.note(act, what, str(error))
                raise
            self.audit.note(act, what)
            return answer

        return call

    return noted
