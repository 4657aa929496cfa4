"""What lies in files and folders, whose it is, and who may use it: a row for what is not all's.

Of every sort of thing there is one rule for what has no row. A model (also an adapter, a reader), a
data set or a submission without one is everybody's: it shipped, or an administrator put it there. A
picture set or a run without one is the studio's own, and shown to administrators alone.
"""

from collections.abc import Collection, Iterable
from enum import StrEnum

from sqlalchemy import Connection, text

from studio.audit import Act, audited
from studio.errors import Forbidden, NotFound
from studio.people import HOME, NOBODY, Deed, acting, needs
from studio.store.audit import AuditTable
from studio.store.database import Database, repeated


class Sort(StrEnum):
    """What a thing is; names are unique within a sort."""

    MODEL = "model"
    DATA_SET = "data set"
    PICTURES = "picture set"
    RUN = "run"
    SUBMISSION = "submission"


_OPEN = (Sort.MODEL, Sort.DATA_SET, Sort.SUBMISSION)
FOLDERS = {
    Sort.MODEL: "models",
    Sort.DATA_SET: "data_sets",
    Sort.PICTURES: "pictures",
    Sort.RUN: "runs",
    Sort.SUBMISSION: "submissions",
}
"""Where in the data folder the things of each sort are."""


class Belongings:
    """All rows of a data folder."""

    def __init__(self, database: Database):
        self._database = database

    def of(self, sort: Sort) -> "Things":
        """The things of a sort."""
        return Things(self._database, sort)

    @repeated
    def listed(self, owner: int) -> list[tuple[Sort, str]]:
        """What belongs to a person."""
        with self._database.read() as db:
            rows = db.execute(
                text("SELECT sort, name FROM belongings WHERE owner = :owner ORDER BY sort, name"),
                {"owner": owner},
            )
            return [(Sort(row.sort), row.name) for row in rows]


class Things:
    """The things of a sort, by their names; what is `Owned`."""

    def __init__(self, database: Database, sort: Sort):
        self._database = database
        self._sort = sort
        self.audit = AuditTable(database)

    @repeated
    def shown(self, names: Iterable[str]) -> set[str]:
        """Those of some names that are shown to who is at work."""
        person, found = acting(), set(names)
        if person.is_administrator or not found:
            return found
        if person == NOBODY:
            return set()
        with self._database.read() as db:
            rows = db.execute(
                text("SELECT name, owner, shared FROM belongings WHERE sort = :sort"),
                {"sort": self._sort},
            ).all()
            limits = db.execute(
                text("SELECT name, person FROM limits WHERE sort = :sort"), {"sort": self._sort}
            ).all()
        own = {row.name for row in rows if row.owner == person.id}
        if self._sort not in _OPEN:
            return found & (own | {row.name for row in rows if row.shared})
        hidden = {row.name for row in rows if not row.shared}
        limited = {row.name for row in limits}
        allowed = {row.name for row in limits if row.person == person.id}
        return found - ((hidden | (limited - allowed)) - own)

    def shows(self, name: str) -> bool:
        """Whether a thing is shown to who is at work."""
        return name in self.shown([name])

    @repeated
    def owner(self, name: str) -> int:
        """Whose a thing is; 0 for what has no row."""
        with self._database.read() as db:
            found = db.execute(
                text("SELECT owner FROM belongings WHERE sort = :sort AND name = :name"),
                {"sort": self._sort, "name": name},
            ).scalar()
        return int(found or HOME.id)

    @repeated
    def is_shared(self, name: str) -> bool:
        """Whether everybody is shown a thing, as far as its use is not limited to some."""
        with self._database.read() as db:
            shared = db.execute(
                text("SELECT shared FROM belongings WHERE sort = :sort AND name = :name"),
                {"sort": self._sort, "name": name},
            ).scalar()
        return self._sort in _OPEN if shared is None else bool(shared)

    def keep(self, name: str) -> None:
        """Note that who is at work has made a thing, which is theirs alone until it is shared."""
        self.forget(name)
        with self._database.write() as db:
            self.keep_in(db, name)

    def keep_in(self, db: Connection, name: str) -> None:
        """The same within a transaction of the caller's, for a name that nothing has had."""
        if acting().id:
            db.execute(
                text(
                    "INSERT INTO belongings (sort, name, owner, shared)"
                    " VALUES (:sort, :name, :owner, 0)"
                ),
                {"sort": self._sort, "name": name, "owner": acting().id},
            )

    @repeated
    def forget(self, name: str) -> None:
        """Note that a thing is gone."""
        with self._database.write() as db:
            for table in ("belongings", "limits"):
                db.execute(
                    text(f"DELETE FROM {table} WHERE sort = :sort AND name = :name"),
                    {"sort": self._sort, "name": name},
                )

    def demand(self, name: str) -> None:
        """Forbidden, unless who is at work may change or delete a thing that they are shown."""
        if not acting().is_administrator and self.owner(name) != acting().id:
            raise Forbidden(
                f"{name} is not yours to change; ask an administrator, or whoever has made it."
            )

    @audited(Act.SHARE, lambda self, name, shared=True: self._shared_as(name, shared))
    @needs(Deed.MAKE)
    @repeated
    def share(self, name: str, shared: bool = True) -> None:
        """Show a thing to everybody, or to its owner alone; NotFound for what has no owner."""
        self.demand(name)
        if not self.owner(name):
            raise NotFound(f"{name} belongs to everybody already; limit its use instead.")
        with self._database.write() as db:
            db.execute(
                text("UPDATE belongings SET shared = :shared WHERE sort = :sort AND name = :name"),
                {"shared": int(shared), "sort": self._sort, "name": name},
            )

    @repeated
    def limits(self, name: str) -> tuple[int, ...]:
        """The people (ids) to whom the use of a thing is limited; () for everybody."""
        with self._database.read() as db:
            people = db.execute(
                text(
                    "SELECT person FROM limits WHERE sort = :sort AND name = :name ORDER BY person"
                ),
                {"sort": self._sort, "name": name},
            ).scalars()
            return tuple(int(person) for person in people)

    @audited(Act.LIMIT, lambda self, name, people: self._limited_to(name, people))
    @needs(Deed.MANAGE_MODELS)
    @repeated
    def limit(self, name: str, people: Collection[int]) -> None:
        """Limit the use of a thing to some people, () for everybody; administrators may do so."""
        with self._database.write() as db:
            db.execute(
                text("DELETE FROM limits WHERE sort = :sort AND name = :name"),
                {"sort": self._sort, "name": name},
            )
            for person in sorted(set(people)):
                db.execute(
                    text("INSERT INTO limits (sort, name, person) VALUES (:sort, :name, :person)"),
                    {"sort": self._sort, "name": name, "person": person},
                )

    def _shared_as(self, name: str, shared: bool) -> str:
        return f"{self._sort} {name}: {'for everybody' if shared else 'for its owner alone'}"

    def _limited_to(self, name: str, people: Collection[int]) -> str:
        names = ", ".join(self.audit.name_of(person) or str(person) for person in people)
        return f"{self._sort} {name}: to {names or 'nobody, so for everybody'}"
