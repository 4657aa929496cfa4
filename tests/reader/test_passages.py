import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from studio.reader.passages import LONGEST, SHORT, USUAL, passages_of, text_blocks

SENTENCE = "The quick brown fox jumps over the lazy dog near the river. "


def split(text, markdown=False):
    passages = passages_of(text, text_blocks(text, markdown))
    return [text[p.start : p.end] for p in passages], [p.place for p in passages]


def paragraph(characters):
    return (SENTENCE * (characters // len(SENTENCE) + 1))[:characters].strip() + "."


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_blank_lines_divide_paragraphs(end):
    first, second = paragraph(500), paragraph(600)
    text = f"{first}{end} \t{end}{end}{second}{end}"
    assert split(text) == ([first, second], ["paragraph 1", "paragraph 2"])


def test_lines_of_a_paragraph_stay_together():
    text = f"{paragraph(400)}\n{paragraph(400)}"
    assert split(text)[0] == [text]


def test_short_neighbours_are_joined():
    items = "\n\n".join(f"- item {i}" for i in range(10))
    assert split(items) == ([items], ["paragraphs 1 to 10"])


def test_joined_neighbours_stay_under_the_usual_length():
    texts, places = split("\n\n".join(f"- item number {i}" for i in range(500)))
    assert all(USUAL - 50 < len(text) <= USUAL for text in texts[:-1])
    assert places[0].startswith("paragraphs 1 to ")


def test_a_heading_goes_with_what_follows():
    first, second = paragraph(SHORT), paragraph(1190)
    text = f"{first}\n\nThe Seine\n\n{second}"
    assert split(text) == ([first, f"The Seine\n\n{second}"], ["paragraph 1", "paragraph 3"])


def test_headings_of_markdown_are_told():
    long = paragraph(900)
    text = f"# Rivers #\nShort.\n\n## The Seine\n{long}\n```\n# no heading\n```\n\n{long}"
    texts, places = split(text, markdown=True)
    assert texts == [
        "# Rivers #\nShort.",
        f"## The Seine\n{long}\n```\n# no heading\n```",
        long,
    ]
    assert places == [
        "paragraph 2, “Rivers”",
        "paragraph 4, “The Seine”",
        "paragraph 5, “The Seine”",
    ]


def test_long_paragraphs_stay_whole_and_endless_ones_are_cut_at_sentences():
    whole = paragraph(LONGEST - 10)
    assert split(whole)[0] == [whole]
    texts, places = split(SENTENCE * 400)
    assert all(text.startswith("The quick") and text.endswith("river.") for text in texts)
    assert set(places) == {"paragraph 1"}


def test_a_text_of_lines_only_is_cut_at_lines_that_end_sentences():
    lines = [f"{SENTENCE}{SENTENCE}".strip() for _ in range(200)]
    texts, _ = split("\n".join(lines))
    assert all(line == lines[0] for text in texts for line in text.split("\n"))


@pytest.mark.parametrize("unit", ["x", "漢", "e\u0301"])
def test_a_text_without_any_place_to_cut_is_cut_between_letters(unit):
    texts, _ = split(unit * 20_000)
    assert "".join(texts) == unit * 20_000
    assert max(map(len, texts)) <= LONGEST
    assert all(text.startswith(unit) and text.endswith(unit) for text in texts)


TEXTS = st.text(st.sampled_from("ab .\n\r\t#-é\u0301漢😀\u2028\f")).map(lambda text: text * 40)


@settings(max_examples=200, deadline=None)
@given(TEXTS | st.text(max_size=300), st.booleans())
def test_nothing_but_white_space_is_left_out(text, markdown):
    passages = passages_of(text, text_blocks(text, markdown))
    at = 0
    for passage in passages:
        assert not text[at : passage.start].strip()
        assert text[passage.start : passage.end].strip() == text[passage.start : passage.end] != ""
        assert passage.end - passage.start <= LONGEST
        at = passage.end
    assert not text[at:].strip()


@pytest.mark.parametrize("text", ["a\n\n", "\n ", "# ", "#", "- a\n", " ", ". ", "``` "])
def test_no_text_takes_long(text):
    text = text * (600_000 // len(text)) + "b"
    begun = time.process_time()
    for markdown in (False, True):
        passages_of(text, text_blocks(text, markdown))
    assert time.process_time() - begun < 20
