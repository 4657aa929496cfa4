"""The audit log as rows: what is noted, found again, told to whom, and forgotten."""

import logging
import time

import pytest
from sqlalchemy import text

from studio.audit import UNNOTED, Act, audited
from studio.errors import Forbidden, RequestError
from studio.people import COMMAND, HOME, NOBODY, Deed, Person, Role, acting_as, needs
from studio.store.audit import AuditTable
from studio.store.people import PeopleTable

ADA = Person(1, "Ada", Role.ADMINISTRATOR)
BEN = Person(2, "Ben", Role.MEMBER)


@pytest.fixture
def log(database) -> AuditTable:
    return AuditTable(database)


def told(log: AuditTable, **wanted: object) -> list[tuple[object, ...]]:
    rows = log.page(0, 100, **wanted).rows
    return [(row.name, row.place, row.act, row.thing, row.outcome) for row in rows]


def test_it_says_who_did_what_from_where(log):
    before = time.time()
    with acting_as(ADA, "192.0.2.7"):
        log.note(Act.ADD, "Ben: member")
        log.note(Act.LOGIN, by=BEN)
    with acting_as(HOME, COMMAND):
        log.note(Act.BACKUP, "kept.zip", "The disk is full.")
    log.note(Act.ROLE, "admin")
    assert told(log) == [
        ("", "", "change a role", "admin", "done"),
        ("", "command", "back up", "kept.zip", "The disk is full."),
        ("Ben", "192.0.2.7", "log in", "", "done"),
        ("Ada", "192.0.2.7", "add a person", "Ben: member", "done"),
    ]
    first = log.page(3, 1).rows[0]
    assert (first.number, first.person) == (1, 1)
    assert before <= first.at <= time.time()


def test_it_is_filtered_by_person_and_act_and_comes_in_pages(log):
    for who, act in ((ADA, Act.LOGIN), (BEN, Act.LOGIN), (BEN, Act.TOKEN), (ADA, Act.LOGOUT)):
        log.note(act, by=who)
    renamed = Person(2, "Bernd", Role.MEMBER)
    log.note(Act.LOGOUT, by=renamed)
    assert [row[0] for row in told(log, person=2)] == ["Bernd", "Ben", "Ben"]
    assert [row[0] for row in told(log, act=Act.LOGIN)] == ["Ben", "Ada"]
    assert told(log, person=1, act=Act.TOKEN) == []
    page = log.page(1, 2)
    assert (page.total, [row.number for row in page.rows]) == (5, [4, 3])
    assert log.people() == [(1, "Ada"), (2, "Bernd")]


def test_all_of_it_is_read_in_pieces(log, database, monkeypatch):
    monkeypatch.setattr("studio.store.audit._AT_A_TIME", 2)
    for number in range(5):
        log.note(Act.TOKEN, str(number), by=BEN)
    log.note(Act.LOGIN, by=ADA)
    found = log.every(person=2)
    assert next(found).thing == "4"
    log.note(Act.TOKEN, "5", by=BEN)  # while somebody reads
    assert [row.thing for row in found] == ["3", "2", "1", "0"]


def test_what_others_call_things_stays_in_its_line(log):
    log.note(Act.TOKEN, "a\nb\x1b[31m\u202ec" + "x" * 1000)
    [row] = log.page(0, 1).rows
    assert row.thing.startswith("a b [31m cxxx")
    assert (len(row.thing), row.thing[-1]) == (300, "…")


def test_it_is_told_to_administrators_alone(log):
    log.note(Act.LOGIN, by=ADA)
    for ask in (lambda: log.page(0, 1), lambda: log.every(), lambda: log.people()):
        for person in (BEN, NOBODY):
            with acting_as(person), pytest.raises(Forbidden, match="see what everybody does"):
                ask()
        with acting_as(ADA):
            assert ask()


def test_it_is_kept_for_its_days(log, database):
    for act in Act:
        log.note(act)
    with database.write() as db:
        db.execute(text("UPDATE audit SET at = at - 10 * 86400 WHERE number <= 3"))
    AuditTable(database, days=0).note(Act.LOGIN)
    AuditTable(database, days=11).note(Act.LOGIN)
    assert log.page(0, 1).total == len(Act) + 2
    AuditTable(database, days=9).note(Act.LOGIN)
    assert log.page(0, 1).total == len(Act)
    assert log.page(0, 200).rows[-1].number == 4


def test_what_was_done_stays_done_when_it_cannot_be_noted(log, database, caplog):
    with database.write() as db:
        db.execute(text("DROP TABLE audit"))
    with caplog.at_level(logging.ERROR):
        log.note(Act.LOGIN, by=ADA)
    assert "'log in' could not be noted" in caplog.text


def test_names_of_those_who_were_removed_are_known(log, database):
    people = PeopleTable(database)
    people.add("Root", "root", Role.ADMINISTRATOR, "a hash")
    person = people.add("Eve", "eve", Role.MEMBER, "a hash")
    people.remove(person)
    assert (log.name_of(person), log.name_of(99), UNNOTED.name_of(person)) == ("Eve", "", "")


class Door:
    def __init__(self, audit: AuditTable):
        self.audit = audit

    @audited(Act.SHARE, lambda self, what, often=1: f"{what}, {often}")
    @needs(Deed.MAKE)
    def open(self, what: str, often: int = 1) -> int:
        if not often:
            raise RequestError("Say how often.")
        return often


def test_what_is_refused_is_noted_too(log):
    door = Door(log)
    assert door.open("the gate", often=2) == 2
    with pytest.raises(RequestError):
        door.open("the gate", 0)
    with acting_as(Person(3, "Cem", Role.VIEWER)), pytest.raises(Forbidden):
        door.open("the gate")
    refused, wrong, done = told(log)
    assert (refused[0], refused[3]) == ("Cem", "the gate, 1")
    assert "has to be a member" in refused[4]
    assert wrong[3:] == ("the gate, 0", "Say how often.")
    assert done[3:] == ("the gate, 2", "done")
