"""The Data sets panel: figures, paragraphs, search, faults and repairs of real files."""

import json
from pathlib import Path

import gradio as gr
import pytest

from studio.reader.faults import faults
from tabs.blocks import data_lists, data_view
from tabs.blocks.data_view import DataHandlers

SMALL = Path(__file__).resolve().parents[1] / "data" / "small-v2.0.json"
NAME = "small-v2.0"


def broken() -> dict:
    """A set of one passage in which every question but the first has something wrong."""

    def question(number: int, text: str, start: int, **more) -> dict:
        answers = [{"text": text, "answer_start": start}]
        return {"id": str(number), "question": f"Question {number}?", "answers": answers} | more

    context = "The keeper lit the lamp at dusk, and the lamp burned until dawn."
    qas = [
        question(0, "keeper", 4),
        question(1, "lamp", 4),
        question(2, "dusk", 1000),
        question(0, "dawn", context.index("dawn"), question="When did it go out?"),
        question(4, "nowhere at all", 0),
    ]
    return {
        "version": "v2.0",
        "data": [{"title": "Keepers", "paragraphs": [{"context": context, "qas": qas}]}],
    }


@pytest.fixture(scope="module")
def view() -> data_view.DataView:
    with gr.Blocks(analytics_enabled=False):
        return data_view.build()


@pytest.fixture
def sets(services):
    services.data_sets.add(SMALL.read_bytes(), f"{NAME}.json")
    return services.data_sets


@pytest.fixture
def handlers(services, sets, view) -> DataHandlers:
    return DataHandlers(services, view)


def page(view: data_view.DataView, **given) -> dict:
    """What the page sends: these values, and those that it begins with."""
    start = {each: each.value for each in view.inputs} | {view.data_set: NAME}
    return start | {getattr(view, name): value for name, value in given.items()}


def last(parts) -> dict:
    """The last word on each control."""
    told: dict = {}
    for part in parts:
        told |= part
    return told


class Pressed:
    """A line of a list that was pressed."""

    def __init__(self, pick: object):
        self.pick = pick


def test_without_a_data_set_it_says_where_to_get_one(services, view):
    handlers = DataHandlers(services, view)
    told = last(handlers.lists(page(view, data_set=None)))
    assert "Look into a data set" in told[view.figures]
    assert not told[view.delete].visible
    assert not told[view.browse].visible
    with pytest.raises(gr.Error, match="Choose a data set first"):
        handlers.check(page(view, data_set=None))


def test_the_first_data_set_opens_by_itself_and_a_chosen_one_stays(handlers, view, sets):
    told = last(handlers.lists(page(view, data_set=None)))
    squad = sets.get(NAME)
    total = sum(1 for _ in squad.asked())
    assert told[view.data_set].value == NAME
    assert f"<b>{total:,}</b><span>questions" in told[view.figures]
    assert told[view.plots].count("<figure") == 5
    assert [title for title, _ in told[view.article].choices] == [
        each.title.replace("_", " ") for each in squad.articles
    ]
    assert told[view.place] == (0, 0)
    assert f'href="data_sets/{NAME}"' in told[view.file]
    assert list(last(handlers.lists(page(view)))) == [view.data_set]


def test_a_passage_with_answers_and_plausible_ones_marked(handlers, view, sets):
    squad = sets.get(NAME)
    place = next(e.place for e in squad.asked() if e.question.plausible)
    told = handlers.pick(page(view), Pressed("/".join(map(str, place))))
    shown = told[view.passage]
    article = squad.articles[place[0]]
    assert told[view.place] == place[:2]
    assert told[view.article] == place[0]
    assert '<mark class="gold"' in shown
    assert '<mark class="plausible"' in shown
    assert f'data-question="{place[2]}" class="picked" aria-pressed="true"' in shown
    assert shown.count("data-question=") == len(article.paragraphs[place[1]].questions)
    assert shown.count("answerable</span>") + shown.count("no answer</span>") == len(
        article.paragraphs[place[1]].questions
    )


@pytest.mark.parametrize("pick", ["", "99/0", "0/99/1", "x/y", None, "-1/0", "9" * 500])
def test_a_place_that_is_not_there_shows_nothing(handlers, view, pick):
    assert not handlers.pick(page(view), Pressed(pick))[view.browse].visible


def test_paragraphs_are_turned_through_all_articles(handlers, view, sets):
    squad = sets.get(NAME)
    places = [(a, p) for a, each in enumerate(squad.articles) for p in range(len(each.paragraphs))]
    seen = [(0, 0)]
    for _ in places[1:]:
        told = handlers.on(page(view, place=seen[-1]))
        seen.append(told[view.place])
    assert seen == places
    assert not told[view.on].interactive
    assert handlers.on(page(view, place=seen[-1]))[view.place] == places[-1]
    assert handlers.back(page(view, place=seen[-1]))[view.place] == places[-2]
    assert not handlers.back(page(view, place=(0, 0)))[view.back].interactive
    assert handlers.article(page(view, article=1))[view.place] == (1, 0)


def test_an_article_beyond_the_list_can_still_be_shown(handlers, view, monkeypatch):
    monkeypatch.setattr(data_view, "ARTICLES", 1)
    told = handlers.pick(page(view), Pressed("1/0"))
    assert [value for _, value in told[view.article].choices] == [0, 1]
    assert told[view.article].value == 1


def test_search_with_its_filters(handlers, view, sets):
    squad = sets.get(NAME)
    without = [each for each in squad.asked() if not each.question.has_answer]
    question = next(squad.asked()).question.text
    told = handlers.search(page(view, search=question.upper()))
    assert "1 question matches." in told[view.rows]
    assert 'data-pick="0/0/0"' in told[view.rows]
    assert not told[view.turn].visible
    told = handlers.search(page(view, answerable="no"))
    assert f"{len(without):,} questions match." in told[view.rows]
    assert "No question matches" in handlers.search(page(view, search="xyzzy"))[view.rows]
    assert "<em>no answer</em>" in told[view.rows]
    assert told[view.listing] == ("search", "")
    nothing = handlers.search(page(view))
    assert not nothing[view.found].visible
    why = handlers.search(page(view, word="why"))[view.rows]
    expected = [e for e in squad.asked() if "why" in e.question.text.lower()]
    assert why.count("data-pick") == len(expected)


def test_never_more_than_one_page_of_a_list(handlers, view, monkeypatch):
    for module in (data_lists, data_view):
        monkeypatch.setattr(module, "PAGE", 2)
    first = handlers.search(page(view, answerable="yes"))
    assert first[view.rows].count("data-pick") == 2
    assert first[view.turn].visible
    assert not first[view.previous].interactive
    second = handlers.later(page(view, answerable="yes", listing=("search", "")))
    assert second[view.count].startswith("3–4 of ")
    assert second[view.rows] != first[view.rows]
    again = handlers.earlier(page(view, answerable="yes", listing=("search", ""), offset=2))
    assert again[view.rows] == first[view.rows]


def test_faults_with_their_places_and_a_repaired_copy(handlers, view, sets):
    assert "No fault was found" in handlers.check(page(view))[view.rows]
    nothing = handlers.repair(page(view))
    assert "There is nothing to repair" in nothing[view.rows]
    assert sets.names() == [NAME]
    name = sets.add(json.dumps(broken()).encode(), "broken.json")
    known = faults(sets.get(name))
    told = handlers.check(page(view, data_set=name))
    assert f"{len(known)} faults: " in told[view.rows]
    for each in known:
        assert f"<code>{each.path}</code>" in told[view.rows]
    shown = handlers.pick(page(view, data_set=name), Pressed("0/0/1"))[view.passage]
    assert '<mark class="misplaced"' in shown
    done = handlers.repair(page(view, data_set=name))
    assert done[view.data_set].value == name
    assert done[view.data_set].choices == [(e, e) for e in sorted([NAME, name, "broken repaired"])]
    assert "the repaired copy is <b>broken repaired</b>" in done[view.rows]
    assert faults(sets.get("broken repaired")) == []
    assert done[view.listing] == ("repairs", "broken repaired")
    handlers.repair(page(view, data_set=name))
    assert sets.names() == sorted([NAME, name, "broken repaired"]), "the same copy is kept once"


def test_a_file_is_added_and_opened(handlers, view, sets, tmp_path):
    file = tmp_path / "own.json"
    file.write_text(json.dumps(broken()))
    told = last(handlers.add(str(file)))
    assert told[view.data_set].value == "own"
    assert "Keepers" in told[view.where]
    file.write_text("{}")
    with pytest.raises(gr.Error, match=r"own\.json is not SQuAD"):
        last(handlers.add(str(file)))


def test_a_file_that_cannot_be_read_says_why(handlers, view, settings):
    (settings.data_dir / "data_sets" / "bad.json").write_text('{"data": 7}')
    told = last(handlers.choose("bad"))
    assert "bad is not SQuAD" in told[view.figures]
    assert not told[view.browse].visible
    assert told[view.delete].visible, "it must be possible to get rid of it"


def test_a_set_without_paragraphs(handlers, view, sets):
    name = sets.add(b'{"version": "v2.0", "data": []}', "empty.json")
    told = last(handlers.choose(name))
    assert "<b>0</b><span>questions" in told[view.figures]
    assert not told[view.browse].visible


def test_deletion_asks_twice(handlers, view, sets, monkeypatch):
    monkeypatch.setattr(gr, "Info", lambda text, **more: None)
    asked = last(handlers.delete(page(view)))
    assert asked[view.sure] == NAME
    assert sets.names() == [NAME]
    other = sets.add(json.dumps(broken()).encode(), "other.json")
    assert last(handlers.delete(page(view, data_set=other, sure=NAME)))[view.sure] == other
    told = last(handlers.delete(page(view, sure=NAME)))
    assert sets.names() == [other]
    assert told[view.data_set].value == other


def test_hostile_and_impossible_text_stays_text(handlers, view, sets):
    wicked = "<script>alert(1)</script> \ud800\x00"
    data = broken()
    paragraph = data["data"][0]["paragraphs"][0]
    paragraph["context"] = wicked * 3
    data["data"][0]["title"] = wicked
    for question in paragraph["qas"]:
        question["question"] = wicked
        question["answers"] = [{"text": wicked, "answer_start": 0}]
    name = sets.add(json.dumps(data).encode(), "wicked.json")
    told = last(handlers.choose(name))
    shown = [told[view.passage], told[view.where]]
    shown += [handlers.search(page(view, data_set=name, search="alert"))[view.rows]]
    shown += [handlers.check(page(view, data_set=name))[view.rows]]
    for each in shown:
        assert "<script" not in each
        assert "alert(1)" in each
        each.encode()  # half of a pair could not be sent
