"""People who came lately are known without a look, and no change is ever overlooked for that."""

import pytest

from studio.accounts.accounts import Accounts
from studio.accounts.recognised import SECONDS, Recognised
from studio.errors import AtelierError
from studio.people import Person, Role, acting_as
from studio.store.database import Database

PASSWORD = "long enough: ü"
BEN = Person(2, "Ben", Role.MEMBER)


@pytest.fixture
def ben(kept) -> Person:
    kept.add("Ada", Role.ADMINISTRATOR, PASSWORD)
    return kept.get(kept.add("Ben", Role.MEMBER, PASSWORD)).person


@pytest.fixture
def keys(kept, ben) -> tuple[str, str]:
    """A session and a token of his, which were just used."""
    with acting_as(ben):
        opened = kept.open_session(ben, "10.0.0.1", "a browser"), kept.make_token(ben.id, "mine")
    assert kept.by_session(opened[0]) == kept.by_token(opened[1]) == ben
    assert [kept.lately(key) for key in opened] == [ben, ben]
    return opened


CHANGES = {
    "disabled": lambda kept, ben: kept.disable(ben.id),
    "removed": lambda kept, ben: kept.remove(ben.id),
    "another role": lambda kept, ben: kept.change_role(ben.id, Role.VIEWER),
    "another name": lambda kept, ben: kept.rename(ben.id, "Benjamin"),
    "another password": lambda kept, ben: kept.set_password(ben.id, PASSWORD + "!"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_is_changed_holds_for_the_next_request(kept, ben, keys, change):
    CHANGES[change](kept, ben)
    assert [kept.lately(key) for key in keys] == [None, None]
    for found in (kept.by_session(keys[0]), kept.by_token(keys[1])):
        assert found is None or found != ben or change == "another password"


def test_what_is_ended_or_revoked_opens_nothing_at_once(kept, ben, keys):
    with acting_as(ben):
        for token in kept.tokens(ben.id):
            kept.revoke_token(ben.id, token.id)
        kept.close_session(keys[0])
    for look in (kept.lately, kept.by_session, kept.by_token):
        assert [look(key) for key in keys] == [None, None]


def test_a_change_by_another_process_holds_soon(kept, ben, keys, tmp_path, monkeypatch):
    database = Database(tmp_path)
    Accounts(database).remove(ben.id)
    database.close()
    now = 1000.0
    monkeypatch.setattr("studio.accounts.recognised.time.monotonic", lambda: now)
    lately = Recognised()
    assert lately.found("key", lambda: BEN) == BEN
    now += SECONDS - 0.01
    assert lately.get("key") == BEN
    now += 0.02
    assert lately.get("key") is None
    assert kept.by_session(keys[0]) is None


def test_a_change_in_the_middle_of_a_look_is_not_overlooked():
    lately = Recognised()

    def look() -> Person:
        lately.forget()
        return BEN

    assert lately.found("key", look) == BEN
    assert lately.get("key") is None


def test_a_look_that_fails_leaves_nothing():
    lately = Recognised()

    def look() -> Person:
        raise AtelierError("The database does not answer.")

    with pytest.raises(AtelierError):
        lately.found("key", look)
    assert lately.get("key") is None
