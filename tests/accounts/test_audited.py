"""What people do with accounts is noted, whoever does it and however it goes; no secret is."""

import time

import pytest

from studio.accounts.accounts import Accounts
from studio.audit import Act
from studio.errors import AtelierError, Forbidden
from studio.people import COMMAND, HOME, NOBODY, Person, Role, acting_as
from studio.store.quotas import Quotas, QuotaTable

PASSWORD, OTHER = "long enough: ü", "another long one"


@pytest.fixture
def ada(kept: Accounts) -> Person:
    with acting_as(NOBODY, "192.0.2.1"):
        return kept.use_link(kept.set_up_key(), "Ada", PASSWORD)


@pytest.fixture
def ben(kept: Accounts, ada: Person) -> Person:
    return kept.get(kept.add("Ben", Role.MEMBER, PASSWORD)).person


def last(kept: Accounts, number: int = 1) -> list[tuple[str, str, str, str, str]]:
    """The last acts, the oldest of them first."""
    rows = kept.audit.page(0, number).rows
    return [(row.name, row.place, row.act, row.thing, row.outcome) for row in reversed(rows)]


def test_the_first_administrator_and_logging_in_and_out(kept, ada):
    assert last(kept) == [("Ada", "192.0.2.1", Act.SET_UP, "Ada, the first administrator", "done")]
    with acting_as(NOBODY, "192.0.2.2"):
        session = kept.open_session(ada, "192.0.2.2", "a browser")
        assert kept.by_password("ADA", "wrong one") is None
        assert kept.by_password("nobody's", "wrong one") is None
    with acting_as(ada, "192.0.2.2"):
        kept.close_session(session)
        kept.close_session("no session at all")
    assert last(kept, 4) == [
        ("Ada", "192.0.2.2", Act.LOGIN, "", "done"),
        ("Ada", "192.0.2.2", Act.LOGIN, "", "wrong password"),
        ("", "192.0.2.2", Act.LOGIN, "a name that nobody has", "That is no account."),
        ("Ada", "192.0.2.2", Act.LOGOUT, "", "done"),
    ]


def test_a_right_password_is_noted_once_and_not_with_every_request(kept, ada):
    before = kept.audit.page(0, 1).total
    for _ in range(3):
        assert kept.by_password("Ada", PASSWORD, often=True) == ada
    assert kept.audit.page(0, 1).total == before


def test_ones_own_account(kept, ada, ben):
    with acting_as(ben, "192.0.2.3"):
        here, there = (kept.open_session(ben, "192.0.2.3", "x") for _ in range(2))
        kept.make_token(ben.id, "a script")
        kept.revoke_token(ben.id, kept.tokens(ben.id)[0].id)
        [other] = [each for each in kept.sessions(ben.id) if kept.is_session(each, there)]
        kept.end_session(ben.id, other.id)
        with pytest.raises(AtelierError):
            kept.change_own_password("not it at all", OTHER, here)
        kept.change_own_password(PASSWORD, OTHER, here)
    who = ("Ben", "192.0.2.3")
    wrong = "The old password is not right; type it again."
    assert last(kept, 5) == [
        (*who, Act.TOKEN, "a script of Ben", "done"),
        (*who, Act.REVOKE, "a script of Ben", "done"),
        (*who, Act.LOGOUT, "another browser of Ben", "done"),
        (*who, Act.PASSWORD, "Ben", wrong),
        (*who, Act.PASSWORD, "Ben", "done"),
    ]


def test_everything_that_is_done_to_people(kept, ada, database):
    with acting_as(ada, "192.0.2.1"):
        eve = kept.add("Eve", Role.VIEWER)
        kept.invite(eve)
        kept.rename(eve, "Eva")
        kept.change_role(eve, Role.MEMBER)
        kept.set_password(eve, PASSWORD)
        kept.disable(eve)
        assert kept.by_password("eva", PASSWORD) is None
        kept.enable(eve)
        QuotaTable(database, Quotas()).set(eve, {"images_a_day": 5, "disk": None})
        kept.remove(eve)
        with pytest.raises(AtelierError):
            kept.remove(ada.id)
    found = [each[2:] for each in last(kept, 11)]
    assert found == [
        (Act.ADD, "Eve: viewer", "done"),
        (Act.LINK, "Eve", "done"),
        (Act.RENAME, "Eve: Eva", "done"),
        (Act.ROLE, "Eva: member", "done"),
        (Act.PASSWORD, "Eva", "done"),
        (Act.DISABLE, "Eva", "done"),
        (Act.LOGIN, "", "is not let in"),
        (Act.ENABLE, "Eva", "done"),
        (Act.QUOTAS, "Eva: images_a_day 5, disk as usual", "done"),
        (Act.REMOVE, "Eva", "done"),
        (Act.REMOVE, "Ada", "Ada is the last administrator; make somebody else one first."),
    ]


def test_who_tries_what_they_may_not_is_noted(kept, ada, ben, database):
    tries = (
        lambda: kept.add("Mallory", Role.ADMINISTRATOR),
        lambda: kept.invite(ada.id),
        lambda: kept.change_role(ben.id, Role.ADMINISTRATOR),
        lambda: kept.make_token(ada.id, "mine"),
        lambda: QuotaTable(database, Quotas()).set(ben.id, {"disk": 0}),
    )
    for attempt in tries:
        with acting_as(ben, "192.0.2.3"), pytest.raises(Forbidden):
            attempt()
    found = last(kept, len(tries))
    assert {each[:2] for each in found} == {("Ben", "192.0.2.3")}
    assert [each[2] for each in found] == [Act.ADD, Act.LINK, Act.ROLE, Act.TOKEN, Act.QUOTAS]
    assert all("has to be an administrator" in each[4] for each in found)


def test_the_password_of_the_settings(kept):
    with acting_as(HOME, ""):
        for password in (PASSWORD, PASSWORD, OTHER):
            kept.keep_house(password)
    kept.change_role(kept.add("Root", Role.ADMINISTRATOR, PASSWORD), Role.ADMINISTRATOR)
    kept.change_role(kept.named("admin").id, Role.VIEWER)
    kept.keep_house(OTHER)
    found = [(act, thing) for _, _, act, thing, _ in last(kept, 6)]
    assert found[:2] == [
        (Act.ADD, "admin, whose password the settings give"),
        (Act.PASSWORD, "admin, as the settings give it"),
    ]
    assert found[-1] == (Act.ROLE, "admin: administrator, as whose password is set")


def test_no_secret_is_in_it(kept, ada, ben):
    secrets = [PASSWORD, OTHER, "a password for a name", "too bad"]
    with acting_as(HOME, COMMAND):
        secrets += [kept.make_token(ben.id, "x"), kept.open_session(ben, "a", "x")]
        secrets.append(link := kept.invite(ben.id))
        kept.by_password("a password for a name", PASSWORD)
        kept.by_password("Ben", OTHER)
        with pytest.raises(AtelierError):
            kept.set_password(ben.id, "too bad")
        kept.use_link(link, "", OTHER)
    rows = kept.audit.page(0, 200).rows
    assert len(rows) > 6
    told = " ".join(f"{row.name} {row.thing} {row.outcome}" for row in rows)
    assert [each for each in secrets if each in told] == []


def test_when_somebody_was_here_last(kept, ada, monkeypatch):
    assert kept.get(ada.id).seen_at is None
    token = kept.make_token(ada.id, "x")
    assert kept.by_token(token) == ada
    first = kept.get(ada.id).seen_at
    assert first is not None
    kept.by_token(token)
    assert kept.get(ada.id).seen_at == first, "it is not written with every request"
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 100)
    kept.by_password("Ada", PASSWORD)
    assert kept.get(ada.id).seen_at > first
