"""How much a person may have: what the settings say, and what is said of that person instead."""

from dataclasses import dataclass, fields, replace

from sqlalchemy import text

from studio.audit import Act, audited
from studio.people import Deed, needs
from studio.store.audit import AuditTable
from studio.store.database import Database, repeated


@dataclass(frozen=True)
class Quotas:
    """Limits of a person, 0 for none.

    waiting_jobs: at a time. images_a_day: in 24 hours. training_hours: in 30 days. disk: bytes.
    """

    waiting_jobs: int = 0
    images_a_day: int = 0
    training_hours: float = 0
    disk: int = 0


NAMES = tuple(field.name for field in fields(Quotas))


class QuotaTable:
    """The quotas of a data folder; usual: of whom nothing else is said."""

    def __init__(self, database: Database, usual: Quotas):
        self._database = database
        self._usual = usual
        self.audit = AuditTable(database)

    @repeated
    def own(self, person: int) -> dict[str, float | None]:
        """What is said of a person alone, None where it is as usual."""
        with self._database.read() as db:
            row = db.execute(
                text(f"SELECT {', '.join(NAMES)} FROM quotas WHERE person = :person"),
                {"person": person},
            ).first()
        return dict(row._mapping) if row is not None else dict.fromkeys(NAMES)

    @property
    def usual(self) -> Quotas:
        """The limits of whom nothing else is said."""
        return self._usual

    @repeated
    def everybodys(self) -> dict[int, dict[str, float | None]]:
        """What is said of people alone, by their ids, None where it is as usual."""
        with self._database.read() as db:
            rows = db.execute(text(f"SELECT person, {', '.join(NAMES)} FROM quotas")).all()
        return {row.person: {name: row._mapping[name] for name in NAMES} for row in rows}

    def of(self, person: int) -> Quotas:
        """The limits of a person."""
        own = {name: value for name, value in self.own(person).items() if value is not None}
        return replace(self._usual, **own)  # type: ignore[arg-type]

    @audited(Act.QUOTAS, lambda self, person, own: self._told(person, own))
    @needs(Deed.MANAGE_PEOPLE)
    @repeated
    def set(self, person: int, own: dict[str, float | None]) -> None:
        """Say what holds for a person, None for what is usual; administrators may do so.

        What is left out stays as it is.
        """
        values = self.own(person) | own
        with self._database.write() as db:
            db.execute(text("DELETE FROM quotas WHERE person = :person"), {"person": person})
            db.execute(
                text(
                    f"INSERT INTO quotas (person, {', '.join(NAMES)})"
                    f" VALUES (:person, {', '.join(f':{name}' for name in NAMES)})"
                ),
                {**values, "person": person},
            )

    def _told(self, person: int, own: dict[str, float | None]) -> str:
        said = (f"{n} {'as usual' if v is None else f'{v:g}'}" for n, v in own.items())
        return f"{self.audit.name_of(person)}: {', '.join(said)}"
