"""Backups: whole and of one moment, from each sort of database to each."""

import stat
import threading
from collections.abc import Callable

import pytest
from kept_studio import columns, everything, files
from sample_pictures import picture
from sqlalchemy import text

from studio.errors import StorageError
from studio.store import migrations
from studio.store.backup import back_up
from studio.store.database import Database
from studio.store.jobs import JobTable
from studio.store.outputs import OutputTable
from studio.store.restoring import restore
from studio.store.submissions import SubmissionTable


@pytest.fixture
def new_url(request, postgres) -> Callable[[str], str]:
    """The URL of another fresh database, by its sort."""
    return lambda sort: postgres.database(f"new {request.node.name}"[-40:]) if sort else ""


@pytest.mark.parametrize("sort", ["", "postgresql"], ids=["to sqlite", "to postgresql"])
def test_all_rows_come_back_from_each_database_to_each(
    source, kept, new_url, sort, tmp_path_factory
):
    folder, url = tmp_path_factory.mktemp("new"), new_url(sort)
    told = restore(kept, folder, url)
    before = everything(source)
    assert told.rows == sum(map(len, before.values()))
    assert all(before.values()), "there was something in every table"
    again = Database(folder, url)
    try:
        assert everything(again) == before
        assert columns(again) == columns(source)
        # Numbers are not given twice, though the row that had the last one is gone.
        job = JobTable(again).add("generate", "{}")
        assert job.number == 5
        assert OutputTable(again, folder).save(job.id, picture("an apple", 1)) == 4
        assert SubmissionTable(again, folder).predictions(1) == {"q": "Grüße 👋🏽"}
        shown = OutputTable(again, folder).page(0, 9, search="straße", trash=True)
        assert shown.total == 2
    finally:
        again.close()


def test_files_come_back_and_settings_stay_secret(source, tmp_path, tmp_path_factory):
    target = tmp_path_factory.mktemp("kept") / "studio.zip"
    (settings := tmp_path / "atelier.toml").write_text('password = "a secret"')
    told = back_up(source, tmp_path, target, settings, pictures=True)
    assert told.missing == 0
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    folder = tmp_path_factory.mktemp("new")
    restored = restore(target, folder)
    thumbnails = {name for name in files(tmp_path) if name.startswith("thumbnails/")}
    expected = {k: v for k, v in files(tmp_path).items() if k not in thumbnails}
    expected["restored-atelier.toml"] = expected.pop("atelier.toml")
    assert files(folder) == expected
    assert restored.settings == folder / "restored-atelier.toml"
    assert stat.S_IMODE((folder / "restored-atelier.toml").stat().st_mode) == 0o600
    assert sum(1 for name in expected if name.startswith("outputs/")) == 4
    assert sum(1 for name in expected if name.startswith("inputs/")) == 1


def test_pictures_whose_files_are_gone_are_told_of(source, tmp_path, tmp_path_factory):
    next((tmp_path / "outputs").glob("*/00001-*[0-9].png")).unlink()
    target = tmp_path_factory.mktemp("kept") / "studio.zip"
    assert back_up(source, tmp_path, target, tmp_path / "none", pictures=True).missing == 1


def test_rows_of_older_steps_are_brought_up_to_date(
    tmp_path, database_url, tmp_path_factory, monkeypatch
):
    target, folder = tmp_path / "old.zip", tmp_path_factory.mktemp("new")
    monkeypatch.setattr(migrations, "STEPS", migrations.STEPS[:3])
    database = Database(tmp_path, database_url)
    with database.write() as db:
        db.execute(
            text(
                "INSERT INTO jobs (id, kind, request, status, created_at)"
                " VALUES ('old', 'generate', '{}', 'queued', 5)"
            )
        )
    back_up(database, tmp_path, target, tmp_path / "none")
    database.close()
    monkeypatch.undo()
    restore(target, folder)
    again = Database(folder)
    assert JobTable(again).get("old").losses == 0
    again.close()


def test_what_is_written_meanwhile_is_in_it_whole_or_not_at_all(
    database, tmp_path, tmp_path_factory
):
    """A job and its task are written together, over and over."""
    ended, faults = threading.Event(), []

    def write(name):
        number = 0
        while not ended.is_set():
            number += 1
            try:
                with database.write() as db:
                    fields = {"id": f"{name} {number}"}
                    db.execute(
                        text(
                            "INSERT INTO jobs (id, kind, request, status, created_at)"
                            " VALUES (:id, 'generate', '{}', 'queued', 1)"
                        ),
                        fields,
                    )
                    db.execute(
                        text(
                            "INSERT INTO tasks (id, job_id, caller, parameters)"
                            " VALUES (:id, :id, '', '{}')"
                        ),
                        fields,
                    )
            except StorageError as error:
                faults.append(error)

    threads = [threading.Thread(target=write, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    folder = tmp_path_factory.mktemp("kept")
    try:
        for number in range(5):
            back_up(database, tmp_path, folder / f"{number}.zip", tmp_path / "none")
    finally:
        ended.set()
        for thread in threads:
            thread.join()
    assert faults == []
    counts = []
    for number in range(5):
        restore(folder / f"{number}.zip", folder / str(number))
        again = Database(folder / str(number))
        rows = everything(again)
        again.close()
        assert len(rows["jobs"]) == len(rows["tasks"])
        for name in "abc":  # each writer's are there up to some moment
            mine = sorted(int(str(row[1])[2:]) for row in rows["jobs"] if str(row[1])[0] == name)
            assert mine == list(range(1, len(mine) + 1))
        counts.append(len(rows["jobs"]))
    assert counts == sorted(counts)
    assert counts[0] < counts[-1]
