"""The audit log as rows: who has done what, when, from where, and how it went."""

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, text

from studio.audit import DONE, Act
from studio.errors import AtelierError
from studio.people import Deed, Person, acting, needs, place
from studio.store.database import Database, repeated

log = logging.getLogger(__name__)
_LONGEST = 300
_AT_A_TIME = 1000
_DAY = 86_400.0


@dataclass(frozen=True)
class AuditRow:
    """One act. at: seconds since 1970. person, name: who, as they were called then.

    Both are 0 and "" of the studio itself, of who is at home and of nobody known. place: address,
    `command`, or "" for the server. outcome: `done`, or why not.
    """

    number: int
    at: float
    person: int
    name: str
    place: str
    act: str
    thing: str
    outcome: str


@dataclass(frozen=True)
class AuditPage:
    """Some acts, newest first; total counts all that match."""

    rows: tuple[AuditRow, ...]
    total: int


class AuditTable:
    """All acts of a data folder; nothing changes one that is noted, and time alone takes it away.

    What it is asked by doors it tells administrators only. days: that an act is kept, 0 for ever;
    those that are older go when one is noted, once a day.
    """

    def __init__(self, database: Database, days: int = 0):
        self._database = database
        self._days = days
        self._tidied_at = 0.0

    def note(
        self, act: Act, thing: str = "", outcome: str = DONE, by: Person | None = None
    ) -> None:
        """Note an act; what is done stays done when that cannot be written."""
        who = acting() if by is None else by
        values = {
            "at": time.time(),
            "person": who.id,
            "name": _line(who.name),
            "place": _line(place()),
            "act": act.value,
            "thing": _line(thing),
            "outcome": _line(outcome),
        }
        try:
            self._add(values)
            self._forget_old()
        except AtelierError as error:
            log.error("That somebody did %r could not be noted: %s", act.value, error)

    @repeated
    def _add(self, values: dict[str, object]) -> None:
        with self._database.write() as db:
            db.execute(
                text(
                    "INSERT INTO audit (at, person, name, place, act, thing, outcome)"
                    " VALUES (:at, :person, :name, :place, :act, :thing, :outcome)"
                ),
                values,
            )

    def _forget_old(self) -> None:
        now = time.time()
        if self._days and now - self._tidied_at > _DAY:
            self._tidied_at = now
            self.forget(now - self._days * _DAY)

    @repeated
    def name_of(self, person: int) -> str:
        """A person's name by their id, also of one who was removed; "" where there is none."""
        with self._database.read() as db:
            found = db.execute(
                text("SELECT name FROM people WHERE id = :person"), {"person": person}
            ).scalar()
        return str(found or "")

    @needs(Deed.SEE_EVERYTHING)
    @repeated
    def page(
        self, offset: int, limit: int, person: int | None = None, act: Act | None = None
    ) -> AuditPage:
        """Acts newest first: of a person (None for anybody) and a sort (None for any)."""
        where, values = _matching(person, act)
        with self._database.read() as db:
            total = db.execute(text(f"SELECT count(*) FROM audit WHERE {where}"), values).scalar()
            rows = db.execute(
                text(
                    f"SELECT * FROM audit WHERE {where}"
                    " ORDER BY number DESC LIMIT :limit OFFSET :offset"
                ),
                {**values, "limit": limit, "offset": offset},
            ).all()
        return AuditPage(tuple(map(_row, rows)), int(total or 0))

    @needs(Deed.SEE_EVERYTHING)
    def every(self, person: int | None = None, act: Act | None = None) -> Iterator[AuditRow]:
        """All acts that match, newest first, however many; read as they are asked for."""
        return self._every(person, act)

    def _every(self, person: int | None, act: Act | None) -> Iterator[AuditRow]:
        before = 2**62
        while rows := self._before(before, person, act):
            yield from rows
            before = rows[-1].number

    @repeated
    def _before(self, number: int, person: int | None, act: Act | None) -> list[AuditRow]:
        where, values = _matching(person, act)
        with self._database.read() as db:
            rows = db.execute(
                text(
                    f"SELECT * FROM audit WHERE {where} AND number < :before"
                    " ORDER BY number DESC LIMIT :limit"
                ),
                {**values, "before": number, "limit": _AT_A_TIME},
            ).all()
        return list(map(_row, rows))

    @needs(Deed.SEE_EVERYTHING)
    @repeated
    def people(self) -> list[tuple[int, str]]:
        """Everybody of whom something is noted, by id, with the last name of each."""
        with self._database.read() as db:
            rows = db.execute(
                text(
                    "SELECT person, name FROM audit WHERE number IN"
                    " (SELECT max(number) FROM audit GROUP BY person) ORDER BY name, person"
                )
            ).all()
        return [(int(row.person), row.name) for row in rows]

    @repeated
    def forget(self, before: float) -> None:
        """Forget what was noted before a time."""
        with self._database.write() as db:
            db.execute(text("DELETE FROM audit WHERE at < :before"), {"before": before})


def _matching(person: int | None, act: Act | None) -> tuple[str, dict[str, object]]:
    wanted = ["1 = 1"]
    values: dict[str, object] = {}
    if person is not None:
        wanted.append("person = :person")
        values["person"] = person
    if act is not None:
        wanted.append("act = :act")
        values["act"] = act.value
    return " AND ".join(wanted), values


def _line(told: str) -> str:
    """One line of printable letters, not too long: names and messages are other people's words."""
    plain = "".join(each if each.isprintable() else " " for each in told)
    return plain if len(plain) <= _LONGEST else f"{plain[: _LONGEST - 1]}…"


def _row(row: Row[Any]) -> AuditRow:
    return AuditRow(**row._mapping)
