"""Probabilities that mean what they say, on margins whose probabilities are known."""

import json
import math

import numpy as np
import pytest

from studio.errors import ModelError
from studio.reader.answerability import (
    FILE,
    Answerability,
    fitted,
    read_answerability,
    reliability,
    sigmoid,
    write_answerability,
)

TRUE = Answerability(temperature=2.5, offset=-1.0)


def drawn(count, seed=0):
    """Margins, and answers drawn by the probabilities that TRUE gives them."""
    generator = np.random.default_rng(seed)
    margins = generator.normal(0, 6, count)
    absent = generator.random(count) < np.array([TRUE.no_answer(m) for m in margins])
    return margins, ~absent, generator.uniform(0.5, 1, count)


def test_temperature_and_offset_are_found_again():
    margins, answerable, scores = drawn(40_000)
    found = fitted(margins, answerable, scores)
    assert found.temperature == pytest.approx(TRUE.temperature, rel=0.05)
    assert found.offset == pytest.approx(TRUE.offset, abs=0.15)


def test_a_few_questions_that_are_told_apart_without_a_fault_make_no_certainty():
    margins = np.array([-3.0, -2.0, -1.0, 1.0, 2.0, 3.0])
    found = fitted(margins, margins < 0, np.ones(6))
    assert 0.1 < found.temperature < 10
    assert 0.6 < found.no_answer(3.0) < 0.99
    assert 0.3 < found.threshold < 0.7


def test_fitted_probabilities_are_reliable_on_other_questions():
    found = fitted(*drawn(20_000))
    margins, answerable, _ = drawn(20_000, seed=1)
    after = np.array([1 - found.no_answer(m) for m in margins])
    before = np.array([1 - sigmoid(m) for m in margins])
    assert reliability(after, answerable).error < 0.015
    assert reliability(before, answerable).error > 0.05


def mean_f1(margins, answerable, scores, at):
    return float(np.mean(np.where(margins <= at, np.where(answerable, scores, 0), ~answerable)))


@pytest.mark.parametrize("seed", range(4))
def test_the_threshold_gives_the_highest_mean_f1(seed):
    margins, answerable, scores = drawn(300, seed)
    margins = np.round(margins)  # with ties, which no threshold can part
    found = fitted(margins, answerable, scores)
    here = np.array([found.no_answer(m) <= found.threshold for m in margins])
    reached = float(np.mean(np.where(here, np.where(answerable, scores, 0), ~answerable)))
    best = max(
        mean_f1(margins, answerable, scores, at) for at in [*np.unique(margins), margins.min() - 1]
    )
    assert reached == pytest.approx(best)


def test_questions_of_one_sort_calibrate_nothing():
    with pytest.raises(ValueError, match="with and without answers"):
        fitted(np.array([1.0, 2.0]), np.array([True, True]), np.array([1.0, 1.0]))


def test_reliability_counts_every_question_once():
    found = reliability(np.array([0.0, 0.05, 0.95, 1.0]), np.array([0, 1, 1, 1]))
    assert sum(found.counts) == 4
    assert found.counts[0] == found.counts[9] == 2
    assert found.true[0] == 0.5
    assert found.error == pytest.approx(0.5 * abs(0.5 - 0.025) + 0.5 * abs(1 - 0.975))


def test_what_is_stored_is_read_back(tmp_path):
    assert read_answerability(tmp_path) is None
    write_answerability(tmp_path, TRUE)
    assert read_answerability(tmp_path) == TRUE


@pytest.mark.parametrize(
    "content",
    [
        "no JSON",
        "[]",
        '{"temperature": 1}',
        '{"temperature": "warm", "offset": 0, "threshold": 0}',
        '{"temperature": 0, "offset": 0, "threshold": 0.5}',
        json.dumps({"temperature": math.nan, "offset": 0, "threshold": 0.5}),
    ],
)
def test_a_damaged_file_is_told_in_words(tmp_path, content):
    (tmp_path / FILE).write_text(content)
    with pytest.raises(ModelError, match="calibrate it again"):
        read_answerability(tmp_path)


def test_no_margin_is_too_large():
    assert TRUE.no_answer(1e308) == 1
    assert TRUE.no_answer(-1e308) == 0
    assert TRUE.no_answer(math.inf) == 1
