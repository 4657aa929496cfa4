"""Accounts: passwords, roles, sessions, tokens and one-time links, on a real database."""

import stat

import pytest

from studio.accounts import accounts as module
from studio.accounts.accounts import LINK_SECONDS, SESSION_SECONDS, TOKEN_MARK, Accounts
from studio.errors import Forbidden, NotFound, RequestError
from studio.people import NOBODY, Person, Role, acting_as
from studio.store import keys as keys_module
from studio.store.database import FILE_NAME

PASSWORD = "long enough: ü"


@pytest.fixture
def ada(kept: Accounts) -> Person:
    """The first administrator."""
    return kept.use_link(kept.set_up_key(), "Ada", PASSWORD)


@pytest.fixture
def ben(kept: Accounts, ada: Person) -> Person:
    """A member."""
    return kept.get(kept.add("Ben", Role.MEMBER, PASSWORD)).person


def test_the_first_administrator_is_made_by_a_link_that_is_good_once(kept):
    old = kept.set_up_key()
    key = kept.set_up_key()
    with pytest.raises(NotFound):
        kept.use_link(old, "Eve", PASSWORD)
    with pytest.raises(RequestError):
        kept.use_link(key, "Ada", "short")
    ada = kept.use_link(key, "  Ada ", PASSWORD)
    assert (ada.name, ada.role) == ("Ada", Role.ADMINISTRATOR)
    with pytest.raises(NotFound):
        kept.use_link(key, "Eve", PASSWORD)
    assert kept.set_up_key() == "", "there is nothing to set up any more"


def test_of_two_links_to_set_up_no_second_administrator_comes(kept, database):
    key = kept.set_up_key()
    kept.add("ada", Role.ADMINISTRATOR, PASSWORD)
    with pytest.raises(NotFound, match="has an administrator already"):
        kept.use_link(key, "Eve", PASSWORD)
    assert [row.name for row in kept.listed()] == ["ada"]


def test_links_and_sessions_run_out(kept, ada, monkeypatch):
    link, session = kept.invite(ada.id), kept.open_session(ada, "192.0.2.1", "a browser")
    now = keys_module.time.time()
    for seconds, link_is_good, session_is_good in (
        (LINK_SECONDS - 5, True, True),
        (LINK_SECONDS + 5, False, True),
        (SESSION_SECONDS - 5, False, True),
        (SESSION_SECONDS + 5, False, False),
    ):
        monkeypatch.setattr(keys_module.time, "time", lambda at=now + seconds: at)
        if link_is_good:
            assert kept.link_is_for(link) == "Ada"
        else:
            with pytest.raises(NotFound):
                kept.link_is_for(link)
        assert (kept.by_session(session) == ada) == session_is_good


@pytest.mark.parametrize("often", [False, True])
def test_a_name_has_no_case_and_a_password_has(kept, ada, often):
    for name in ("Ada", "ADA", " ada "):
        assert kept.by_password(name, PASSWORD, often=often) == ada
        assert kept.by_password(name, PASSWORD, often=often) == ada
    for name, password in (
        ("Ada", PASSWORD.upper()),
        ("Ada", PASSWORD + "x"),
        ("Ada", ""),
        ("Eve", PASSWORD),
        ("", PASSWORD),
        ("\ud800", PASSWORD),
        ("Ada", "\ud800"),
    ):
        assert kept.by_password(name, password, often=often) is None, (name, password)


def test_a_stranger_costs_the_same_work_as_a_wrong_password(kept, ada, monkeypatch):
    looked = []
    own = kept._passwords.fits
    monkeypatch.setattr(kept._passwords, "fits", lambda *a: looked.append(own(*a)) or looked[-1])
    kept.by_password("Ada", "not it at all")
    kept.by_password("nobody", "not it at all")
    assert looked == [False, False]
    assert kept._passwords.fits("nobody has this password", "") is False


def test_what_is_remembered_ends_with_the_password(kept, ada, monkeypatch):
    assert kept.by_password("Ada", PASSWORD, often=True) == ada
    monkeypatch.setattr(kept._passwords, "fits", lambda *_: pytest.fail("it is remembered"))
    assert kept.by_password("Ada", PASSWORD, often=True) == ada
    monkeypatch.undo()
    kept.set_password(ada.id, "another one")
    assert kept.by_password("Ada", PASSWORD, often=True) is None
    assert kept.by_password("Ada", "another one", often=True) == ada


def test_nothing_that_opens_the_studio_can_be_read_from_the_disk(kept, ada, database, tmp_path):
    secrets = [
        PASSWORD,
        kept.open_session(ada, "192.0.2.1", "x"),
        kept.make_token(ada.id, "a script"),
        kept.invite(ada.id),
    ]
    database.close()
    files = list(tmp_path.glob(f"{FILE_NAME}*"))
    written = b"".join(file.read_bytes() for file in files)
    assert b"$argon2id$" in written
    assert all(secret.encode() not in written for secret in secrets)
    assert stat.S_ISREG(files[0].stat().st_mode)


def test_tokens_open_until_they_are_revoked(kept, ada, ben):
    with acting_as(ben):
        token = kept.make_token(ben.id, " a  script ")
        assert token.startswith(TOKEN_MARK)
        assert kept.by_token(token) == ben
        [row] = kept.tokens(ben.id)
        assert row.label == "a script"
        assert row.used_at is not None
        kept.revoke_token(ben.id, row.id)
        assert kept.by_token(token) is None
        assert kept.tokens(ben.id) == []
        for label in ("", " ", "x" * 81):
            with pytest.raises(RequestError):
                kept.make_token(ben.id, label)


def test_ones_own_password(kept, ada, ben):
    with acting_as(ben):
        here, there = (kept.open_session(ben, place, "x") for place in ("a", "b"))
        with pytest.raises(RequestError, match="old password"):
            kept.change_own_password("not it at all", "another one", here)
        kept.change_own_password(PASSWORD, "another one", here)
        assert kept.by_session(here) == ben
        assert kept.by_session(there) is None
        [left] = kept.sessions(ben.id)
        assert kept.is_session(left, here)
        kept.end_session(ben.id, left.id)
        assert kept.by_session(here) is None


def test_a_link_for_who_forgot_shuts_out_whoever_was_in(kept, ada, ben):
    session, token = kept.open_session(ben, "a", "x"), kept.make_token(ben.id, "a script")
    link = kept.invite(ben.id)
    assert kept.link_is_for(link) == "Ben"
    assert kept.use_link(link, "Eve", "another one") == ben, "the name is not theirs to choose"
    assert kept.by_session(session) is kept.by_token(token) is None
    assert kept.by_password("ben", "another one") == ben


def test_who_is_disabled_or_removed_is_out_at_once(kept, ada, ben):
    token = kept.make_token(ben.id, "a script")
    for end, back in ((kept.disable, kept.enable), (kept.remove, None)):
        session, link = kept.open_session(ben, "a", "x"), kept.invite(ben.id)
        end(ben.id)
        assert kept.by_session(session) is kept.by_token(token) is None
        assert kept.by_password("Ben", PASSWORD) is None
        with pytest.raises(NotFound):
            kept.use_link(link, "", "another one")
        if back:
            back(ben.id)
            assert kept.by_token(token) == ben
    with pytest.raises(NotFound):
        kept.get(ben.id)
    again = kept.add("ben", Role.MEMBER, PASSWORD)
    assert again != ben.id, "the work of who was removed is nobody else's"


def test_the_last_administrator_stays_one(kept, ada, ben):
    invited = kept.add("Cem", Role.ADMINISTRATOR)
    for end in (kept.disable, kept.remove, lambda who: kept.change_role(who, Role.MEMBER)):
        with pytest.raises(RequestError, match="Ada is the last administrator"):
            end(ada.id)
    assert kept.by_password("ada", PASSWORD) == ada
    kept.use_link(kept.invite(invited), "", PASSWORD)
    kept.change_role(ada.id, Role.VIEWER)
    assert kept.get(ada.id).role is Role.VIEWER


@pytest.mark.parametrize("name", ["", " ", "a:b", "a\nb", "x" * 41, "\ud800", "a\u202eb"])
def test_what_is_no_name(kept, name):
    with pytest.raises(RequestError, match="A name has"):
        kept.add(name, Role.MEMBER)


def test_a_name_is_one_persons(kept, ada, ben):
    for name in ("ada", "ＡＤＡ", "ADA "):
        with pytest.raises(RequestError, match="already"):
            kept.add(name, Role.MEMBER)
        with pytest.raises(RequestError, match="already"):
            kept.rename(ben.id, name)
    kept.rename(ben.id, "BEN")
    assert kept.named("ben").name == "BEN"


def test_only_administrators_manage_people(kept, ada, ben):
    everything = (
        lambda: kept.listed(),
        lambda: kept.named("ada"),
        lambda: kept.get(ada.id),
        lambda: kept.add("Eve", Role.ADMINISTRATOR),
        lambda: kept.invite(ada.id),
        lambda: kept.rename(ben.id, "Bob"),
        lambda: kept.change_role(ben.id, Role.ADMINISTRATOR),
        lambda: kept.set_password(ada.id, "another one"),
        lambda: kept.disable(ada.id),
        lambda: kept.enable(ada.id),
        lambda: kept.remove(ada.id),
        lambda: kept.sessions(ada.id),
        lambda: kept.tokens(ada.id),
        lambda: kept.make_token(ada.id, "a script"),
    )
    for who in (ben, NOBODY):
        for deed in everything:
            with acting_as(who), pytest.raises(Forbidden):
                deed()
    for deed in everything[:2]:
        with acting_as(ada):
            deed()


def test_the_administrator_of_the_settings(kept):
    kept.keep_house(PASSWORD)
    admin = kept.by_password("admin", PASSWORD)
    assert admin is not None
    session = kept.open_session(admin, "a", "x")
    kept.keep_house(PASSWORD)
    assert kept.by_session(session) == admin, "a restart ends no session"
    kept.add("ada", Role.ADMINISTRATOR, PASSWORD)
    kept.change_role(admin.id, Role.VIEWER)
    kept.disable(admin.id)
    kept.keep_house("another one")
    assert kept.by_session(session) is None
    back = kept.by_password("admin", "another one")
    assert back is not None
    assert (back.id, back.role) == (admin.id, Role.ADMINISTRATOR)
    assert kept.set_up_key() == ""


def test_a_hash_that_costs_too_little_is_made_anew(kept, ada, database):
    from argon2 import PasswordHasher

    cheap = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1).hash(PASSWORD)
    kept._people.change(ada.id, password_hash=cheap)
    assert kept.by_password("ada", PASSWORD) == ada
    assert kept.get(ada.id).password_hash != cheap
    assert kept.by_password("ada", PASSWORD) == ada


def test_what_is_remembered_does_not_grow(kept, ada, monkeypatch):
    monkeypatch.setattr(module, "_KNOWN", 2)
    for i in range(4):
        kept._remember(bytes([i]), "hash")
    assert len(kept._known) == 2
