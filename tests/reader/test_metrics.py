"""Scores are what the official script prints, to the last digit and in its order.

tests/data/official-scores.json holds what evaluate-v2.0.py printed for the predictions that are
made here; expected.json beside the official data what it printed for the published ones.
"""

import json
import time
from pathlib import Path

import numpy as np
import pytest
from edge_cases import EDGES
from prediction_files import published, silent, weak

from studio.errors import RequestError
from studio.reader.metrics import (
    exact_of,
    f1_of,
    golds_of,
    normalise,
    scores,
    threshold_curve,
)
from studio.reader.predictions import Predictions
from studio.reader.squad import Answer, Question, Squad, parse_squad, read_squad

DATA = Path(__file__).resolve().parents[1] / "data"
MADE = [
    pytest.param(maker, with_na_probs, threshold, id=f"{maker.__name__}{told}")
    for maker in (weak, silent)
    for with_na_probs, threshold, told in (
        (False, 1.0, ""),
        (True, 1.0, " na_prob 1.0"),
        (True, 0.5, " na_prob 0.5"),
    )
]


def as_printed(scored) -> str:
    return json.dumps(scored.official(), indent=2)


@pytest.fixture(scope="session")
def dev(squad_files) -> Squad:
    return read_squad(squad_files / "dev-v2.0.json.gz")


@pytest.fixture(scope="session")
def expected() -> dict[str, dict]:
    return json.loads((DATA / "official-scores.json").read_text())


@pytest.fixture(scope="session")
def small() -> Squad:
    return read_squad(DATA / "small-v2.0.json")


@pytest.mark.parametrize("system", ["bert_single", "nlnet"])
def test_published_predictions_on_the_whole_dev_set(squad_files, dev, system):
    told = json.loads((squad_files / "predictions" / "expected.json").read_text())[system]
    plain = scores(dev, published(squad_files, system))
    assert as_printed(plain) == json.dumps(told["plain"], indent=2)
    sure = scores(dev, published(squad_files, system, with_na_probs=True), 0.6)
    assert as_printed(sure) == json.dumps(told["na_prob_threshold_0.6"], indent=2)


@pytest.mark.parametrize(("maker", "with_na_probs", "threshold"), MADE)
def test_made_predictions_on_the_whole_dev_set(
    dev, expected, maker, with_na_probs, threshold, request
):
    name = f"dev-v2.0 {request.node.callspec.id}"
    scored = scores(dev, maker(dev, with_na_probs), threshold)
    assert as_printed(scored) == json.dumps(expected[name], indent=2)


@pytest.mark.parametrize(("maker", "with_na_probs", "threshold"), MADE)
def test_made_predictions_on_the_small_set(
    small, expected, maker, with_na_probs, threshold, request
):
    name = f"small-v2.0 {request.node.callspec.id}"
    scored = scores(small, maker(small, with_na_probs), threshold)
    assert as_printed(scored) == json.dumps(expected[name], indent=2)


@pytest.mark.parametrize("name", EDGES)
def test_edges(name, expected):
    edge = EDGES[name]
    squad = parse_squad(json.dumps(edge.squad()).encode(), name)
    scored = scores(squad, edge.predictions(), edge.threshold)
    assert as_printed(scored) == json.dumps(expected[name], indent=2)


def test_scoring_the_whole_dev_set_takes_about_a_second(squad_files, dev):
    predictions = published(squad_files, "bert_single", with_na_probs=True)
    begin = time.process_time()
    scores(dev, predictions, 0.6)
    assert time.process_time() - begin < 3


def test_normalisation():
    assert normalise(" The  Cat's\tA-hat, an\u00a0apple! ") == "cats ahat apple"
    assert normalise("Anthem theatre a") == "anthem theatre"


def test_the_two_scores_of_one_answer():
    assert exact_of("The cat.", "cat") == 1
    assert exact_of("The cat.", "cats") == 0
    assert f1_of("a black cat", "the cat sat") == 0.5
    assert f1_of("the", "") == 1
    assert f1_of("cat", "") == 0


def test_golds_that_count():
    def golds(*texts: str) -> list[str]:
        return golds_of(Question("q", "?", tuple(Answer(text, 0) for text in texts)))

    assert golds("a cat", "the") == ["a cat"]
    assert golds("the", "…", "?") == ["…"]
    assert golds("the") == golds() == [""]


def test_each_question_tells_what_it_earned(small):
    predictions = weak(small, with_na_probs=True)
    scored = scores(small, predictions, 0.5)
    assert [each.id for each in scored.questions] == [a.question.id for a in small.asked()]
    withheld = [each for each in scored.questions if each.withheld]
    assert 0 < len(withheld) < 30
    for each in scored.questions:
        assert each.withheld == (predictions.na_probs[each.id] > 0.5)
        assert each.shown == ("" if each.withheld else predictions.texts[each.id])
        if each.withheld:
            assert each.exact == each.f1 == (0 if each.has_answer else 1)
        else:
            assert (each.exact, each.f1) == (each.raw_exact, each.raw_f1)
    assert any(each.raw_f1 > each.f1 for each in withheld)
    assert 100 * sum(each.f1 for each in scored.questions) / 30 == pytest.approx(scored.all.f1)


def test_scores_do_not_depend_on_the_order_of_the_texts(small):
    predictions = weak(small, with_na_probs=True)
    turned = Predictions(dict(reversed(predictions.texts.items())), predictions.na_probs)
    assert as_printed(scores(small, turned, 0.5)) == as_printed(scores(small, predictions, 0.5))


def test_curves_are_arrays_that_go_with_their_averages(small):
    ranked = scores(small, weak(small, with_na_probs=True)).ranked
    for curve in (ranked.exact, ranked.f1, ranked.oracle):
        assert len(curve.precision) == len(curve.recall) == len(curve.thresholds) + 1
        assert (curve.precision[0], curve.recall[0]) == (1, 0)
        assert np.all(np.diff(curve.recall) >= 0)
        assert np.all(np.diff(curve.thresholds) > 0), "ties are one point"
        area = float(np.sum(curve.precision[1:] * np.diff(curve.recall)))
        assert curve.average == pytest.approx(100 * area)
    assert ranked.oracle.recall[-1] == 1


def test_the_threshold_curve_is_what_scoring_at_each_threshold_gives(small):
    predictions = weak(small, with_na_probs=True)
    curve = threshold_curve(scores(small, predictions))
    assert len(curve.thresholds) > 5
    for threshold, exact, f1 in zip(curve.thresholds, curve.exact, curve.f1, strict=True):
        again = scores(small, predictions, float(threshold)).all
        assert (exact, f1) == (pytest.approx(again.exact), pytest.approx(again.f1))


def test_a_threshold_must_be_a_number(small):
    with pytest.raises(RequestError, match="not NaN") as caught:
        scores(small, silent(small), float("nan"))
    assert caught.value.field == "threshold"
