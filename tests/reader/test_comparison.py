"""Two submissions side by side."""

from pathlib import Path

import pytest
from prediction_files import silent, weak

from studio.errors import DataError
from studio.reader.comparison import Right, compare, counts, only
from studio.reader.metrics import scores
from studio.reader.squad import Squad, read_squad

DATA = Path(__file__).resolve().parents[1] / "data"


@pytest.fixture(scope="module")
def small() -> Squad:
    return read_squad(DATA / "small-v2.0.json")


@pytest.fixture(scope="module")
def compared(small):
    return compare(small, scores(small, weak(small, True), 0.5), scores(small, silent(small)))


def test_every_question_stands_in_its_place(small, compared):
    assert [each.asked for each in compared] == list(small.asked())
    first = compared[0]
    assert first.asked.context.startswith("The lighthouse of Alexandria")
    assert first.golds == ("Pharos", "the island of Pharos")
    assert first.b.shown == ""
    assert compared[3].golds == ()


def test_who_is_right(small, compared):
    """B never answers, so it is right where there is no answer, and A alone elsewhere."""
    found = counts(compared)
    assert list(found) == [Right.BOTH, Right.ONLY_A, Right.ONLY_B, Right.NEITHER]
    assert sum(found.values()) == 30
    assert found[Right.BOTH] + found[Right.ONLY_B] == 15
    assert found[Right.ONLY_A] == 9, "60 % of the fifteen"
    assert found[Right.BOTH] == 12, "80 % of the fifteen"
    for each in compared:
        impossible = each.right in (Right.BOTH, Right.ONLY_B)
        assert impossible == (not each.asked.question.has_answer)


def test_filters(compared):
    for right in Right:
        those = only(compared, right)
        assert len(those) == counts(compared)[right]
        assert all(each.right is right for each in those)
    assert only(compared) == compared
    assert {each.asked.title for each in only(compared, search="  KEEPER ")} == {"Lighthouses"}
    assert only(compared, Right.ONLY_A, "كِتَاب") == tuple(
        each for each in only(compared, Right.ONLY_A) if each.asked.place[:2] == (1, 0)
    )
    assert only(compared, search="zebra") == ()


def test_scores_of_another_set_are_refused(small, compared):
    part = Squad(small.articles[1:])
    mine = scores(part, silent(part))
    with pytest.raises(DataError, match="17 of their 17 questions are among the 30"):
        compare(small, mine, mine)
