import numpy as np
import pytest

from studio.reader.squad import Answer, Article, Paragraph, Question, Squad, read_squad
from studio.reader.statistics import lengths, statistics

CONTEXT = "The Seine is a river."


def small():
    seine = Answer("The Seine", 0)
    questions = (
        Question("1", "Which river is it?", (seine, seine, Answer("Seine", 4))),
        Question("2", "How many are there?", is_impossible=True),
        Question("2", "which  RIVER is it?", (seine,)),
    )
    return Squad((Article("A", (Paragraph(CONTEXT, questions), Paragraph(CONTEXT))), Article("B")))


def test_everything_is_counted():
    found = statistics(small())
    assert (found.articles, found.paragraphs, found.questions) == (2, 2, 3)
    assert found.answerable == pytest.approx(2 / 3)
    assert {word: n for word, n in found.words.items() if n} == {"which": 2, "how many": 1}
    assert found.per_question == {0: 1, 1: 1, 3: 1}
    assert (found.repeated_questions, found.repeated_contexts, found.repeated_ids) == (1, 1, 1)
    assert (found.contexts.count, found.contexts.mean) == (2, 5.0)
    # Of the first question two distinct ones, of the last one.
    assert (found.answers.count, found.answers.least, found.answers.most) == (3, 1, 2)
    assert found.asked.median == 4.0


def test_a_histogram_holds_every_text_once():
    drawn = np.random.default_rng(1).integers(1, 300, 1000)
    found = lengths([" ".join(["word"] * n) for n in [*drawn, 100_000]])
    assert found.counts.sum() == found.count == 1001
    assert len(found.edges) == len(found.counts) + 1 <= 22
    assert (np.diff(found.edges) > 0).all()
    assert found.edges[0] == found.least == drawn.min()
    assert found.most == 100_000
    assert found.edges[-1] < 400
    inside = found.counts[0]
    assert inside == ((drawn >= found.edges[0]) & (drawn < found.edges[1])).sum()


@pytest.mark.parametrize("words", [[1], [3, 3, 3], [1, 2], [0, 0]])
def test_few_lengths_have_a_histogram_too(words):
    found = lengths([" ".join(["word"] * n) for n in words])
    assert found.counts.sum() == len(words)
    assert (found.least, found.most) == (min(words), max(words))


def test_an_empty_data_set_has_only_zeros():
    found = statistics(Squad(()))
    assert (found.questions, found.answerable, found.contexts.count) == (0, 0.0, 0)
    assert found.contexts.counts.sum() == 0
    assert set(found.words.values()) == {0}


def test_the_official_set_is_as_its_authors_say(squad_files):
    """35 articles, 5,928 questions with and 5,945 without an answer: Rajpurkar et al., 2018."""
    found = statistics(read_squad(squad_files / "dev-v2.0.json.gz"))
    assert (found.articles, found.paragraphs, found.questions) == (35, 1204, 11_873)
    assert found.answerable == pytest.approx(5928 / 11_873)
    assert found.per_question[0] == 5945
    assert found.repeated_ids == 0
    assert sum(found.words.values()) == found.questions
    assert max(found.words, key=found.words.__getitem__) == "what"
