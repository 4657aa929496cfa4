"""What is not restored: what is no backup, is not whole, was changed, or would take a place."""

import hashlib
import io
import json
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from kept_studio import everything, files, fill

from studio.errors import StorageError
from studio.services import build_services
from studio.store.archive import MANIFEST
from studio.store.backup import back_up, existing
from studio.store.database import Database
from studio.store.jobs import JobTable
from studio.store.restoring import restore


def refusal(kept: Path, folder: Path, url: str = "") -> str:
    before = files(folder) if folder.exists() else {}
    with pytest.raises(StorageError) as caught:
        restore(kept, folder, url)
    message = str(caught.value)
    assert "\n" not in message
    assert message.endswith(".")
    assert (files(folder) if folder.exists() else {}) == before
    return message


def changed(kept: Path, change: Callable[[dict[str, bytes]], object], honest: bool = True) -> Path:
    """The same archive with other members; honest: whether its manifest knows of it."""
    with zipfile.ZipFile(kept) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change(members)
    if honest:
        manifest = json.loads(members[MANIFEST])
        manifest["members"] = {
            name: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
            for name, data in members.items()
            if name != MANIFEST
        }
        members[MANIFEST] = json.dumps(manifest).encode()
    target = kept.with_name("changed.zip")
    with zipfile.ZipFile(target, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return target


def in_manifest(**values: object) -> Callable[[dict[str, bytes]], object]:
    def change(members: dict[str, bytes]) -> None:
        members[MANIFEST] = json.dumps(json.loads(members[MANIFEST]) | values).encode()

    return change


def replaced(name: str, old: bytes, new: bytes) -> Callable[[dict[str, bytes]], object]:
    def change(members: dict[str, bytes]) -> None:
        assert old in members[name]
        members[name] = members[name].replace(old, new)

    return change


only_sqlite = pytest.mark.parametrize("database_url", [""], ids=["sqlite"])


@only_sqlite
@pytest.mark.parametrize("content", [b"", b"a letter to my aunt", b"PK\x03\x04", b"PK\x05\x06"])
def test_a_file_that_is_no_backup(tmp_path, content, database_url):
    (kept := tmp_path / "kept.zip").write_bytes(content)
    assert "is no backup of Atelier" in refusal(kept, tmp_path / "new")
    assert not (tmp_path / "new").exists()


@only_sqlite
def test_a_zip_of_something_else_and_a_file_that_is_not_there(tmp_path, database_url):
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("letter.txt", "dear aunt")
    assert "no manifest" in refusal(tmp_path / "other.zip", tmp_path / "new")
    assert "read the backup" in refusal(tmp_path / "none.zip", tmp_path / "new")


@only_sqlite
@pytest.mark.parametrize("part", [0.1, 0.5, 0.9, 0.999])
def test_a_backup_that_was_cut_off(kept, tmp_path_factory, part):
    data = kept.read_bytes()
    kept.write_bytes(data[: int(len(data) * part)])
    refusal(kept, tmp_path_factory.mktemp("new"))


def rows_of(kept: Path) -> bytes | None:
    """The rows of the jobs, when they can be read at all."""
    try:
        with zipfile.ZipFile(kept) as archive:
            return archive.read("tables/jobs.jsonl")
    except (zipfile.BadZipFile, zlib.error):
        return None


@only_sqlite
def test_no_byte_of_the_rows_can_be_another_one(kept, tmp_path_factory):
    folder = tmp_path_factory.mktemp("new")
    data = kept.read_bytes()
    with zipfile.ZipFile(kept) as archive:
        entry = archive.getinfo("tables/jobs.jsonl")
        rows = archive.read(entry)
    extra = int.from_bytes(data[entry.header_offset + 28 : entry.header_offset + 30], "little")
    start = entry.header_offset + 30 + len(entry.filename) + extra
    places = range(start, start + entry.compress_size, 7)
    harmless = 0
    for place in places:
        spoilt = bytearray(data)
        spoilt[place] ^= 0x10
        kept.write_bytes(spoilt)
        if rows_of(kept) == rows:  # padding, or the length of a code that no row uses
            harmless += 1
        else:
            assert "damaged or was changed" in refusal(kept, folder)
    assert harmless <= 2 < len(places) / 5


@only_sqlite
@pytest.mark.parametrize(
    ("change", "honest"),
    [
        (replaced("tables/jobs.jsonl", b"generate", b"download"), False),
        (replaced("tables/jobs.jsonl", b'"generate"', b'["generate"]'), True),
        (replaced("tables/jobs.jsonl", b"]\n", b", 1]\n"), True),
        (replaced("tables/jobs.jsonl", b"[", b""), True),
        (replaced("tables/outputs.jsonl", b"outputs/", b"../../etc/"), True),
        (replaced("tables/outputs.jsonl", b"outputs/", b"/outputs/"), True),
        (replaced("tables/outputs.jsonl", b"outputs/", b"styles.csv#"), True),
        (lambda members: members.pop("tables/tasks.jsonl"), True),
        (
            lambda members: members.pop("files/styles.csv"),
            False,
        ),
        (lambda members: members.update({"../escaped": b"x"}), True),
        (lambda members: members.update({"files/../../escaped": b"x"}), True),
        (lambda members: members.update({"/tmp/escaped": b"x"}), True),
        (lambda members: members.update({"outputs/..": b"x"}), True),
        (lambda members: members.update({"outputs/2026-01-01/../x.png": b"x"}), True),
        (lambda members: members.update({"submissions/1/..\\x": b"x"}), True),
        (lambda members: members.update({"files/atelier.db": b"x"}), True),
        (lambda members: members.update({"letter.txt": b"x"}), False),
        (in_manifest(members=[]), False),
        (in_manifest(tables=None), True),
        (
            in_manifest(tables={"jobs; DROP TABLE jobs": {"columns": [], "rows": 0, "last": 1}}),
            True,
        ),
        (in_manifest(more="x"), True),
        (lambda members: members.update({MANIFEST: b"[" * 100_000}), False),
    ],
)
def test_a_backup_that_somebody_changed(kept, tmp_path_factory, change, honest):
    folder = tmp_path_factory.mktemp("new")
    assert "damaged or was changed" in refusal(changed(kept, change, honest), folder)
    assert [path.name for path in folder.iterdir() if path.name != "server.lock"] == []
    assert list(folder.parent.rglob("*escaped*")) == []


@only_sqlite
@pytest.mark.parametrize(
    "values", [{"format": 2}, {"steps": ["first tables", "something of the future"]}]
)
def test_a_backup_of_a_newer_atelier(kept, tmp_path_factory, values):
    message = refusal(changed(kept, in_manifest(**values)), tmp_path_factory.mktemp("new"))
    assert "newer Atelier" in message
    assert "update this one" in message


@only_sqlite
def test_a_name_that_is_there_twice(kept, tmp_path_factory):
    with zipfile.ZipFile(kept, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("tables/jobs.jsonl", b"")
    assert "damaged or was changed" in refusal(kept, tmp_path_factory.mktemp("new"))


def test_a_folder_with_a_server_is_refused(settings, kept):
    services = build_services(settings)
    try:
        services.acquire()
        message = refusal(kept, settings.data_dir)
        assert "in use by a server" in message
    finally:
        services.stop()


def test_what_is_there_is_refused_or_put_aside(
    source, kept, database_url, tmp_path, tmp_path_factory
):
    message = refusal(kept, tmp_path, database_url)
    assert "is not empty: a database with rows is in the way" in message
    assert "--replace" in message
    jobs = JobTable(source)
    later = jobs.add("generate", "{}")
    shown = files(tmp_path)
    (tmp_path / "styles.csv").write_text("name,prompt,negative_prompt\nold,,\n")
    source.close()
    told = restore(kept, tmp_path, database_url, replace=True)
    again = Database(tmp_path, database_url)
    try:
        assert later.id not in JobTable(again).queued()
        assert everything(again)["outputs"]
    finally:
        again.close()
    before = Path(told.before.split(" and ")[0])
    assert "old" in (before / "styles.csv").read_text()
    assert "old" not in (tmp_path / "styles.csv").read_text()
    pictures = {k: v for k, v in shown.items() if k.startswith(("outputs/", "inputs/"))}
    assert pictures.items() <= files(tmp_path).items(), "pictures that were not kept stay"
    if database_url:
        schema = told.before.split("schema ")[1].split(" ")[0]
        old = Database(tmp_path, f"{database_url}?options=-csearch_path%3D{schema}")
    else:
        old = Database(before)
    assert JobTable(old).get(later.id).number == later.number
    old.close()


def test_a_move_to_postgresql_stays_in_its_folder(postgres, tmp_path, tmp_path_factory):
    database = Database(tmp_path)
    fill(database, tmp_path)
    kept = tmp_path_factory.mktemp("kept") / "studio.zip"
    back_up(database, tmp_path, kept, tmp_path / "none")
    url = postgres.database("moved")
    told = restore(kept, tmp_path, url)
    assert told.before == ""
    moved = Database(tmp_path, url)
    assert everything(moved) == everything(database)
    moved.close()
    database.close()


def test_a_database_of_another_program_is_left_alone(postgres, kept, tmp_path_factory):
    url = postgres.database("others")
    postgres.run("CREATE TABLE letters (id int)", name="t_others")
    assert "another program" in refusal(kept, tmp_path_factory.mktemp("new"), url)
    assert postgres.run("SELECT count(*) FROM letters", name="t_others") == [(0,)]


def test_there_must_be_something_to_keep_and_room_for_it(source, kept, tmp_path, postgres):
    with pytest.raises(StorageError, match="is there already"):
        back_up(source, tmp_path, kept, tmp_path / "none")
    with pytest.raises(StorageError, match="Could not write the backup"):
        back_up(source, tmp_path, tmp_path / "none" / "kept.zip", tmp_path / "none")
    nothing = Database(tmp_path / "nothing", postgres.database("nothing"), as_it_is=True)
    with pytest.raises(StorageError, match="holds no studio yet"):
        back_up(nothing, tmp_path, tmp_path / "kept.zip", tmp_path / "none")
    nothing.close()
    with pytest.raises(StorageError, match="no studio in"):
        existing(tmp_path / "inputs", "")
    assert not (tmp_path / "kept.zip").exists()


@only_sqlite
def test_a_damaged_database_is_noticed_when_it_is_kept(source, tmp_path):
    source.close()
    path = tmp_path / "atelier.db"
    data = bytearray(path.read_bytes())
    data[4096 * 2 : 4096 * 8] = b"\xa5" * (4096 * 6)
    path.write_bytes(data)
    damaged = Database(tmp_path, as_it_is=True)
    with pytest.raises(StorageError, match="damaged"):
        back_up(damaged, tmp_path, tmp_path / "kept.zip", tmp_path / "none")
    damaged.close()
    assert not (tmp_path / "kept.zip").exists()
    assert [path for path in tmp_path.iterdir() if path.name.startswith(".atelier")] == []


def test_reading_what_was_kept_needs_no_atelier(kept):
    with zipfile.ZipFile(kept) as archive:
        rows = [json.loads(line) for line in io.BytesIO(archive.read("tables/jobs.jsonl"))]
        manifest = json.loads(archive.read(MANIFEST))
    assert len(rows) == manifest["tables"]["jobs"]["rows"] == 4
