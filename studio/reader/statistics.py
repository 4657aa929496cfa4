"""What a data set is made of: how much, how long, and what is asked for."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from studio.reader.faults import same_question
from studio.reader.question_words import QUESTION_WORDS, question_word
from studio.reader.squad import Squad

_BINS = 20


@dataclass(frozen=True, eq=False)
class Lengths:
    """Lengths in words of many texts; counts[i] of them are from edges[i] up to edges[i + 1].

    The last bin holds its upper edge, too, and all that is longer than 99% of the texts.
    """

    count: int
    mean: float
    median: float
    least: int
    most: int
    edges: np.ndarray
    counts: np.ndarray


@dataclass(frozen=True, slots=True)
class Statistics:
    """Figures of a data set; answerable: share from 0 to 1 of its questions.

    answers: lengths of the distinct answers of each question. words: questions by question word.
    per_question: questions by how many answers they have. repeated_*: how many are there again.
    """

    articles: int
    paragraphs: int
    questions: int
    answerable: float
    contexts: Lengths
    asked: Lengths
    answers: Lengths
    words: dict[str, int]
    per_question: dict[int, int]
    repeated_questions: int
    repeated_contexts: int
    repeated_ids: int


def statistics(squad: Squad) -> Statistics:
    """The figures of a data set; an empty one has only zeros."""
    contexts = [p.context for article in squad.articles for p in article.paragraphs]
    questions = [asked.question for asked in squad.asked()]
    answers = [text for q in questions for text in {answer.text for answer in q.answers}]
    words = Counter(question_word(question.text) for question in questions)
    numbers = Counter(len(question.answers) for question in questions)
    answerable = sum(question.has_answer for question in questions)
    return Statistics(
        articles=len(squad.articles),
        paragraphs=len(contexts),
        questions=len(questions),
        answerable=answerable / len(questions) if questions else 0.0,
        contexts=lengths(contexts),
        asked=lengths([question.text for question in questions]),
        answers=lengths(answers),
        words={word: words[word] for word in QUESTION_WORDS},
        per_question=dict(sorted(numbers.items())),
        repeated_questions=_again(same_question(question.text) for question in questions),
        repeated_contexts=_again(contexts),
        repeated_ids=_again(question.id for question in questions),
    )


def lengths(texts: Sequence[str]) -> Lengths:
    """Lengths in words, which are what white space divides."""
    words = np.array([len(text.split()) for text in texts], dtype=np.int64)
    if not len(words):
        return Lengths(0, 0.0, 0.0, 0, 0, np.zeros(1), np.zeros(0, dtype=np.int64))
    least, most = int(words.min()), int(words.max())
    # One text of a million words must not make one bar of all others.
    shown = max(least, int(np.percentile(words, 99)))
    width = max(1, -(-(shown - least + 1) // _BINS))
    edges = np.arange(least, shown + width + 1, width)
    counts, _ = np.histogram(np.minimum(words, edges[-1]), edges)
    return Lengths(
        len(words), float(words.mean()), float(np.median(words)), least, most, edges, counts
    )


def _again(texts: Iterable[str]) -> int:
    """How many stand there after their like."""
    return sum(count - 1 for count in Counter(texts).values())
