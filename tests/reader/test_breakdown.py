"""Scores by the sort of question, and how sure they are."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from prediction_files import published, silent, weak

from studio.errors import DataError
from studio.reader.breakdown import (
    answer_length,
    breakdown,
    difference,
    intervals,
)
from studio.reader.metrics import Scores, scores
from studio.reader.question_words import QUESTION_WORDS
from studio.reader.squad import Answer, Question, Squad, read_squad

DATA = Path(__file__).resolve().parents[1] / "data"


@pytest.fixture(scope="module")
def small() -> Squad:
    return read_squad(DATA / "small-v2.0.json")


@pytest.fixture(scope="module")
def weakly(small) -> Scores:
    return scores(small, weak(small))


@pytest.fixture(scope="module")
def silently(small) -> Scores:
    return scores(small, silent(small))


def test_the_length_of_an_answer_is_that_of_the_shortest_gold():
    def length(*texts: str) -> int:
        return answer_length(Question("q", "?", tuple(Answer(text, 0) for text in texts)))

    assert length("in the year 1823", "1823") == 1
    assert length("the", "a small black cat") == 3
    assert length("the") == length() == 0


def test_each_view_holds_its_questions_once(small, weakly):
    views = breakdown(small, weakly)
    for groups, total in (
        (views.question_words, 30),
        (views.lengths, 15),
        (views.answerability, 30),
        (views.articles, 30),
    ):
        assert sum(group.score.total for group in groups) == total
        assert len({group.name for group in groups}) == len(groups)
    words = [group.name for group in views.question_words]
    assert words == [word for word in QUESTION_WORDS if word in words]
    assert len(words) == 9, "the small set asks in every way"
    assert [group.name for group in views.articles] == ["Lighthouses", "Writing systems", "Tea"]


def test_the_scores_of_groups_are_those_of_their_questions(small, weakly):
    views = breakdown(small, weakly)
    answerable, impossible = (group.score for group in views.answerability)
    assert (answerable.exact, answerable.f1) == pytest.approx((66.66667, 68.57143))
    assert impossible == weakly.no_answer
    whole = sum(group.score.f1 * group.score.total for group in views.question_words) / 30
    assert whole == pytest.approx(weakly.all.f1)
    [first] = [group for group in views.lengths if group.name == "1 word"]
    of = {each.id: each for each in weakly.questions}
    those = [of[a.question.id].f1 for a in small.asked() if answer_length(a.question) == 1]
    assert first.score.f1 == pytest.approx(100 * np.mean(those))
    assert first.score.total == len(those) > 3


def test_scores_of_another_data_set_are_refused(small, weakly):
    with pytest.raises(DataError, match=r"10 of their 30 questions are among the 13 of this one"):
        breakdown(Squad(small.articles[:1]), replace(weakly, questions=_mixed(weakly)))


def _mixed(scored: Scores) -> tuple:
    return tuple(
        each if i < 10 else replace(each, id=f"other {i}")
        for i, each in enumerate(scored.questions)
    )


def test_intervals_hold_the_score_and_are_the_same_again(weakly):
    found = intervals(weakly)
    assert found == intervals(weakly)
    assert found != intervals(weakly, seed=1)
    for interval, value in (
        (found.exact, weakly.all.exact),
        (found.f1, weakly.all.f1),
        (found.has_answer_f1, weakly.has_answer.f1),
        (found.no_answer_f1, weakly.no_answer.f1),
    ):
        assert interval.value == pytest.approx(value)
        assert 0 <= interval.low < value < interval.high <= 100


def test_an_interval_is_as_wide_as_theory_says(small):
    """A share p of n: 1.96 standard errors sqrt(p (1 - p) / n) on either side."""
    found = intervals(scores(small, silent(small)), resamples=20_000)
    half = 100 * 1.96 * np.sqrt(0.5 * 0.5 / 30)
    assert found.exact.high - found.exact.low == pytest.approx(2 * half, rel=0.08)
    assert (found.has_answer_f1.low, found.has_answer_f1.high) == (0, 0)
    assert (found.no_answer_f1.low, found.no_answer_f1.high) == (100, 100)


def test_where_all_have_an_answer_there_is_no_interval_of_the_others(weakly):
    those = tuple(each for each in weakly.questions if each.has_answer)
    assert intervals(replace(weakly, questions=those)).no_answer_f1 is None


def test_the_same_predictions_do_not_differ(weakly):
    found = difference(weakly, weakly)
    assert (found.f1.value, found.f1.low, found.f1.high) == (0, 0, 0)
    assert found.exact_p == found.f1_p == 1


def test_small_differences_on_few_questions_prove_nothing(weakly, silently):
    found = difference(weakly, silently)
    assert found.f1.value == pytest.approx(weakly.all.f1 - silently.all.f1)
    assert found.f1.low < 0 < found.f1.high
    assert found.f1_p > 0.2
    turned = difference(silently, weakly)
    assert turned.f1.value == -found.f1.value
    assert turned.f1_p == pytest.approx(found.f1_p, abs=0.02)


def test_large_differences_are_seen(small, silently):
    right = tuple(replace(each, exact=1.0, f1=1.0) for each in silently.questions)
    found = difference(replace(silently, questions=right), silently)
    assert found.f1.value == pytest.approx(50)
    assert found.f1.low > 25
    assert found.f1_p < 0.001


def test_the_test_is_paired(small, silently):
    """Better on two questions of thirty and never worse: surer than two lone scores would be."""
    better = tuple(
        replace(each, f1=1.0) if i in (0, 5, 6, 9, 10) and each.has_answer else each
        for i, each in enumerate(silently.questions)
    )
    found = difference(replace(silently, questions=better), silently)
    alone = intervals(silently).f1
    assert 0 < found.f1.value < 20
    assert found.f1.high - found.f1.low < (alone.high - alone.low) * 0.8


def test_submissions_on_different_questions_are_not_tested(weakly, silently):
    fewer = replace(silently, questions=silently.questions[:-1])
    with pytest.raises(DataError, match="different questions \\(30 and 29\\)"):
        difference(weakly, fewer)


def test_the_whole_dev_set_tells_two_published_systems_apart(squad_files):
    dev = read_squad(squad_files / "dev-v2.0.json.gz")
    bert, nlnet = (scores(dev, published(squad_files, each)) for each in ("bert_single", "nlnet"))
    found = difference(bert, nlnet, resamples=1000)
    assert found.f1.value == pytest.approx(81.77528 - 78.77777, abs=1e-4)
    assert found.f1.low > 2
    assert found.f1_p < 0.01
    own = intervals(bert)
    assert own.f1.high - own.f1.low == pytest.approx(1.3, abs=0.2)
    words = {group.name: group.score for group in breakdown(dev, bert).question_words}
    assert list(words) == list(QUESTION_WORDS)
    assert words["what"].total > 6000
    assert words["when"].f1 > words["why"].f1
