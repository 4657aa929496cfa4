"""The reader that ships: whole, small, calibrated, honest in its card, and of use at once."""

import json
import re
from pathlib import Path

import pytest

from studio.models.hashes import Hashes
from studio.models.readers import ReaderShelf
from studio.reader.answerability import read_answerability
from studio.reader.documents import pasted
from studio.reader.metrics import f1_of
from studio.reader_requests import AskRequest

MOST_BYTES = 60_000_000
TEXT = (
    "The lighthouse at Cape Hollow was finished in 1871 by the engineer Ada Lind. It is 42 metres "
    "high and its lamp can be seen from a distance of 31 kilometres. A storm broke its windows in "
    "1903, and the keepers lived in the village until they had been repaired."
)
ASKED = (
    ("Who finished the lighthouse at Cape Hollow?", "Ada Lind"),
    ("When was the lighthouse at Cape Hollow finished?", "1871"),
    ("How high is the lighthouse?", "42 metres"),
    ("When did a storm break its windows?", "1903"),
    ("Where did the keepers live until the windows had been repaired?", "village"),
)
NOT_TOLD = (
    "Who owns the ferry to the mainland?",
    "How much did the new telescope cost?",
    "Which university did the mayor attend?",
)


@pytest.fixture(scope="module")
def entry():
    (found,) = ReaderShelf(Path("/nonexistent"), Hashes()).entries()
    return found


def test_it_is_whole_small_and_calibrated(entry):
    assert entry.embedded
    assert entry.problem == ""
    assert entry.bytes <= MOST_BYTES
    sure = read_answerability(entry.path)
    assert sure is not None
    assert 0 < sure.threshold < 1
    assert (entry.path / "LICENSE").is_file()
    assert (entry.path / "NOTICE").is_file()


def test_its_card_tells_the_scores_that_were_measured(entry):
    card = (entry.path / "README.md").read_text(encoding="utf-8")
    told = json.loads((entry.path / "scores.json").read_text(encoding="utf-8"))["dev"]
    assert told["total"] == 11_873
    assert f"value: {told['exact']:.2f}" in card
    assert f"value: {told['f1']:.2f}" in card
    assert "not trained on SQuAD 2.0 train" in card
    assert told["f1"] > 50.07, "more than a reader that never answers"
    assert "$" not in re.sub(r"`[^`]*`", "", card), "every figure was filled in"


def ask(services, question, **fields):
    return services.answering.ask(pasted(TEXT), AskRequest(question=question, **fields))


def test_it_finds_plain_answers(services):
    texts = {question: ask(services, question).answers[0].text for question, _ in ASKED}
    right = [question for question, answer in ASKED if answer in texts[question]]
    assert len(right) >= 4, texts


def test_it_is_surer_of_what_the_text_tells(services):
    told = [ask(services, question).probability for question, _ in ASKED]
    missing = [ask(services, question).probability for question in NOT_TOLD]
    assert sum(missing) / len(missing) < 0.4 < sum(told) / len(told)
    assert [ask(services, question).best for question in NOT_TOLD].count(None) >= 2


def test_8_bits_and_full_precision_agree(services):
    for question, _ in ASKED:
        full = ask(services, question, precision="full")
        rounded = ask(services, question, precision="int8")
        assert f1_of(full.answers[0].text, rounded.answers[0].text) > 0.6
        assert full.probability == pytest.approx(rounded.probability, abs=0.1)
