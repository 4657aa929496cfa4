"""People as rows: who has an account, with which role, and the hash of their password."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, Row, text

from studio.errors import NotFound, RequestError
from studio.people import Person, Role
from studio.store.database import Database, repeated


@dataclass(frozen=True)
class PersonRow:
    """One person; times are seconds since 1970, None for what has not happened.

    password_hash: "" until they have chosen a password.
    """

    id: int
    name: str
    role: Role
    password_hash: str
    created_at: float
    disabled_at: float | None
    seen_at: float | None = None

    @property
    def person(self) -> Person:
        """As whom they act."""
        return Person(self.id, self.name, self.role)

    @property
    def may_enter(self) -> bool:
        """Whether they are let in with the right password."""
        return bool(self.password_hash) and self.disabled_at is None


class PeopleTable:
    """All people of a data folder.

    Rows of those who were removed stay, so that no id is ever given to somebody else. changed:
    called after every change of who somebody is or whether they may enter.
    """

    def __init__(self, database: Database, changed: Callable[[], None] = lambda: None):
        self._database = database
        self._changed = changed

    def add(self, name: str, folded: str, role: Role, password_hash: str) -> int:
        """A new person's id; RequestError when the name is taken.

        folded: the name without its case, by which it is found.
        """
        with self._database.write() as db:
            self._refuse_taken(db, name, folded)
            return _add(db, name, folded, role, password_hash)

    def add_first(self, name: str, folded: str, password_hash: str) -> int | None:
        """The first administrator's id, or None where there is one already."""
        with self._database.write() as db:
            if _administrators(db):
                return None
            self._refuse_taken(db, name, folded)
            return _add(db, name, folded, Role.ADMINISTRATOR, password_hash)

    def get(self, person_id: int) -> PersonRow:
        """The person of this id, or NotFound."""
        row = self._one("id = :value", person_id)
        if row is None:
            raise NotFound(f"There is no person {person_id}; they may have been removed.")
        return row

    def named(self, folded: str) -> PersonRow | None:
        """The person of a name without its case."""
        return self._one("folded = :value", folded)

    @repeated
    def names(self, ids: Iterable[int]) -> dict[int, str]:
        """Names by ids, of those who were not removed."""
        wanted = dict(enumerate(sorted(set(ids) - {0})))
        if not wanted:
            return {}
        among = ", ".join(f":i{i}" for i in wanted)
        with self._database.read() as db:
            rows = db.execute(
                text(f"SELECT id, name FROM people WHERE removed_at IS NULL AND id IN ({among})"),
                {f"i{i}": person for i, person in wanted.items()},
            ).all()
        return {int(row.id): row.name for row in rows}

    def listed(self) -> list[PersonRow]:
        """All of them by name."""
        with self._database.read() as db:
            rows = db.execute(text(f"{_SELECT} WHERE removed_at IS NULL ORDER BY folded")).all()
        return [_row(row) for row in rows]

    def has_administrator(self) -> bool:
        """Whether anybody who may enter manages the studio."""
        with self._database.read() as db:
            return bool(_administrators(db))

    def change(
        self,
        person_id: int,
        *,
        role: Role | None = None,
        password_hash: str | None = None,
        disabled: bool | None = None,
    ) -> None:
        """Change what is given; RequestError when nobody would be left who manages the studio."""

        def changed(row: PersonRow) -> dict[str, Any]:
            after = replace(
                row,
                role=role or row.role,
                password_hash=row.password_hash if password_hash is None else password_hash,
            )
            if disabled is not None:
                after = replace(after, disabled_at=time.time() if disabled else None)
            return {
                "role": after.role,
                "password_hash": after.password_hash,
                "disabled_at": after.disabled_at,
            }

        self._update(person_id, changed)

    @repeated
    def saw(self, person_id: int) -> None:
        """Note that a person was here just now."""
        with self._database.write() as db:
            db.execute(
                text("UPDATE people SET seen_at = :now WHERE id = :id"),
                {"now": time.time(), "id": person_id},
            )

    def rename(self, person_id: int, name: str, folded: str) -> None:
        """Give a person another name; RequestError when it is taken."""
        with self._database.write() as db:
            found = _find(db, "folded = :value", folded)
            if found is not None and found.id != person_id:
                self._refuse_taken(db, name, folded)
            db.execute(
                text("UPDATE people SET name = :name, folded = :folded WHERE id = :id"),
                {"name": name, "folded": folded, "id": person_id},
            )
        self._changed()

    def remove(self, person_id: int) -> None:
        """Forget a person but for the id and the name, under which their work stays."""
        gone = {"folded": None, "password_hash": "", "removed_at": time.time()}
        self._update(person_id, lambda row: gone)

    def _update(self, person_id: int, changes: Callable[[PersonRow], dict[str, Any]]) -> None:
        with self._database.write() as db:
            row = _find(db, "id = :value", person_id)
            if row is None:
                raise NotFound(f"There is no person {person_id}; they may have been removed.")
            fields = changes(row)
            had = row.may_enter and row.role is Role.ADMINISTRATOR
            parts = ", ".join(f"{name} = :{name}" for name in fields)
            db.execute(text(f"UPDATE people SET {parts} WHERE id = :id"), {**fields, "id": row.id})
            if had and not _administrators(db):
                raise RequestError(
                    f"{row.name} is the last administrator; make somebody else one first."
                )
        self._changed()

    def _refuse_taken(self, db: Connection, name: str, folded: str) -> None:
        if _find(db, "folded = :value", folded) is not None:
            raise RequestError(f"There is a person {name!r} already; choose another name.", "name")

    def _one(self, where: str, value: object) -> PersonRow | None:
        with self._database.read() as db:
            return _find(db, where, value)


_SELECT = "SELECT id, name, role, password_hash, created_at, disabled_at, seen_at FROM people"


def _find(db: Connection, where: str, value: object) -> PersonRow | None:
    row = db.execute(
        text(f"{_SELECT} WHERE removed_at IS NULL AND {where}"), {"value": value}
    ).first()
    return None if row is None else _row(row)


def _add(db: Connection, name: str, folded: str, role: Role, password_hash: str) -> int:
    # Not left to the database: SQLite would give the id of a deleted last row again.
    last = db.execute(text("SELECT coalesce(max(id), 0) FROM people")).scalar_one()
    db.execute(
        text(
            "INSERT INTO people (id, name, folded, role, password_hash, created_at)"
            " VALUES (:id, :name, :folded, :role, :password_hash, :now)"
        ),
        {
            "id": last + 1,
            "name": name,
            "folded": folded,
            "role": role,
            "password_hash": password_hash,
            "now": time.time(),
        },
    )
    return int(last + 1)


def _administrators(db: Connection) -> int:
    """How many there are who may enter."""
    found = db.execute(
        text(
            "SELECT count(*) FROM people WHERE role = :role AND password_hash != ''"
            " AND disabled_at IS NULL AND removed_at IS NULL"
        ),
        {"role": Role.ADMINISTRATOR},
    )
    return int(found.scalar_one())


def _row(row: Row[Any]) -> PersonRow:
    return PersonRow(**{**row._mapping, "role": Role(row.role)})
