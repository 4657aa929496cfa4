"""Passages of a size that trains fast: long ones cut at sentences, single sentences joined."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from random import Random

from studio.reader.negatives.text import sentences
from studio.reader.squad import Answer, Article, Paragraph, Question


def cut(article: Article, most: int, share: float, random: Random) -> Article:
    """The article with this share of its paragraphs cut into stretches of about `most` characters.

    A question goes to the stretch that holds its answers; it is left out where none holds one.
    """
    paragraphs: list[Paragraph] = []
    for paragraph in article.paragraphs:
        if random.random() < share and len(paragraph.context) > 1.4 * most:
            paragraphs += _stretches(paragraph, most)
        else:
            paragraphs.append(paragraph)
    return replace(article, paragraphs=tuple(paragraphs))


def _stretches(paragraph: Paragraph, most: int) -> Iterator[Paragraph]:
    cuts = [0]
    for start, end in sentences(paragraph.context):
        if end - cuts[-1] > most and start > cuts[-1]:
            cuts.append(start)
    cuts.append(len(paragraph.context))
    left = list(paragraph.questions)
    for start, end in pairwise(cuts):
        context = paragraph.context[start:end].rstrip()
        here = [(q, _within(q, start, start + len(context))) for q in left]
        yield Paragraph(context, tuple(found for _, found in here if found))
        left = [q for q, found in here if not found]


def _within(question: Question, start: int, end: int) -> Question | None:
    answers = tuple(
        Answer(answer.text, answer.start - start)
        for answer in question.answers
        if start <= answer.start and answer.end <= end
    )
    return replace(question, answers=answers) if answers else None


def joined(articles: list[Article], sentences: int, questions: int, random: Random) -> Article:
    """Single-sentence articles as one, with passages of several and so many questions of each."""
    order = [paragraph for article in articles for paragraph in article.paragraphs]
    random.shuffle(order)
    paragraphs = []
    for first in range(0, len(order), sentences):
        context, asked = "", []
        for one in order[first : first + sentences]:
            place = len(context)
            chosen = random.sample(one.questions, min(questions, len(one.questions)))
            asked += [_moved(question, place) for question in chosen]
            context += one.context.strip() + " "
        paragraphs.append(Paragraph(context.rstrip(), tuple(asked)))
    return Article("QAMR", tuple(paragraphs))


def _moved(question: Question, by: int) -> Question:
    answers = tuple(Answer(answer.text, answer.start + by) for answer in question.answers)
    return replace(question, answers=answers)
