"""Files of predictions: read as they are, or refused in one sentence with counts."""

import gzip
import json
import math
from pathlib import Path

import pytest
from prediction_files import silent, weak

from studio.errors import DataError
from studio.reader.predictions import Predictions, checked, read_na_probs, read_predictions
from studio.reader.squad import Squad, read_squad

DATA = Path(__file__).resolve().parents[1] / "data"


@pytest.fixture(scope="session")
def small() -> Squad:
    return read_squad(DATA / "small-v2.0.json")


def refusal(act, *arguments) -> str:
    with pytest.raises(DataError) as caught:
        act(*arguments)
    message = str(caught.value)
    assert "\n" not in message
    assert message.endswith(".")
    assert len(message) < 400
    return message


def test_files_are_read_from_disk_packed_and_from_memory(tmp_path, small):
    made = weak(small, with_na_probs=True)
    content = json.dumps(made.texts).encode()
    (tmp_path / "p.json").write_bytes(content)
    (tmp_path / "p.json.gz").write_bytes(gzip.compress(content))
    for source in (tmp_path / "p.json", tmp_path / "p.json.gz", content, b"\xef\xbb\xbf" + content):
        assert read_predictions(source) == made.texts
    probs = read_na_probs(json.dumps(made.na_probs).encode())
    assert list(probs.items()) == list(made.na_probs.items()), "the order breaks ties"


def test_whole_numbers_stay_whole():
    read = read_na_probs(b'{"a": 1, "b": 1.0, "c": -3e2}')
    assert [type(value) for value in read.values()] == [int, float, float]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "p.json cannot be read: it is not JSON (line 1, column 1: Expecting value)"),
        (b'{"a": "b"', "is not JSON"),
        (b"\xff\xfe{", "is not UTF-8 text (byte 0)"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a": ' + b"9" * 5000 + b"}", "holds a number that is too long"),
        (b"\x1f\x8b\x08broken", "p.json cannot be read"),
        (b'["a", "b"]', "p.json holds no predictions: it is a list and should be an object"),
        (b"null", "it is a single value and should be an object"),
        (b'{"a": "x", "b": null, "c": ["y"], "d": 3}', "3 of 4 predictions are not text (b, c, d)"),
        (b'{"a": NaN}', "1 of 1 predictions are not text (a)"),
        (b'{"a": "x", "b": "", "a": "y"}', "1 ids are given more than once (a)"),
    ],
)
def test_what_is_no_predictions_file(content, told):
    assert told in refusal(read_predictions, content, "p.json")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"[0.1]", "n.json holds no no-answer probabilities: it is a list"),
        (b'{"a": NaN, "b": 0.5}', "1 of 2 values are not finite numbers (a)"),
        (b'{"a": Infinity, "b": -Infinity}', "2 of 2 values are not finite"),
        (b'{"a": "0.5", "b": null, "c": true, "d": 1}', "3 of 4 values are not finite"),
        (b'{"a": 1' + b"0" * 400 + b"}", "1 of 1 values are not finite numbers (a)"),
        (b'{"a": 0.1, "a": 0.2}', "1 ids are given more than once (a)"),
    ],
)
def test_what_is_no_file_of_probabilities(content, told):
    assert told in refusal(read_na_probs, content, "n.json")


def test_a_file_that_is_not_there_is_named_once(tmp_path):
    message = refusal(read_predictions, tmp_path / "gone.json")
    assert message.startswith("gone.json cannot be read (No such file or directory)")
    assert refusal(read_predictions, b"[").startswith("The predictions cannot be read")


def test_predictions_that_fit_are_given_back(small):
    made = weak(small, with_na_probs=True)
    assert checked(made, small) is made
    assert checked(silent(small), small).na_probs is None


def test_missing_and_unknown_ids_are_counted_and_named(small):
    texts = dict(silent(small).texts)
    gone = sorted(texts)[:5]
    for each in gone:
        del texts[each]
    texts |= {"one": "", "x" * 5000: ""}
    message = refusal(checked, Predictions(texts), small)
    assert message.startswith("The predictions do not fit the data set: 5 of its 30 are missing (")
    assert f"({gone[0]}, {gone[1]}, {gone[2]}, …)" in message
    assert "and 2 are of no question in it (one, xxx" in message


def test_probabilities_must_cover_the_set_too(small):
    made = weak(small, with_na_probs=True)
    probs = dict(made.na_probs)
    probs["other"] = probs.pop(next(iter(probs)))
    message = refusal(checked, Predictions(made.texts, probs), small)
    assert message.startswith("The no-answer probabilities do not fit the data set: 1 of its 30")
    assert "1 are of no question in it (other)" in message


@pytest.mark.parametrize("value", [math.nan, math.inf, None, "0.5", True])
def test_what_never_was_in_a_file_is_checked_as_well(small, value):
    made = weak(small, with_na_probs=True)
    first = next(iter(made.texts))
    wrong = Predictions(made.texts, {**made.na_probs, first: value})
    assert f"1 of 30 values are not finite numbers ({first})" in refusal(checked, wrong, small)
    wrong = Predictions({**made.texts, first: None})
    assert f"1 of 30 predictions are not text ({first})" in refusal(checked, wrong, small)


def test_nothing_can_be_scored_on_a_set_without_questions():
    assert "has no questions" in refusal(checked, Predictions({}), Squad(()))
