"""Marks in a passage: where they begin and end, over each other, and in very long texts."""

import re

from studio.reader.squad import Answer
from tabs.blocks.marks import GOLD, MISPLACED, PLAUSIBLE, Mark, marked, marks

TEXT = "In 1904 the new lamp was lit."


def test_marks_over_each_other_give_back_the_text():
    found = [Mark(3, 7, GOLD, 0), Mark(0, 7, PLAUSIBLE, 1), Mark(12, 20, GOLD, 2)]
    shown = marked(TEXT, found)
    assert re.sub("<[^>]*>", "", shown) == TEXT
    assert '<mark class="plausible" data-of="1">In </mark>' in shown
    assert '<mark class="gold" data-of="0 1">1904</mark>' in shown
    assert '<mark class="gold" data-of="2">new lamp</mark>' in shown


def test_an_answer_that_stands_elsewhere_is_told_apart():
    (right, wrong) = marks([Answer("1904", 3), Answer("lamp", 3)], TEXT)
    assert (right.kind, wrong.kind) == (GOLD, MISPLACED)
    (outside,) = marks([Answer("lit", 900)], TEXT)
    assert outside.kind == MISPLACED
    assert marked(TEXT, [outside, *marks([Answer("x", -5)], TEXT)]) == TEXT


def test_places_are_characters_whatever_they_are():
    text = "a 👩‍🚀 né\r\n<b> \ud800 end"
    start = text.index("end")
    shown = marked(text, marks([Answer("end", start)], text))
    assert shown.endswith('<mark class="gold" data-of="0">end</mark>')
    assert "&lt;b&gt;" in shown
    shown.encode()


def test_a_very_long_passage_is_cut_around_its_first_mark():
    text = "x" * 50_000 + "here" + "y" * 50_000
    shown = marked(text, [Mark(50_000, 50_004)], most=5_000)
    assert shown.startswith("… x")
    assert shown.endswith("y …")
    assert ">here</mark>" in shown
    assert len(re.sub("<[^>]*>", "", shown)) == 5_004
    assert marked(text, [], most=10) == "x" * 10 + " …"
