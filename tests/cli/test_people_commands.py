"""`atelier people`: who has an account on a data folder, from the server's own machine."""

import re

import pytest

from studio.accounts.accounts import Accounts
from studio.store.audit import AuditTable
from studio.store.database import Database

PASSWORD = "three words and more"


@pytest.fixture
def look(data):
    """Looks at the accounts of the commands' data folder."""

    def looked(ask):
        database = Database(data)
        try:
            return ask(Accounts(database), AuditTable(database))
        finally:
            database.close()

    return looked


def key_of(out: str) -> str:
    return re.search(r"#key=([\w-]+)&for=", out).group(1)


def test_people_are_added_listed_and_enter_by_their_link(atelier, look):
    added = atelier("people", "add", "Ada", "--role", "administrator")
    assert added.code == 0, added.err
    assert re.search(r"address: http://127\.0\.0\.1:0/setup#key=[\w-]+&for=Ada$", added.out.strip())
    assert re.fullmatch(r"Ada +administrator +invited\n", atelier("people", "list").out)
    look(lambda accounts, _: accounts.use_link(key_of(added.out), "", PASSWORD))
    assert re.fullmatch(r"Ada +administrator\n", atelier("people", "list").out)
    assert atelier("people", "add", "Ben").code == 0
    assert re.search(r"Ben +member +invited", atelier("people", "list").out)


def test_roles_names_and_being_let_in(atelier, look):
    atelier("people", "add", "Ada", "--role", "administrator")
    atelier("people", "add", "Ben", "--role", "viewer")
    assert atelier("people", "role", "ben", "member").code == 0
    assert atelier("people", "rename", "Ben", "Bernd").code == 0
    assert atelier("people", "disable", "bernd").code == 0
    assert re.search(r"Bernd +member +disabled", atelier("people", "list").out)
    assert atelier("people", "enable", "bernd").code == 0
    link = atelier("people", "password", "Bernd")
    person = look(lambda accounts, _: accounts.use_link(key_of(link.out), "", PASSWORD))
    assert person.name == "Bernd"
    assert atelier("people", "remove", "Bernd").code == 0
    assert "Bernd" not in atelier("people", "list").out


def test_a_password_is_typed_and_not_shown(atelier, look, monkeypatch):
    monkeypatch.setattr("typer.prompt", lambda *_, **__: PASSWORD)
    added = atelier("people", "add", "Ada", "--role", "administrator", "--password")
    assert (added.code, added.out) == (0, "")
    assert look(lambda accounts, _: accounts.by_password("ada", PASSWORD)).name == "Ada"
    monkeypatch.setattr("typer.prompt", lambda *_, **__: "another one")
    assert atelier("people", "password", "Ada", "--password").code == 0
    assert look(lambda accounts, _: accounts.by_password("ada", "another one")).name == "Ada"


def test_what_cannot_be_done_is_said_in_a_sentence(atelier, look):
    assert "no person 'Eve'" in atelier("people", "role", "Eve", "member").sentence()
    wrong = atelier("people", "add", "Eve", "--role", "queen")
    assert (wrong.code, "'queen' is no role" in wrong.err) == (2, True)
    first = atelier("people", "add", "Ada", "--role", "administrator")
    look(lambda accounts, _: accounts.use_link(key_of(first.out), "", PASSWORD))
    for words in (("remove", "Ada"), ("disable", "Ada"), ("role", "Ada", "viewer")):
        assert "Ada is the last administrator" in atelier("people", *words).sentence()
    assert "already" in atelier("people", "add", "ADA").sentence()


def test_what_commands_do_is_noted_as_done_by_one(atelier, look):
    atelier("people", "add", "Ada", "--role", "administrator")
    atelier("people", "rename", "Ada", "Eva")
    rows = look(lambda _, log: log.page(0, 10).rows)
    assert [(row.name, row.place, row.act, row.thing) for row in rows] == [
        ("", "command", "rename a person", "Ada: Eva"),
        ("", "command", "make a link", "Ada"),
        ("", "command", "add a person", "Ada: administrator"),
    ]


def test_backups_are_noted(atelier, look, tmp_path):
    atelier("people", "add", "Ada")
    kept = tmp_path / "kept.zip"
    assert atelier("backup", kept).code == 0
    assert look(lambda _, log: log.page(0, 1).rows[0].act) == "back up"
    assert atelier("restore", kept, "--replace").code == 0
    row = look(lambda _, log: log.page(0, 1).rows[0])
    assert (row.place, row.act, row.thing) == ("command", "restore a backup", str(kept))
