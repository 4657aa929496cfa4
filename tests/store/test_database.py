"""The database: its form over the ages, its journal, and what it says when it cannot be used."""

import threading
from pathlib import Path

import pytest
from sqlalchemy import inspect, text

from studio.errors import StorageError
from studio.services import build_services
from studio.settings import Settings
from studio.store import migrations
from studio.store.database import FILE_NAME, Database


def tables(database: Database) -> set[str]:
    """Those of the database, found by another way than the studio's own."""
    with database.read() as db:
        return set(inspect(db).get_table_names())


def steps(database: Database) -> list[str]:
    with database.read() as db:
        return sorted(db.execute(text("SELECT name FROM migrations")).scalars())


ALL_STEPS = sorted(name for name, _ in migrations.STEPS)


def refusal(folder: Path) -> str:
    with pytest.raises(StorageError) as caught:
        Database(folder).close()
    message = str(caught.value)
    assert "\n" not in message
    assert message.endswith(".")
    assert str(folder) in message
    return message


def test_a_fresh_database_has_all_tables(database):
    of_work = {"migrations", "jobs", "outputs", "submissions", "tasks", "inputs"}
    of_people = {"people", "sessions", "tokens", "links", "belongings", "limits", "quotas"}
    assert tables(database) >= of_work | of_people
    assert steps(database) == ALL_STEPS


def test_whole_numbers_have_64_bits_and_others_53(database):
    """Whatever step made the column: the widths of PostgreSQL's own words are half of these."""
    with database.read() as db:
        columns = {
            f"{table}.{column['name']}": column["type"]
            for table in inspect(db).get_table_names()
            for column in inspect(db).get_columns(table)
        }
    kinds = {str(each).removesuffix(' COLLATE "C"') for each in columns.values()}
    sqlite = {"INTEGER", "REAL", "DOUBLE PRECISION", "TEXT"}
    postgresql = {"BIGINT", "DOUBLE PRECISION", "TEXT"}
    assert kinds <= (sqlite | {"BLOB"} if database.name == "sqlite" else postgresql | {"BYTEA"})
    assert {"jobs.number", "outputs.seed", "outputs.created_at"} <= set(columns)


def test_a_database_of_any_age_comes_to_todays_form(
    database, jobs, outputs, database_url, tmp_path
):
    """Each step is taken by itself, on rows that were there before it."""
    with database.write() as db:
        for table, _ in reversed(inspect(db).get_sorted_table_and_fkc_names()):
            if table is not None:
                db.execute(text(f"DROP TABLE {table}"))
        names: list[str] = []
        for name, _ in migrations.STEPS:
            names.append(name)
            assert migrations.migrate(db, only=names) == [name]
            if name == "first tables":
                db.execute(
                    text(
                        "INSERT INTO jobs (id, kind, request, status, created_at)"
                        " VALUES ('old', 'generate', '{}', 'queued', 1700000000.123456)"
                    )
                )
                db.execute(
                    text(
                        "INSERT INTO outputs (job_id, created_at, file, width, height, bytes, seed,"
                        " model, prompt, negative_prompt, infotext, request) VALUES ('old', 1,"
                        " 'outputs/1', 64, 64, 5000000000, 9007199254740993, 'M',"
                        " 'die STRASSE, Straße', '', '', '{}')"
                    )
                )
    assert steps(database) == ALL_STEPS
    row = jobs.get("old")
    assert (row.created_at, row.losses, row.owner) == (1700000000.123456, 0, 0)
    (found,) = outputs.page(0, 9, search="straße strasse").rows
    assert (found.bytes, found.seed) == (5000000000, 9007199254740993)


def test_opening_again_changes_nothing(database, jobs, tmp_path, database_url):
    row = jobs.add("generate", "{}")
    for _ in range(2):
        again = Database(tmp_path, database_url)
        with again.write() as db:
            assert migrations.migrate(db) == []
        again.close()
    assert jobs.get(row.id) == row
    assert steps(database) == ALL_STEPS


def test_many_may_open_a_fresh_database_at_once(tmp_path, database_url):
    barrier, faults = threading.Barrier(8), []

    def open_it():
        barrier.wait()
        try:
            Database(tmp_path, database_url).close()
        except StorageError as error:
            faults.append(error)

    threads = [threading.Thread(target=open_it) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    database = Database(tmp_path, database_url)
    assert steps(database) == ALL_STEPS
    database.close()


def _add_extra(db):
    db.execute(text("CREATE TABLE extra (id INTEGER)"))
    db.execute(text("ALTER TABLE jobs ADD COLUMN extra TEXT"))


def _fail(db):
    db.execute(text("CREATE TABLE second (id INTEGER)"))
    raise RuntimeError("the step has a fault")


def test_an_older_database_is_brought_up_to_date_and_keeps_its_rows(
    database, jobs, tmp_path, monkeypatch
):
    row = jobs.add("generate", '{"steps": 3}')
    monkeypatch.setattr(migrations, "STEPS", (*migrations.STEPS, ("extra", _add_extra)))
    with database.write() as db:
        assert migrations.migrate(db) == ["extra"]
    assert "extra" in tables(database)
    with database.read() as db:
        kept = db.execute(text("SELECT id, request, extra FROM jobs")).one()
    assert tuple(kept) == (row.id, '{"steps": 3}', None)


def test_a_failing_step_leaves_nothing_behind(database, database_url, tmp_path, monkeypatch):
    before = tables(database), steps(database)
    more = (*migrations.STEPS, ("extra", _add_extra), ("faulty", _fail))
    monkeypatch.setattr(migrations, "STEPS", more)
    with pytest.raises(RuntimeError, match="fault"):
        Database(tmp_path, database_url)
    assert (tables(database), steps(database)) == before
    with database.read() as db:
        assert "extra" not in {column["name"] for column in inspect(db).get_columns("jobs")}


def test_a_failing_first_step_leaves_an_empty_database(tmp_path, database_url, monkeypatch):
    monkeypatch.setattr(migrations, "STEPS", (*migrations.STEPS, ("faulty", _fail)))
    with pytest.raises(RuntimeError, match="fault"):
        Database(tmp_path, database_url)
    monkeypatch.setattr(migrations, "STEPS", ())
    empty = Database(tmp_path, database_url)
    assert tables(empty) == {"migrations"}
    empty.close()
    monkeypatch.undo()
    again = Database(tmp_path, database_url)
    assert "jobs" in tables(again)
    again.close()


def test_a_database_from_a_newer_atelier_is_left_alone(database, database_url, tmp_path):
    with database.write() as db:
        db.execute(text("DELETE FROM migrations WHERE name = 'folded'"))
        db.execute(text("INSERT INTO migrations VALUES ('something of the future')"))
    before = steps(database)
    with pytest.raises(StorageError, match=r"newer Atelier .*'something of the future'") as caught:
        Database(tmp_path, database_url)
    assert "ATELIER_DATA_DIR" in str(caught.value)
    assert steps(database) == before


@pytest.mark.parametrize("database_url", [""], ids=["sqlite"])
def test_the_journal_is_write_ahead_on_every_connection(database):
    for opened in (database.read, database.write):
        with opened() as db:
            assert db.execute(text("PRAGMA journal_mode")).scalar() == "wal"
            assert db.execute(text("PRAGMA foreign_keys")).scalar() == 1


def test_a_reader_does_not_wait_for_a_writer(database, jobs):
    jobs.add("generate", "{}")
    with database.write() as writing:
        writing.execute(text("UPDATE jobs SET reason = 'new'"))
        with database.read() as reading:
            assert reading.execute(text("SELECT reason FROM jobs")).scalar() == ""
    with database.read() as reading:
        assert reading.execute(text("SELECT reason FROM jobs")).scalar() == "new"


def test_a_transaction_is_undone_by_any_fault(database, jobs):
    row = jobs.add("generate", "{}")
    with pytest.raises(RuntimeError), database.write() as db:  # noqa: PT012
        db.execute(text("UPDATE jobs SET reason = 'half'"))
        raise RuntimeError
    assert jobs.get(row.id).reason == ""


def test_two_writers_wait_for_each_other(database):
    """Each reads and then writes: without an immediate lock one would fail half-way."""
    with database.write() as db:
        db.execute(text("CREATE TABLE counter (n INTEGER)"))
        db.execute(text("INSERT INTO counter VALUES (0)"))

    def count():
        for _ in range(25):
            with database.write() as db:
                n = db.execute(text("SELECT n FROM counter")).scalar()
                db.execute(text("UPDATE counter SET n = :n"), {"n": n + 1})

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with database.read() as db:
        assert db.execute(text("SELECT n FROM counter")).scalar() == 100


# What cannot be used


def test_a_file_that_is_no_database(tmp_path):
    path = tmp_path / FILE_NAME
    path.write_bytes(b"this is a letter to my aunt " * 200)
    message = refusal(tmp_path)
    assert "damaged" in message
    assert "move it away" in message
    assert path.read_bytes().startswith(b"this is a letter"), "it is left as it was"


@pytest.mark.parametrize("database_url", [""], ids=["sqlite"])
def test_a_database_with_a_page_of_rubbish(database, jobs, tmp_path):
    for _ in range(200):
        jobs.add("generate", "x" * 500)
    database.close()
    path = tmp_path / FILE_NAME
    data = bytearray(path.read_bytes())
    data[4096 : 4096 * 8] = b"\xa5" * (4096 * 7)
    path.write_bytes(data)
    assert "damaged" in refusal(tmp_path)


@pytest.mark.parametrize("database_url", [""], ids=["sqlite"])
def test_a_truncated_database(database, jobs, tmp_path):
    for _ in range(200):
        jobs.add("generate", "x" * 500)
    database.close()
    path = tmp_path / FILE_NAME
    path.write_bytes(path.read_bytes()[:6000])
    assert "damaged" in refusal(tmp_path)


def test_an_empty_file_becomes_a_database(tmp_path):
    (tmp_path / FILE_NAME).touch()
    database = Database(tmp_path)
    assert "jobs" in tables(database)
    database.close()


def test_a_folder_where_the_database_should_be(tmp_path):
    (tmp_path / FILE_NAME).mkdir()
    assert "cannot be written" in refusal(tmp_path)


def test_a_folder_that_is_gone(tmp_path):
    assert "ATELIER_DATA_DIR" in refusal(tmp_path / "gone")


def test_a_number_too_large_for_a_row_is_refused_in_words(database, jobs):
    row = jobs.add("generate", "{}")
    with pytest.raises(StorageError, match="number so large"), database.write() as db:
        db.execute(text("UPDATE jobs SET owner = :n WHERE id = :id"), {"n": 2**70, "id": row.id})


@pytest.mark.parametrize("folder", ["/proc/atelier", "/sys/atelier", "/dev/null/atelier"])
def test_a_data_folder_that_not_even_root_can_write(folder):
    if not Path("/proc/self").exists():
        pytest.skip("needs Linux's /proc and /sys")
    with pytest.raises(StorageError) as caught:
        build_services(Settings(data_dir=Path(folder)))
    assert str(caught.value).startswith(f"Could not write to the data folder {folder}: ")
    assert str(caught.value).endswith(".")


@pytest.mark.parametrize("part", ["", "outputs", "models", "inputs"])
def test_a_file_where_a_folder_should_be(tmp_path, part):
    data = tmp_path / "data"
    if part:
        data.mkdir()
    (data / part).write_text("in the way")
    with pytest.raises(StorageError, match="file is in the way") as caught:
        build_services(Settings(data_dir=data))
    assert str(data) in str(caught.value)
    assert (data / part).read_text() == "in the way"


def test_the_check_of_the_folder_leaves_nothing(tmp_path):
    build_services(Settings(data_dir=tmp_path / "new" / "data")).stop()
    names = {path.name for path in (tmp_path / "new" / "data").iterdir()}
    folders = {"outputs", "models", "inputs"}
    assert names <= folders | {FILE_NAME, f"{FILE_NAME}-wal", f"{FILE_NAME}-shm"}
