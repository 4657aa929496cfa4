"""PostgreSQL alone: what it says when it cannot be used, and that its coming and going is borne."""

import importlib.util
import logging
import signal
import threading
import time

import pytest
from postgres import ADDRESS_PASSWORD, PASSWORD, PostgresServer
from pydantic import SecretStr
from sqlalchemy import inspect, text

from studio import doctor
from studio.device.messages import Begin
from studio.errors import NotFound, SettingsError, StorageError
from studio.events import Status
from studio.people import Person, Role
from studio.services import build_services
from studio.settings import Settings, load_settings
from studio.store import database as database_module
from studio.store import postgresql
from studio.store.database import ConnectionLost, Database
from studio.store.jobs import JobTable


@pytest.fixture
def database_url(postgres, request) -> str:
    return postgres.database(request.node.name)


def refusal(tmp_path, url: str) -> str:
    with pytest.raises(StorageError) as caught:
        Database(tmp_path, url).close()
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith("The database ")
    assert message.endswith(".")
    assert_secret(message)
    return message


def assert_secret(text: str) -> None:
    assert PASSWORD not in text
    assert ADDRESS_PASSWORD not in text


# What cannot be used


def test_nobody_listens(tmp_path):
    message = refusal(tmp_path, "postgresql://me@127.0.0.1:1/atelier")
    assert "atelier on 127.0.0.1:1 cannot be reached" in message
    assert "Connection refused" in message


def test_a_machine_that_does_not_exist(tmp_path):
    assert "no address" in refusal(tmp_path, "postgresql://me@no-such-host.invalid/atelier")


def test_a_wrong_password(tmp_path, database_url):
    url = database_url.replace(ADDRESS_PASSWORD, "mistaken")
    message = refusal(tmp_path, url)
    assert "refuses the name or the password" in message
    assert "mistaken" not in message


def test_a_database_that_is_missing(tmp_path, postgres):
    assert "does not exist" in refusal(tmp_path, postgres.url("nowhere"))


def test_a_database_that_cannot_hold_every_text(tmp_path, postgres):
    postgres.run(
        "DROP DATABASE IF EXISTS narrow",
        "CREATE DATABASE narrow ENCODING 'LATIN1' TEMPLATE template0",
    )
    assert "LATIN1" in refusal(tmp_path, postgres.url("narrow"))


def test_a_user_who_may_not_make_tables(tmp_path, postgres, database_url):
    name = database_url.rpartition("/")[2]
    postgres.run("DROP ROLE IF EXISTS guest", "CREATE ROLE guest LOGIN PASSWORD 'guest'")
    url = f"postgresql://guest:guest@127.0.0.1:{postgres.port}/{name}"
    assert "may not be changed by this user" in refusal(tmp_path, url)
    assert "no schema" in refusal(tmp_path, f"{database_url}?options=-csearch_path%3Dnone")


def test_a_driver_that_is_not_installed(tmp_path, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "psycopg" else find(name)
    )
    with pytest.raises(SettingsError, match=r"psycopg is not installed; install atelier\[postgre"):
        Database(tmp_path, "postgresql://me@localhost/atelier")


@pytest.mark.parametrize(
    "url", ["mysql://me:secret@host/db", "postgresql:secret", "secret", "postgresql://a b:secret@c"]
)
def test_an_address_that_is_none_is_refused_without_showing_it(url, monkeypatch):
    monkeypatch.setenv("ATELIER_DATABASE_URL", url)
    with pytest.raises(SettingsError, match="ATELIER_DATABASE_URL") as caught:
        load_settings()
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("url", ["postgresql://me:secret@host:port/db", "postgresql://[::1/db"])
def test_an_address_with_a_fault_further_on(url, tmp_path):
    with pytest.raises(SettingsError, match="ATELIER_DATABASE_URL") as caught:
        Database(tmp_path, url)
    assert "secret" not in str(caught.value)


def test_the_doctor_says_which_database_and_what_is_wrong_with_it(tmp_path, database_url):
    def told(url: str) -> str:
        settings = Settings(data_dir=tmp_path, database_url=SecretStr(url))
        (finding,) = doctor._database(settings)
        assert_secret(finding.text)
        return f"{finding.level.value} {finding.text}"

    assert told(database_url).startswith("good PostgreSQL, t_test_the_doctor")
    before = Database(tmp_path, database_url, as_it_is=True)
    with before.read() as db:
        assert inspect(db).get_table_names() == [], "looking makes nothing"
    before.close()
    assert told(database_url.replace(ADDRESS_PASSWORD, "mistaken")).startswith("bad The database")
    assert told("") == "good SQLite; it is made at the first start"
    Database(tmp_path).close()
    assert told("") == f"good SQLite, {tmp_path}/atelier.db"
    (tmp_path / "atelier.db").write_bytes(b"this is a letter to my aunt " * 200)
    assert "is damaged" in told("")


# What is the same


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_each_way_to_name_it(scheme, tmp_path, database_url):
    Database(tmp_path, database_url.replace("postgresql", scheme, 1)).close()
    assert list(tmp_path.iterdir()) == []


def test_the_address_is_told_to_nobody_but_the_devices(settings, database_url):
    settings = settings.model_copy(update={"database_url": SecretStr(database_url)})
    services = build_services(settings, apart=True)
    try:
        for told in (repr(settings), str(settings.model_dump()), settings.model_dump_json()):
            assert_secret(told)
        begin: Begin = services.engine._child._begin
        assert_secret(repr(begin))
        again = Settings(**begin.settings)
        assert again.database_url.get_secret_value() == database_url
        assert_secret(services.database.shown)
    finally:
        services.stop()


def test_nothing_that_is_kept_is_shown_in_a_fault(database, jobs, caplog):
    caplog.set_level(logging.DEBUG)
    with pytest.raises(StorageError) as caught, database.write() as db:
        db.execute(text("INSERT INTO jobs (id) VALUES (:id)"), {"id": "a private prompt"})
    assert "reports: null value" in str(caught.value)
    assert "private" not in str(caught.value) + caplog.text


def test_a_text_with_nul(jobs):
    assert jobs.get(jobs.add("generate", "a\0b").id).request == "a\ufffdb"
    with pytest.raises(NotFound):
        jobs.get("a\0b")


def test_sums_are_plain_numbers(database, jobs):
    for number in (1, 2**62, 2**62):
        jobs.add("generate", "{}", person=Person(number, "", Role.MEMBER))
    with database.read() as db:
        total, mean = db.execute(text("SELECT sum(owner), avg(losses) FROM jobs")).one()
    assert (total, type(total)) == (2**63 + 1, int)
    assert (mean, type(mean)) == (0.0, float)


def test_a_reader_sees_one_moment(database, jobs):
    with database.read() as db:
        before = db.execute(text("SELECT count(*) FROM jobs")).scalar()
        jobs.add("generate", "{}")
        assert db.execute(text("SELECT count(*) FROM jobs")).scalar() == before


def test_two_schemas_of_one_database_are_two_studios(postgres, database_url, tmp_path):
    name = database_url.rpartition("/")[2]
    postgres.run("CREATE SCHEMA one", "CREATE SCHEMA two", name=name)
    opened = [
        Database(tmp_path, f"{database_url}?options=-csearch_path%3D{schema}")
        for schema in ("one", "two")
    ]
    try:
        JobTable(opened[0]).add("generate", "{}")
        assert [len(JobTable(each).queued()) for each in opened] == [1, 0]
        with opened[0].write(), opened[1].write():
            pass  # they do not wait for each other
    finally:
        for each in opened:
            each.close()


def test_one_server_at_a_time_has_a_database(settings, database_url, tmp_path):
    told = {"database_url": SecretStr(database_url)}
    first = build_services(settings.model_copy(update=told))
    second = build_services(settings.model_copy(update=told | {"data_dir": tmp_path / "other"}))
    try:
        first.acquire()
        with pytest.raises(StorageError, match="in use by another Atelier"):
            second.acquire()
        first.stop()
        second.acquire()
    finally:
        first.stop()
        second.stop()


def test_who_leaves_a_database_at_the_moment_is_waited_for(database_url, tmp_path):
    first, second = (Database(tmp_path, database_url) for _ in range(2))
    leaving = threading.Timer(0.5, first.close)
    try:
        first.hold()
        leaving.start()
        second.hold()
        JobTable(second).add("generate", "{}")
    finally:
        leaving.join()
        first.close()
        second.close()


def test_a_server_takes_its_database_again_or_writes_no_more(
    postgres, database_url, tmp_path, monkeypatch
):
    """After its connections were cut off, by which it had the database for itself."""
    monkeypatch.setattr(database_module, "_LOOK_SECONDS", 0.0)
    first, second = (Database(tmp_path, database_url) for _ in range(2))
    try:
        first.hold()
        cut_off(postgres, database_url)
        JobTable(first).add("generate", "{}")
        with pytest.raises(StorageError, match="in use by another Atelier"):
            second.hold()
        cut_off(postgres, database_url)
        second.hold()
        for _ in range(2):
            with pytest.raises(StorageError, match="in use by another Atelier"):
                JobTable(first).add("generate", "{}")
        second.close()
        JobTable(first).add("generate", "{}")
        assert len(JobTable(first).queued()) == 2
    finally:
        first.close()
        second.close()


# Coming and going


@pytest.fixture
def restarted(postgres):
    """The server, which is there again after the test."""
    yield postgres
    postgres.stop()
    postgres.start()


def begin_again_soon(server: PostgresServer, seconds: float = 1.0) -> threading.Thread:
    thread = threading.Thread(target=lambda: (time.sleep(seconds), server.start()))
    thread.start()
    return thread


def cut_off(server: PostgresServer, url: str) -> None:
    """End all connections to a database, and wait until they are gone."""
    server.run(
        "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity"
        f" WHERE datname = '{url.rpartition('/')[2]}'"
    )


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT])
def test_a_server_that_is_begun_again_is_waited_for(restarted, jobs, how):
    first = jobs.add("generate", "{}")
    restarted.stop(how)
    starting = begin_again_soon(restarted)
    try:
        assert jobs.claim_next("runner").id == first.id
        assert jobs.move(first.id, Status.FINISHED)
    finally:
        starting.join()


def test_one_that_stays_away_is_told_of_in_time(restarted, database, jobs):
    restarted.stop()
    start = time.monotonic()
    with pytest.raises(StorageError, match=r"cannot be reached .*; start it"):
        jobs.queued()
    assert time.monotonic() - start < 15


def test_a_connection_that_was_cut_off_while_nobody_used_it(postgres, jobs, database_url):
    for _ in range(3):
        cut_off(postgres, database_url)
        jobs.add("generate", "{}")
    assert len(jobs.queued()) == 3


def test_a_table_repeats_what_was_cut_off_in_the_middle(postgres, jobs, database_url):
    ids = [jobs.add("generate", "{}").id for _ in range(2)]
    times = []

    def choose(waiting):
        times.append(len(waiting))
        if len(times) == 1:
            cut_off(postgres, database_url)
        return waiting[0]

    assert jobs.claim_next("runner", choose=choose).id == ids[0]
    assert times == [2, 2]
    assert [row.id for row in jobs.running()] == ids[:1]


def test_what_was_cut_off_in_the_middle_has_not_happened(postgres, database, jobs, database_url):
    row = jobs.add("generate", "{}")
    with pytest.raises(ConnectionLost), database.write() as db:  # noqa: PT012
        db.execute(text("UPDATE jobs SET reason = 'half'"))
        cut_off(postgres, database_url)
        db.execute(text("UPDATE jobs SET reason = 'whole'"))
    assert jobs.get(row.id).reason == ""


def test_what_was_cut_off_at_its_end_is_told_as_not_known(postgres, database, jobs, database_url):
    jobs.add("generate", "{}")
    with pytest.raises(StorageError, match="at the very end") as caught, database.write() as db:  # noqa: PT012
        db.execute(text("UPDATE jobs SET reason = 'half'"))
        cut_off(postgres, database_url)
    assert not isinstance(caught.value, ConnectionLost)


def test_a_writer_who_never_ends_is_told_of(database, database_url, tmp_path, monkeypatch):
    monkeypatch.setattr(postgresql, "PATIENCE_SECONDS", 1)
    other = Database(tmp_path, database_url)
    with database.write(), pytest.raises(StorageError, match="locked by another program"):
        other.write().__enter__()
    with other.write():
        pass
    other.close()
