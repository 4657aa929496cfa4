"""Questions on documents: what is read, how passages are weighed, who is waited for."""

import math
import threading
import time
from dataclasses import replace

import pytest
from tiny_readers import TEXT, make_reader

from studio.errors import ModelError, RequestError
from studio.models.broker import Holder, this_thread
from studio.models.devices import Device
from studio.models.readers import BFLOAT16, FULL, INT8
from studio.reader.answerability import Answerability, sigmoid, write_answerability
from studio.reader.answering import together
from studio.reader.documents import pasted
from studio.reader.passages import passages_of, text_blocks
from studio.reader.reading import Reading
from studio.reader.spans import Span
from studio.reader_requests import AskRequest, Precision
from studio.requests import validated

LONG = "\n\n".join(f"Chapter {n}. " + TEXT * 3 for n in range(60))


@pytest.fixture
def answering(services, settings):
    folder = settings.data_dir / "models" / "readers" / "tiny"
    make_reader(folder)
    write_answerability(folder, Answerability(2.0, 1.0, 0.4))
    return services.answering


def asked(question="Who built the old bridge?", **fields):
    return validated(AskRequest, {"question": question, "reader": "tiny", **fields})


def test_answers_are_characters_of_the_text(answering):
    document = pasted(TEXT * 2)
    found = answering.ask(document, asked())
    assert len(found.answers) == 5
    for answer in found.answers:
        assert document.text[answer.start : answer.end] == answer.text
        passage = document.passages[answer.passage]
        assert passage.start <= answer.start < answer.end <= passage.end
        assert answer.place == passage.place
    shares = [answer.probability for answer in found.answers]
    assert shares == sorted(shares, reverse=True)
    assert sum(shares) <= found.probability <= 1
    assert found.is_calibrated
    assert found.reader == "tiny"


def test_the_threshold_decides_whether_there_is_an_answer(answering):
    document = pasted(TEXT)
    sure = answering.ask(document, asked())
    assert sure.threshold == 0.4
    assert sure.is_answered == (1 - sure.probability <= 0.4)
    never = answering.ask(document, asked(threshold=0.0))
    always = answering.ask(document, asked(threshold=1.0))
    assert (never.best, always.best) == (None, always.answers[0])
    assert never.answers == always.answers, "runners-up are told all the same"


def test_of_a_long_text_only_the_passages_that_fit_are_read(answering):
    document = pasted(LONG)
    assert len(document.passages) > 40
    found = answering.ask(document, asked("What is in chapter 37?", passages=4))
    assert found.passages == (4, len(document.passages))
    wanted = next(
        i
        for i, p in enumerate(document.passages)
        if "Chapter 37." in document.text[p.start : p.end]
    )
    assert wanted in {
        answer.passage
        for answer in answering.ask(
            document, asked("What is in chapter 37?", passages=4, answers=20)
        ).answers
    }


def test_the_same_text_in_other_passages_is_indexed_anew(answering):
    lines = "\n".join(f"# Chapter {n}\n{TEXT}" for n in range(40))
    plain = pasted(lines)
    markdown = replace(plain, passages=passages_of(lines, text_blocks(lines, markdown=True)))
    assert len(markdown.passages) != len(plain.passages)
    for document in (plain, markdown, plain):
        found = answering.ask(document, asked("What is in chapter 37?", passages=2, answers=20))
        assert found.passages == (2, len(document.passages))
        read = {document.passage_text(each.passage) for each in found.answers}
        assert any("Chapter 37" in each for each in read)


def test_8_bits_and_full_precision_are_loans_of_their_own(answering, services):
    full = answering.ask(pasted(TEXT), asked(precision="full"))
    rounded = answering.ask(pasted(TEXT), asked(precision="int8"))
    held = {each.kind for each in services.engine.models.held()}
    assert {FULL, INT8} <= held
    assert full.probability == pytest.approx(rounded.probability, abs=0.1)
    assert full.probability != rounded.probability
    assert answering.spec("tiny", Precision.FULL).kind == FULL, "which alone is exact"


@pytest.mark.parametrize(
    ("able", "dtype", "auto", "asked_for"),
    [
        (True, "bfloat16", BFLOAT16, BFLOAT16),
        (True, "float32", FULL, BFLOAT16),  # has the instructions and is slower with them
        (False, "float32", FULL, FULL),  # 20 times slower without them
        (False, "bfloat16", FULL, FULL),
    ],
)
def test_by_itself_it_reads_in_bfloat16_where_that_was_measured_faster(
    answering, monkeypatch, able, dtype, auto, asked_for
):
    monkeypatch.setattr("studio.reader.answering.cpu_has_bfloat16", lambda: able)
    monkeypatch.setattr(answering, "_device", lambda: Device("cpu", "CPU", dtype))
    assert answering.spec("tiny", Precision.AUTO).kind == auto
    assert answering.spec("tiny", Precision.BFLOAT16).kind == asked_for
    assert answering.spec("tiny", Precision.FULL).kind == FULL
    assert answering.spec("tiny", Precision.INT8).kind == INT8


def test_bfloat16_answers_as_full_precision_does(answering, services, monkeypatch):
    monkeypatch.setattr("studio.reader.answering.cpu_has_bfloat16", lambda: True)
    full = answering.ask(pasted(TEXT), asked(precision="full"))
    faster = answering.ask(pasted(TEXT), asked(precision="bfloat16"))
    assert {FULL, BFLOAT16} <= {each.kind for each in services.engine.models.held()}
    assert faster.probability == pytest.approx(full.probability, abs=0.05)
    assert faster.answers[0].text == full.answers[0].text


def test_a_question_waits_for_whoever_has_the_device_alone(answering, services):
    answering.ask(pasted(TEXT), asked())
    broker = services.engine.broker
    number = broker.take(Holder("a training", "", this_thread()), alone=True)
    told, answers = [], []

    def ask():
        answers.append(answering.ask(pasted(TEXT), asked(), on_wait=told.append))

    thread = threading.Thread(target=ask)
    thread.start()
    while not told:
        time.sleep(0.02)
    assert answering.holders() == ["a training"]
    assert told[0][0].holder.title == "a training"
    assert not answers
    broker.give_back(number)
    thread.join(60)
    assert answers[0].answers


def test_what_cannot_be_asked_is_refused_in_words(answering):
    for question, reason in (("", "is empty"), ("  ", "is empty"), ("wh\0o", "NUL")):
        with pytest.raises(RequestError, match=reason):
            asked(question)
    with pytest.raises(RequestError, match="ask more briefly"):
        answering.ask(pasted(TEXT), asked("who is the old king " * 90))
    with pytest.raises(ModelError, match=r"'gone' is not installed; there are: .*tiny"):
        answering.ask(pasted(TEXT), asked(reader="gone"))


def span(start, text, score, share):
    return Span(start, start + len(text), text, score, math.log(share))


def test_passages_add_up_and_the_same_answer_counts_once():
    document = pasted("The king built it.\n\n" + "x " * 700 + "\n\nThe king, they say. A queen.")
    assert len(document.passages) >= 3
    last = len(document.passages) - 1
    sure = Answerability(1.0, 0.0)
    first = Reading((span(4, "king", 3.0, 0.9), span(9, "built", 1.0, 0.1)), 2.0)
    other = Reading((span(4, "king", 2.5, 0.6), span(22, "queen", 2.0, 0.4)), 2.0)
    answers, odds = together(document, [0, last], [first, other], sure)
    assert odds == pytest.approx(math.log(math.exp(1.0) + math.exp(0.5)))
    weights = {"king": 0.9 * math.exp(1.0) + 0.6 * math.exp(0.5), "queen": 0.4 * math.exp(0.5)}
    assert [answer.text for answer in answers] == ["king", "queen", "built"]
    assert answers[0].passage == 0, "the place of its better score"
    for answer in answers[:2]:
        share = weights[answer.text] / math.exp(odds)
        assert answer.probability == pytest.approx(sigmoid(odds) * share)
    assert sum(answer.probability for answer in answers) == pytest.approx(sigmoid(odds))


def test_passages_without_a_span_leave_no_answer():
    document = pasted("One.")
    answers, odds = together(document, [0], [Reading((), 1.0)], Answerability())
    assert (answers, sigmoid(odds)) == ((), 0.0)
