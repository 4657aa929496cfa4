"""Named steps that bring a database of any age to today's form, all in one transaction.

A step that has been released is never edited; a change is a new step at the end.
"""

from collections.abc import Callable

from sqlalchemy import Connection, text

from studio.errors import StorageError


def _first_tables(db: Connection) -> None:
    db.execute(
        text(
            """
            CREATE TABLE jobs (
                number INTEGER PRIMARY KEY AUTOINCREMENT,
                id TEXT NOT NULL UNIQUE,
                kind TEXT NOT NULL,
                request TEXT NOT NULL,
                status TEXT NOT NULL,
                reason TEXT NOT NULL DEFAULT '',
                runner TEXT NOT NULL DEFAULT '',
                created_at REAL NOT NULL,
                started_at REAL,
                ended_at REAL
            )
            """
        )
    )
    db.execute(text("CREATE INDEX jobs_by_status ON jobs (status, number)"))
    db.execute(
        text(
            """
            CREATE TABLE outputs (
                id INTEGER PRIMARY KEY AUTOINCREMENT,
                job_id TEXT NOT NULL REFERENCES jobs (id),
                created_at REAL NOT NULL,
                file TEXT NOT NULL UNIQUE,
                width INTEGER NOT NULL,
                height INTEGER NOT NULL,
                bytes INTEGER NOT NULL,
                seed INTEGER NOT NULL,
                model TEXT NOT NULL,
                prompt TEXT NOT NULL,
                negative_prompt TEXT NOT NULL,
                infotext TEXT NOT NULL,
                request TEXT NOT NULL,
                trashed_at REAL
            )
            """
        )
    )
    db.execute(text("CREATE INDEX outputs_by_job ON outputs (job_id, id)"))
    db.execute(text("CREATE INDEX outputs_by_trash ON outputs (trashed_at, id)"))


def _submissions(db: Connection) -> None:
    db.execute(
        text(
            """
            CREATE TABLE submissions (
                id INTEGER PRIMARY KEY AUTOINCREMENT,
                created_at REAL NOT NULL,
                who TEXT NOT NULL,
                model TEXT NOT NULL,
                revision TEXT NOT NULL,
                data_set TEXT NOT NULL,
                data_set_sha256 TEXT NOT NULL,
                questions INTEGER NOT NULL,
                exact REAL NOT NULL,
                f1 REAL NOT NULL,
                scores TEXT NOT NULL,
                settings TEXT NOT NULL,
                seconds REAL NOT NULL,
                device TEXT NOT NULL,
                na_prob TEXT NOT NULL
            )
            """
        )
    )
    db.execute(text("CREATE INDEX submissions_by_rank ON submissions (data_set, f1, exact)"))


STEPS: tuple[tuple[str, Callable[[Connection], None]], ...] = (
    ("first tables", _first_tables),
    ("submissions", _submissions),
)


def migrate(db: Connection) -> list[str]:
    """Apply the steps that this database lacks and return their names.

    db: a connection in a transaction, which the caller commits.
    Raises StorageError when the database comes from a newer Atelier.
    """
    db.execute(text("CREATE TABLE IF NOT EXISTS migrations (name TEXT PRIMARY KEY)"))
    done = {row[0] for row in db.execute(text("SELECT name FROM migrations"))}
    unknown = done - {name for name, _ in STEPS}
    if unknown:
        raise StorageError(
            f"The database was made by a newer Atelier (step {sorted(unknown)[0]!r}); "
            "update Atelier or choose another data folder (ATELIER_DATA_DIR)."
        )
    applied = []
    for name, step in STEPS:
        if name not in done:
            step(db)
            db.execute(text("INSERT INTO migrations (name) VALUES (:name)"), {"name": name})
            applied.append(name)
    return applied
