import time

import pytest

from studio.reader.finding import Finder, FoundIn
from studio.reader.squad import Answer, Article, Paragraph, Question, Squad, read_squad

CONTEXT = "The Seine flows by Paris and Rouen. STRASSE and Straße."


@pytest.fixture(scope="module")
def finder():
    questions = (
        Question("1", "Which city is first?", (Answer("Paris", 19),)),
        Question("2", "Where is Paris?", is_impossible=True, plausible=(Answer("Rouen", 29),)),
        Question("3", "Who flows?", (Answer("Seine", 4), Answer("The Seine", 0))),
    )
    other = (Question("4", "What is PARIS?", (Answer("A city", 0),)),)
    articles = (
        Article("A", (Paragraph("Empty."), Paragraph(CONTEXT, questions))),
        Article("B", (Paragraph("A city", other),)),
    )
    return Finder(Squad(articles))


def ids(found):
    return [match.asked.question.id for match in found.matches]


def test_questions_come_before_answers_and_contexts(finder):
    found = finder.find("paris")
    assert ids(found) == ["2", "4", "1", "3"]
    assert [match.where for match in found.matches] == [
        FoundIn.QUESTION,
        FoundIn.QUESTION,
        FoundIn.ANSWER,
        FoundIn.CONTEXT,
    ]
    assert found.matches[0].asked.place == (0, 1, 1)


def test_plausible_answers_are_searched(finder):
    assert finder.find(" ROUEN ").matches[0].where is FoundIn.ANSWER


@pytest.mark.parametrize("text", ["straße", "strasse"])
def test_capital_letters_do_not_matter(finder, text):
    assert finder.find(text).total == 3


def test_without_a_text_all_are_found_in_order(finder):
    found = finder.find()
    assert ids(found) == ["1", "2", "3", "4"]
    assert {match.where for match in found.matches} == {FoundIn.ANYWHERE}


def test_what_is_found_may_be_narrowed(finder):
    assert ids(finder.find(answerable=False)) == ["2"]
    assert ids(finder.find("paris", answerable=True)) == ["4", "1", "3"]
    assert ids(finder.find("paris", word="who")) == ["3"]
    assert finder.find("nowhere").total == 0


def test_a_page_tells_the_total(finder):
    found = finder.find("paris", limit=2, offset=1)
    assert (ids(found), found.total) == (["4", "1"], 4)
    assert finder.find("paris", limit=2, offset=9).matches == ()


@pytest.mark.alone
def test_a_training_set_is_searched_in_an_instant(squad_files):
    once = read_squad(squad_files / "dev-v2.0.json.gz").articles
    finder = Finder(Squad(once * 13))
    begun = time.process_time()
    found = finder.find("normandy")
    assert time.process_time() - begun < 1
    assert found.total > 13 * 20
    assert finder.find().total == 13 * 11_873
