"""Whose things in files are, by sort: what has a row, what has none, and what is limited."""

import pytest

from studio.errors import Forbidden, NotFound
from studio.people import HOME, NOBODY, Person, Role, acting_as
from studio.store.belongings import Belongings, Sort

ADA = Person(1, "ada", Role.MEMBER)
BOB = Person(2, "bob", Role.MEMBER)
ROOT = Person(3, "root", Role.ADMINISTRATOR)
EVERYBODY = (ADA, BOB, ROOT, HOME)


@pytest.fixture
def belongings(database) -> Belongings:
    return Belongings(database)


def shown_to(owned, name: str) -> set[str]:
    """The names of the people who are shown a thing; the studio's own is ""."""
    found = set()
    for person in (*EVERYBODY, NOBODY):
        with acting_as(person):
            if owned.shows(name):
                found.add("nobody" if person == NOBODY else person.name)
    return found


@pytest.mark.parametrize("sort", Sort)
def test_what_somebody_has_made_is_theirs_until_it_is_shared(belongings, sort):
    owned = belongings.of(sort)
    with acting_as(ADA):
        owned.keep("mine")
    assert shown_to(owned, "mine") == {"ada", "root", ""}
    assert (owned.owner("mine"), owned.is_shared("mine")) == (1, False)
    with acting_as(ADA):
        owned.share("mine")
    assert shown_to(owned, "mine") == {"ada", "bob", "root", ""}
    with acting_as(ROOT):
        owned.share("mine", False)
    assert shown_to(owned, "mine") == {"ada", "root", ""}


def test_what_has_no_row_is_everybodys_or_the_studios_own(belongings):
    for sort in (Sort.MODEL, Sort.DATA_SET):
        assert shown_to(belongings.of(sort), "old") == {"ada", "bob", "root", ""}
    for sort in (Sort.PICTURES, Sort.RUN):
        assert shown_to(belongings.of(sort), "old") == {"root", ""}


def test_a_name_is_of_one_sort(belongings):
    with acting_as(ADA):
        belongings.of(Sort.RUN).keep("one")
    assert shown_to(belongings.of(Sort.MODEL), "one") == {"ada", "bob", "root", ""}
    assert belongings.listed(1) == [(Sort.RUN, "one")]


def test_only_owners_and_administrators_change_a_thing(belongings):
    owned = belongings.of(Sort.MODEL)
    with acting_as(ADA):
        owned.keep("mine")
        owned.share("mine")
        owned.demand("mine")
        with pytest.raises(Forbidden):
            owned.demand("old")
    with acting_as(BOB):
        for change in (owned.demand, owned.share):
            with pytest.raises(Forbidden):
                change("mine")
    with acting_as(ROOT):
        owned.demand("mine")
        owned.demand("old")
        with pytest.raises(NotFound):
            owned.share("old")


def test_the_use_of_a_model_is_limited_to_people(belongings):
    owned = belongings.of(Sort.MODEL)
    with acting_as(ADA), pytest.raises(Forbidden):
        owned.limit("large", [1])
    with acting_as(ROOT):
        owned.limit("large", [2])
    assert owned.limits("large") == (2,)
    assert shown_to(owned, "large") == {"bob", "root", ""}
    with acting_as(ROOT):
        owned.limit("large", [])
    assert shown_to(owned, "large") == {"ada", "bob", "root", ""}


def test_a_limit_shuts_no_owner_out(belongings):
    owned = belongings.of(Sort.MODEL)
    with acting_as(ADA):
        owned.keep("mine")
        owned.share("mine")
    with acting_as(ROOT):
        owned.limit("mine", [2])
    assert shown_to(owned, "mine") == {"ada", "bob", "root", ""}


def test_the_name_of_what_is_gone_is_free_again(belongings):
    owned = belongings.of(Sort.MODEL)
    with acting_as(ADA):
        owned.keep("name")
    with acting_as(ROOT):
        owned.limit("name", [2])
        owned.forget("name")
    assert shown_to(owned, "name") == {"ada", "bob", "root", ""}
    with acting_as(BOB):
        owned.keep("name")
    with acting_as(ADA):
        assert not owned.shows("name")


def test_what_the_studio_makes_itself_has_no_owner(belongings):
    owned = belongings.of(Sort.MODEL)
    with acting_as(ADA):
        owned.keep("name")
    owned.keep("name")
    assert shown_to(owned, "name") == {"ada", "bob", "root", ""}
