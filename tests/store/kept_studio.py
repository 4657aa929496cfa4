"""A studio with something of everything, and what is in a studio."""

from dataclasses import replace
from pathlib import Path

from sample_pictures import picture, png
from sqlalchemy import inspect, text

from studio.audit import Act
from studio.events import Status
from studio.people import HOME, Person, Role, acting_as
from studio.store.audit import AuditTable
from studio.store.backup import tables
from studio.store.belongings import Belongings, Sort
from studio.store.database import Database
from studio.store.inputs import InputStore
from studio.store.jobs import JobTable
from studio.store.keys import KeyTable
from studio.store.outputs import OutputTable
from studio.store.people import PeopleTable
from studio.store.preferences import OptionTable, Style, StyleTable
from studio.store.quotas import Quotas, QuotaTable
from studio.store.submissions import NewSubmission, SubmissionTable
from studio.store.tasks import TaskTable

ADA = Person(1, "Ada", Role.MEMBER)


def everything(database: Database) -> dict[str, list[tuple[object, ...]]]:
    """All rows of all tables."""
    with database.read() as db:
        found = {name: db.execute(text(f"SELECT * FROM {name}")).all() for name in tables(db)}
    return {name: sorted(map(tuple, rows), key=str) for name, rows in found.items()}


def columns(database: Database) -> dict[str, set[str]]:
    with database.read() as db:
        looked = inspect(db)
        return {t: {c["name"] for c in looked.get_columns(t)} for t in looked.get_table_names()}


def files(folder: Path) -> dict[str, bytes]:
    """All files of a folder but the database's own."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith(("atelier.db", "server.lock"))
    }


def submission() -> NewSubmission:
    return NewSubmission(
        *("Ada", "small-reader", "abc", "dev-v2.0", "5" * 64, 3),
        {"exact": 100 / 3, "f1": 0.1 + 0.2},
        {"threshold": 0.5},
        *(1.5, "cpu", "given", {"q": "Grüße 👋🏽"}, {"q": 0.1}),
    )


def fill(database: Database, folder: Path) -> None:
    """A studio with something of everything, in a folder of its own."""
    jobs, outputs = JobTable(database), OutputTable(database, folder)
    ids = [
        jobs.add("generate", '{"prompt": "Ä 猫 🦊 \' \\\\ \\u0000"}', person=person).id
        for person in (HOME, *(Person(n, "", Role.MEMBER) for n in range(1, 4)))
    ]
    jobs.move(ids[0], Status.CANCELLED, "a reason\nof two lines\u2028")
    pictures = [picture(f"die STRASSE {number}", 2**62 + number) for number in range(3)]
    made = [outputs.save(ids[1], replace(each, mask=png(8, 8))) for each in pictures]
    outputs.trash(made)
    with database.write() as db:
        db.execute(text("UPDATE outputs SET trashed_at = 1 WHERE id = :id"), {"id": made[2]})
    outputs.delete_trash(before=2)  # the highest number is in no row any more
    TaskTable(database).add("a task", ids[2], "10.0.0.1", "{}")
    SubmissionTable(database, folder).save(submission())
    with acting_as(ADA):
        InputStore(folder, database).add_picture(png(16, 16))
        Belongings(database).of(Sort.MODEL).keep("loras/ada.safetensors")
        OptionTable(database).set({"samples_format": "webp"})
        StyleTable(database).keep(Style("rough", "{prompt}, rough", own=True))
    Belongings(database).of(Sort.MODEL).limit("loras/ada.safetensors", [1, 2])
    PeopleTable(database).add("Ada", "ada", Role.MEMBER, "a hash")
    AuditTable(database).note(Act.ADD, "Ada: member")
    keys = KeyTable(database)
    keys.open_session("a", 1, 60, "10.0.0.1", "a browser")
    keys.add_token("b", 1, "a script")
    keys.put_link("c", 1, 60)
    QuotaTable(database, Quotas()).set(1, {"training_hours": 0.1})
    (folder / "styles.csv").write_text("name,prompt,negative_prompt\n")
    (folder / "preferences.json").write_text('{"default": "mine"}')
