"""Names, dates and numbers that rules swap on."""

import pytest

from studio.reader.negatives.spans import Sort, spans
from studio.reader.negatives.text import holds, sentences, stem


def found(text: str) -> dict[str, Sort]:
    return {span.text: span.sort for span in spans(text)}


def test_sorts() -> None:
    told = found(
        "In May 1874, on a Saturday, nine men and 1,200 sheep left Greyhaven for Port Amber."
    )
    assert told == {
        "May": Sort.MONTH,
        "1874": Sort.YEAR,
        "Saturday": Sort.DAY,
        "nine": Sort.NUMBER_WORD,
        "1,200": Sort.NUMBER,
        "Greyhaven": Sort.NAME,
        "Port Amber": Sort.NAME,
    }


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("When did Renn's tower burn?", ["Renn"]),
        ("What is the Bank of the North Sea?", ["Bank of the North Sea"]),
        ("Which law did the U.S. pass?", ["U.S."]),
        ("What year was it? Towers were built. The towers burnt.", []),
        ("Ines Calloway built it.", ["Ines Calloway"]),
    ],
)
def test_names(text: str, names: list[str]) -> None:
    assert [span.text for span in spans(text)] == names


def test_a_name_after_in_is_a_place() -> None:
    assert found("They met in Greyhaven with Renn.") == {"Greyhaven": Sort.PLACE, "Renn": Sort.NAME}


def test_spans_stand_where_they_say_and_do_not_overlap() -> None:
    text = "In the 1990s the 12th century Lower Quay sold 2.5 million of 1,000,000 in March 1999."
    last = 0
    for span in spans(text):
        assert text[span.start : span.end] == span.text
        assert span.start >= last
        last = span.end
    assert found(text)["12th century"] is Sort.CENTURY


def test_sentences_cover_all_words() -> None:
    text = 'He said "No." Then he left (at ten). It was 2.5 miles.\nNew line'
    told = [text[start:end] for start, end in sentences(text)]
    assert told == ['He said "No.', "Then he left (at ten).", "It was 2.5 miles.", "New line"]


def test_answers_are_held_as_whole_normalised_words() -> None:
    assert holds("It was the TERN company.", ["Tern Company"])
    assert not holds("It was intern company.", ["Tern Company"])
    assert not holds("anything", ["the"])


@pytest.mark.parametrize(
    ("one", "other"), [("moved", "move"), ("towers", "tower"), ("renn's", "renn"), ("led", "led")]
)
def test_forms_of_a_word_have_one_stem(one: str, other: str) -> None:
    assert stem(one) == stem(other)
