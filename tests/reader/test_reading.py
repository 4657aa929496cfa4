"""Readings against a plain loop over transformers, for every architecture."""

import math

import numpy as np
import pytest
import torch
from tiny_readers import ARCHITECTURES, TEXT, make_reader

from studio.errors import ModelError
from studio.models.readers import load_reader
from studio.reader.reading import Pair, Reader, reader_of
from studio.reader.spans import best_spans
from studio.reader.windows import Encoder

QUESTIONS = ("Who built the old bridge?", "  In what year did the river take half of it? ", "Why?")
PASSAGES = (
    TEXT,
    TEXT * 6,
    "One.",
    "Cafe\u0301 of the city, 👩‍👩‍👧 born in 1873.\r\nשלום old bridge.",
)
PAIRS = [Pair(question, passage) for passage in PASSAGES for question in QUESTIONS]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    made = {}

    def get(architecture):
        if architecture not in made:
            folder = tmp_path_factory.mktemp("readers") / architecture
            made[architecture] = make_reader(folder, architecture)
        return made[architecture]

    return get


@pytest.fixture(scope="module")
def reader(folders):
    return reader_of(load_reader(folders("bert")))


def unspaced(passage, start, end):
    """A place without the spaces around it: pieces of SentencePiece begin with one, or are one."""
    text = passage[start:end]
    return start + len(text) - len(text.lstrip()), start + len(text.rstrip())


def plain(loaded, pair, max_length=192, stride=40, n=20, longest=30):
    """utils_qa.py's way in few words: window by window, padded, all starts by all ends."""
    tokenizer = loaded.tokenizer
    made = tokenizer(
        pair.question.strip(),
        pair.passage,
        truncation="only_second",
        padding="max_length",
        max_length=max_length,
        stride=stride,
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
    )
    spans, nulls = {}, []
    for number in range(len(made["input_ids"])):
        inputs = {name: torch.tensor([made[name][number]]) for name in tokenizer.model_input_names}
        with torch.no_grad():
            output = loaded.network(**inputs)
        start, end = output.start_logits[0].tolist(), output.end_logits[0].tolist()
        cls = made["input_ids"][number].index(tokenizer.cls_token_id)
        nulls.append(start[cls] + end[cls])
        whose = made.sequence_ids(number)
        inside = [place for place, each in enumerate(whose) if each == 1]
        for first in inside:
            for last in inside[inside.index(first) :][:longest]:
                place = unspaced(
                    pair.passage,
                    made["offset_mapping"][number][first][0],
                    made["offset_mapping"][number][last][1],
                )
                if place[0] >= place[1]:
                    continue
                spans[place] = max(spans.get(place, -math.inf), start[first] + end[last])
    tokenizer.backend_tokenizer.no_truncation()
    tokenizer.backend_tokenizer.no_padding()
    best = sorted(spans.items(), key=lambda each: -each[1])
    return best[:n], min(nulls)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_readings_are_those_of_a_plain_loop(folders, architecture):
    loaded = load_reader(folders(architecture))
    made = reader_of(loaded)
    made.encoder.max_length, made.encoder.overlap = 192, 40
    pairs = [pair for pair in PAIRS if pair.passage is not PASSAGES[3]]
    for pair, reading in zip(pairs, made.read(pairs), strict=True):
        best, null = plain(loaded, pair)
        assert reading.null == pytest.approx(null, abs=2e-4)
        assert [span.score for span in reading.spans[:5]] == pytest.approx(
            [score for _, score in best[:5]], abs=2e-4
        )
        (start, end), _ = best[0]
        assert reading.spans[0].text == pair.passage[start:end]


def test_a_pair_reads_the_same_alone_and_among_others(reader):
    together = reader.read(PAIRS)
    for pair, reading in zip(PAIRS, together, strict=True):
        (alone,) = reader.read([pair])
        assert alone.null == pytest.approx(reading.null, abs=1e-4)
        assert alone.spans[0].text == reading.spans[0].text


def test_spans_are_characters_of_the_passage_as_it_is(reader):
    for pair, reading in zip(PAIRS, reader.read(PAIRS), strict=True):
        assert reading.spans
        for span in reading.spans:
            assert pair.passage[span.start : span.end] == span.text == span.text.strip() != ""


@pytest.mark.parametrize("architecture", ["bert", "roberta"])
def test_no_answer_ends_within_a_character(folders, architecture):
    """Accents that a tokenizer drops, and emoji of many code points, stay whole."""
    made = reader_of(load_reader(folders(architecture)))
    passage = "e\u0301 a\u0308\u0323 👩‍👩‍👧 🇫🇷 👍🏽 e\u0301"
    whole = {"e\u0301", "a\u0308\u0323", "👩‍👩‍👧", "🇫🇷", "👍🏽"}
    (reading,) = made.read([Pair("what?", passage)], n_best=200)
    assert len(reading.spans) > 5
    for span in reading.spans:
        assert set(span.text.split()) <= whole


def test_probabilities_of_spans_and_no_answer_sum_to_one(reader):
    (reading,) = reader.read([PAIRS[0]], n_best=20)
    total = np.logaddexp.reduce([reading.null, *(span.score for span in reading.spans)])
    shares = sum(span.probability for span in reading.spans)
    assert shares + math.exp(reading.null - total) == pytest.approx(1)
    assert reading.margin == reading.null - reading.spans[0].score


def test_a_passage_without_a_token_has_no_span(reader):
    (reading,) = reader.read([Pair("who?", " \r\n ")])
    assert reading.spans == ()
    assert reading.margin == math.inf


def test_answers_are_no_longer_than_asked(reader):
    (reading,) = reader.read([Pair("who?", TEXT * 3)], longest=2)
    for span in reading.spans:
        assert len(reader.encoder.tokens(span.text)) <= 2


def test_progress_is_told_and_can_end_the_reading(reader):
    told = []
    reader.read(PAIRS, on_done=lambda done, total: told.append((done, total)))
    assert told[-1][0] == told[-1][1] >= len(PAIRS)

    class Enough(Exception):
        pass

    def stop(done, total):
        raise Enough

    with pytest.raises(Enough):
        reader.read(PAIRS, on_done=stop)


def test_each_passage_is_tokenised_once(reader, monkeypatch):
    seen = []
    whole = Encoder.many
    monkeypatch.setattr(
        Encoder, "many", lambda self, texts: seen.append(list(texts)) or whole(self, texts)
    )
    reader.read(PAIRS)
    assert sorted(len(texts) for texts in seen) == [len(QUESTIONS), len(PASSAGES)]


def test_best_spans_are_the_best_of_all():
    generator = torch.Generator().manual_seed(1)
    starts, ends = torch.randn(2, 3, 40, generator=generator)
    allowed = torch.zeros(3, 40, dtype=torch.bool)
    allowed[0, 5:35], allowed[1, 10:12], allowed[2, 39:] = True, True, True
    first, last, scores = best_spans(starts, ends, allowed, 7, 10)
    for row in range(3):
        inside = [i for i in range(40) if allowed[row, i]]
        every = sorted(
            (
                (float(starts[row, i] + ends[row, j]), i, j)
                for i in inside
                for j in inside
                if 0 <= j - i < 7
            ),
            reverse=True,
        )[:10]
        found = [
            (float(s), int(i), int(j))
            for s, i, j in zip(scores[row], first[row], last[row], strict=True)
            if math.isfinite(s)
        ]
        assert [each[1:] for each in found] == [each[1:] for each in every]
        assert [each[0] for each in found] == pytest.approx([each[0] for each in every])


def test_a_model_without_a_head_is_refused_in_words(tmp_path):
    folder = make_reader(tmp_path / "bare", head=False)
    with pytest.raises(ModelError, match="has no trained question-answering head"):
        load_reader(folder)


def test_a_reader_that_was_never_calibrated_says_so(reader):
    assert not reader.is_calibrated
    assert isinstance(reader, Reader)
