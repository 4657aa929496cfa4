"""Named steps that bring a database of any age to today's form, all in one transaction.

A step that has been released is never edited; a change is a new step at the end. Tables are
described in SQLite's words, with the types INTEGER (64 bits), REAL (double), TEXT and BLOB and
`id INTEGER PRIMARY KEY` where the database counts; postgresql.py knows what these are called there.
Whatever a step does to rows must be said so that both understand it.
"""

from collections.abc import Callable, Collection

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


def _tasks(db: Connection) -> None:
    db.execute(
        text(
            """
            CREATE TABLE tasks (
                number INTEGER PRIMARY KEY AUTOINCREMENT,
                id TEXT NOT NULL,
                job_id TEXT NOT NULL UNIQUE REFERENCES jobs (id),
                caller TEXT NOT NULL,
                parameters TEXT NOT NULL
            )
            """
        )
    )
    db.execute(text("CREATE INDEX tasks_by_id ON tasks (id, number)"))
    db.execute(text("CREATE INDEX tasks_by_caller ON tasks (caller, number)"))


def _losses(db: Connection) -> None:
    db.execute(text("ALTER TABLE jobs ADD COLUMN losses INTEGER NOT NULL DEFAULT 0"))


def _owners(db: Connection) -> None:
    db.execute(text("ALTER TABLE jobs ADD COLUMN owner INTEGER NOT NULL DEFAULT 0"))
    db.execute(text("CREATE INDEX jobs_by_owner ON jobs (owner, status, number)"))


def _folded(db: Connection) -> None:
    # Not every database knows the case of all letters: they are folded once, by Python.
    db.execute(text("ALTER TABLE outputs ADD COLUMN folded TEXT NOT NULL DEFAULT ''"))
    rows = db.execute(text("SELECT id, prompt, model FROM outputs")).all()
    if rows:
        db.execute(
            text("UPDATE outputs SET folded = :folded WHERE id = :id"),
            [{"id": row.id, "folded": f"{row.prompt} {row.model}".casefold()} for row in rows],
        )


def _people(db: Connection) -> None:
    db.execute(
        text(
            """
            CREATE TABLE people (
                id INTEGER PRIMARY KEY,
                name TEXT NOT NULL,
                folded TEXT UNIQUE,
                role TEXT NOT NULL,
                password_hash TEXT NOT NULL,
                created_at DOUBLE PRECISION NOT NULL,
                disabled_at DOUBLE PRECISION,
                removed_at DOUBLE PRECISION
            )
            """
        )
    )
    db.execute(
        text(
            """
            CREATE TABLE sessions (
                hash TEXT PRIMARY KEY,
                person INTEGER NOT NULL REFERENCES people (id),
                created_at DOUBLE PRECISION NOT NULL,
                seen_at DOUBLE PRECISION NOT NULL,
                expires_at DOUBLE PRECISION NOT NULL,
                place TEXT NOT NULL,
                program TEXT NOT NULL
            )
            """
        )
    )
    db.execute(
        text(
            """
            CREATE TABLE tokens (
                hash TEXT PRIMARY KEY,
                person INTEGER NOT NULL REFERENCES people (id),
                label TEXT NOT NULL,
                created_at DOUBLE PRECISION NOT NULL,
                used_at DOUBLE PRECISION,
                revoked_at DOUBLE PRECISION
            )
            """
        )
    )
    db.execute(
        text(
            """
            CREATE TABLE links (
                hash TEXT PRIMARY KEY,
                person INTEGER NOT NULL,
                expires_at DOUBLE PRECISION NOT NULL
            )
            """
        )
    )
    db.execute(text("CREATE INDEX sessions_by_person ON sessions (person)"))
    db.execute(text("CREATE INDEX tokens_by_person ON tokens (person)"))


def _owned_outputs(db: Connection) -> None:
    db.execute(text("ALTER TABLE outputs ADD COLUMN owner INTEGER NOT NULL DEFAULT 0"))
    db.execute(
        text(
            "UPDATE outputs SET owner ="
            " (SELECT jobs.owner FROM jobs WHERE jobs.id = outputs.job_id)"
        )
    )
    db.execute(text("CREATE INDEX outputs_by_owner ON outputs (owner, created_at)"))


def _inputs(db: Connection) -> None:
    db.execute(
        text(
            """
            CREATE TABLE inputs (
                person INTEGER NOT NULL,
                hash TEXT NOT NULL,
                bytes INTEGER NOT NULL,
                created_at DOUBLE PRECISION NOT NULL,
                PRIMARY KEY (person, hash)
            )
            """
        )
    )


def _turns(db: Connection) -> None:
    db.execute(text("ALTER TABLE jobs ADD COLUMN raised_at DOUBLE PRECISION"))
    db.execute(text("ALTER TABLE jobs ADD COLUMN role TEXT NOT NULL DEFAULT 'administrator'"))
    db.execute(text("CREATE INDEX jobs_by_start ON jobs (owner, started_at)"))


def _belongings(db: Connection) -> None:
    db.execute(
        text(
            """
            CREATE TABLE belongings (
                sort TEXT NOT NULL,
                name TEXT NOT NULL,
                owner INTEGER NOT NULL,
                shared INTEGER NOT NULL,
                PRIMARY KEY (sort, name)
            )
            """
        )
    )
    db.execute(
        text(
            """
            CREATE TABLE limits (
                sort TEXT NOT NULL,
                name TEXT NOT NULL,
                person INTEGER NOT NULL,
                PRIMARY KEY (sort, name, person)
            )
            """
        )
    )
    db.execute(text("CREATE INDEX belongings_by_owner ON belongings (owner)"))


def _quotas(db: Connection) -> None:
    db.execute(
        text(
            """
            CREATE TABLE quotas (
                person INTEGER PRIMARY KEY,
                waiting_jobs INTEGER,
                images_a_day INTEGER,
                training_hours DOUBLE PRECISION,
                disk INTEGER
            )
            """
        )
    )


def _preferences(db: Connection) -> None:
    db.execute(
        text("CREATE TABLE options (person INTEGER NOT NULL PRIMARY KEY, chosen TEXT NOT NULL)")
    )
    db.execute(
        text(
            """
            CREATE TABLE styles (
                person INTEGER NOT NULL,
                name TEXT NOT NULL,
                prompt TEXT NOT NULL,
                negative_prompt TEXT NOT NULL,
                PRIMARY KEY (person, name)
            )
            """
        )
    )


def _audit(db: Connection) -> None:
    db.execute(
        text(
            """
            CREATE TABLE audit (
                number INTEGER PRIMARY KEY AUTOINCREMENT,
                at DOUBLE PRECISION NOT NULL,
                person INTEGER NOT NULL,
                name TEXT NOT NULL,
                place TEXT NOT NULL,
                act TEXT NOT NULL,
                thing TEXT NOT NULL,
                outcome TEXT NOT NULL
            )
            """
        )
    )
    db.execute(text("CREATE INDEX audit_by_time ON audit (at)"))
    db.execute(text("CREATE INDEX audit_by_person ON audit (person, number)"))
    db.execute(text("CREATE INDEX audit_by_act ON audit (act, number)"))


def _seen(db: Connection) -> None:
    db.execute(text("ALTER TABLE people ADD COLUMN seen_at DOUBLE PRECISION"))
    db.execute(text("CREATE INDEX jobs_by_end ON jobs (ended_at)"))


STEPS: tuple[tuple[str, Callable[[Connection], None]], ...] = (
    ("first tables", _first_tables),
    ("submissions", _submissions),
    ("tasks", _tasks),
    ("losses", _losses),
    ("owners", _owners),
    ("folded", _folded),
    ("people", _people),
    ("owned outputs", _owned_outputs),
    ("inputs", _inputs),
    ("turns", _turns),
    ("belongings", _belongings),
    ("quotas", _quotas),
    ("preferences", _preferences),
    ("audit", _audit),
    ("seen", _seen),
)


def migrate(db: Connection, only: Collection[str] | None = None) -> list[str]:
    """Apply the steps that this database lacks and return their names.

    db: a connection in a transaction, which the caller commits. only: names of the steps beyond
    which it is not to go, None for all.
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
        if name not in done and (only is None or name in only):
            step(db)
            db.execute(text("INSERT INTO migrations (name) VALUES (:name)"), {"name": name})
            applied.append(name)
    return applied
