"""The Leaderboard panel: ranks, reports, comparisons, deletion, and what a browser may send."""

import re
from dataclasses import replace
from pathlib import Path

import gradio as gr
import pytest

from studio.reader.leaderboard import Entry
from studio.reader.predictions import Predictions
from studio.reader.squad import Squad, read_squad
from tabs.blocks import board
from tabs.blocks.benchmark import BenchmarkHandlers
from tabs.blocks.board import BoardHandlers

SMALL = Path(__file__).resolve().parents[1] / "data" / "small-v2.0.json"


@pytest.fixture(scope="module")
def squad() -> Squad:
    return read_squad(SMALL)


@pytest.fixture(scope="module")
def view() -> board.Board:
    with gr.Blocks(analytics_enabled=False):
        return board.build()


@pytest.fixture
def handlers(services, view) -> BoardHandlers:
    services.data_sets.add(SMALL.read_bytes(), "kept under another name.json")
    # A report needs no control of the Benchmark panel.
    return BoardHandlers(services, view, BenchmarkHandlers(services, view).report)


@pytest.fixture
def submit(services, squad):
    """Submits the first gold answers, but nothing where `silent` says so."""

    def put(model: str, silent=lambda number: False, data_set: str = "small", who: str = "") -> int:
        texts = {
            each.question.id: each.question.answers[0].text
            if each.question.answers and not silent(number)
            else ""
            for number, each in enumerate(squad.asked())
        }
        probs = {each: float(not text) for each, text in texts.items()}
        entry = Entry(model, data_set, who=who, settings={"precision": "int8"}, device="cpu")
        return services.leaderboard.submit(entry, squad, Predictions(texts, probs)).id

    return put


class Pressed:
    """A row that was pressed."""

    def __init__(self, pick: object):
        self.pick = pick


def picked(handlers: BoardHandlers, pick: object) -> dict:
    """All that a pick brings, the last word on each."""
    told: dict = {}
    for part in handlers.pick(Pressed(pick)):
        told |= part
    return told


def test_nothing_was_submitted_yet(handlers):
    chosen, shown = handlers.lists(None, False, None)
    assert (chosen.choices, chosen.value) == ([], None)
    assert "Nobody stands here yet" in shown


def test_ranks_beside_people_and_the_floor(handlers, submit):
    good, bad = submit("good"), submit("bad", lambda n: n % 2)
    chosen, shown = handlers.lists(None, False, good)
    assert chosen.choices == [("small (2 submissions)", "small")]
    assert chosen.value == "small"
    rows = re.findall(r"<tr[^>]*>.*?</tr>", shown)[1:]
    names = ["good", "Human performance", "bad", "Always no answer"]
    assert [next(n for n in names if n in row) for row in rows] == names
    assert [f'data-pick="{each}"' in rows[at] for at, each in ((0, good), (2, bad))] == [True] * 2
    assert [row.startswith('<tr class="guide">') for row in rows] == [False, True, False, True]
    assert 'class="picked" aria-selected="true"' in rows[0]
    assert 'aria-selected="false"' in rows[2]
    assert "100.00" in rows[0]


def test_the_history_shows_all_and_what_is_chosen_stays(handlers, submit):
    for _ in range(3):
        submit("same")
    submit("other", data_set="another")
    assert handlers.table("small", False, None).count("data-pick") == 1
    assert handlers.table("small", True, None).count("data-pick") == 3
    assert handlers.lists("small", False, None)[0].value == "small"
    assert handlers.lists("gone", False, None)[0].value == "another"


def test_a_row_opens_its_report(handlers, view, submit):
    first, second = submit("a/<b>", who="me"), submit("b")
    told = picked(handlers, str(first))
    assert told[view.picked] == first
    assert told[view.chosen].visible
    assert "at-plots" in told[view.report].value
    assert not told[view.versus].visible
    facts = told[view.facts]
    for file in ("predictions.json", "na_prob.json", "README.md", "submission.zip"):
        assert f'href="submissions/{first}/{file}"' in facts
    for words in ("a/&lt;b&gt;", "int8", "me", "small, "):
        assert words in facts
    assert "<b>" not in facts
    assert [value for _, value in told[view.other].choices] == [0, second]


def test_without_the_file_the_scores_are_shown_and_a_sentence(handlers, view, services, submit):
    kept = submit("good")
    services.data_sets.remove("kept under another name")
    told = picked(handlers, str(kept))[view.report].value
    assert "The questions of small are needed for this" in told
    assert "100.00" in told
    other = submit("b")
    with pytest.raises(gr.Error, match="are needed for this"):
        handlers.compare(kept, other)


@pytest.mark.parametrize("pick", ["", "x", "-1", "1e3", "9" * 400, None, ["1"], "7"])
def test_a_pick_that_is_no_submission(handlers, pick):
    with pytest.raises(gr.Error, match="There is no submission"):
        picked(handlers, pick)


def test_two_side_by_side(handlers, view, submit, squad):
    total = sum(1 for _ in squad.asked())
    answerable = [n for n, each in enumerate(squad.asked()) if each.question.has_answer]
    a, b = submit("A", lambda n: n == answerable[0]), submit("B", lambda n: n in answerable[:3])
    told = handlers.compare(a, b)
    assert told[view.versus].visible
    assert not told[view.report].visible
    assert told[view.right].choices == [
        (f"All ({total:,})", ""),
        (f"Both right ({total - 3:,})", "both"),
        ("Only A (2)", "only A"),
        ("Only B (0)", "only B"),
        ("Neither (1)", "neither"),
    ]
    assert f"{200 / total:+.2f}" in told[view.summary]
    only = handlers.matching(a, b, "only A", "")
    assert only[view.count] == "1–2 of 2"
    assert only[view.questions].count("<article>") == 2
    assert only[view.questions].count('class="at-right"') == 2
    assert only[view.questions].count('class="at-not"') == 2
    assert '<mark class="gold"' in only[view.questions]
    assert not only[view.next].interactive
    none = handlers.matching(a, b, "only B", "")
    assert none[view.count] == ""
    assert "No question is like this" in none[view.questions]
    back = handlers.compare(a, 0)
    assert back[view.report].visible
    assert not back[view.versus].visible


def test_search_and_pages_of_a_comparison(handlers, view, submit, squad, monkeypatch):
    monkeypatch.setattr(board, "PAGE", 3)
    total = sum(1 for _ in squad.asked())
    a, b = submit("A"), submit("B")
    question = next(squad.asked()).question.text
    assert handlers.matching(a, b, "", question.upper())[view.count] == "1–1 of 1"
    first = handlers.matching(a, b, "nonsense", "")
    assert (first[view.offset], first[view.count]) == (0, f"1–3 of {total}")
    assert not first[view.previous].interactive
    second = handlers.later(0, a, b, "", "")
    assert (second[view.offset], second[view.previous].interactive) == (3, True)
    assert second[view.questions] != first[view.questions]
    assert handlers.earlier(3, a, b, "", "")[view.questions] == first[view.questions]
    assert handlers.earlier(0, a, b, "", "")[view.offset] == 0
    last = handlers.later(10**9, a, b, "", "")
    assert last[view.count].endswith(f"–{total} of {total}")
    assert not last[view.next].interactive
    assert handlers.matching(a, None, "", "") == {view.offset: 0}


def test_deletion_asks_twice(handlers, view, services, submit, monkeypatch):
    monkeypatch.setattr(gr, "Info", lambda text, **more: None)
    a, b = submit("A"), submit("B")
    asked = handlers.delete(a, None)
    assert asked[view.sure] == a
    assert "again" in asked[view.delete].value
    assert handlers.delete(b, a)[view.sure] == b, "another one must be asked for anew"
    assert services.leaderboard.get(a)
    done = handlers.delete(a, a)
    assert done[view.picked] is None
    assert not done[view.chosen].visible
    assert handlers.table("small", True, None).count("data-pick") == 1
    for pair in ((a, a), (None, None)):
        with pytest.raises(gr.Error):
            handlers.delete(*pair)


def test_hostile_words_stay_words(handlers, view, services):
    wicked = "<img src=x onerror=alert(1)>"
    text = SMALL.read_text("utf-8").replace("Lighthouses", wicked)
    name = services.data_sets.add(text.encode(), "wicked.json")
    squad = services.data_sets.get(name)
    texts = {each.question.id: wicked for each in squad.asked()}
    ids = [
        services.leaderboard.submit(
            replace(Entry(wicked, wicked, who=wicked), device=wicked), squad, Predictions(texts)
        ).id
        for _ in range(2)
    ]
    told = picked(handlers, str(ids[0])) | handlers.compare(*ids)
    shown = [told[view.facts], told[view.summary], told[view.questions]]
    shown += [handlers.table(wicked, True, None)]
    shown += [picked(handlers, str(ids[0]))[view.report].value]
    assert all("<img" not in each for each in shown)
    assert all("&lt;img" in each for each in shown)
