"""Edits that leave a question as answerable as it was, so that an edit does not give it away.

Without them a reader learns that an odd question has no answer, and need not look at the passage.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from random import Random
from types import MappingProxyType

from studio.errors import RequestError
from studio.reader.negatives.case import Case, Edit, Rule, asked_anew
from studio.reader.negatives.lexicon import TURNS
from studio.reader.negatives.make import MARK, cases
from studio.reader.negatives.rules.passage import another_told, shared_spans, swapped
from studio.reader.negatives.text import WORD, as_was, content_words, replaced
from studio.reader.squad import Article, Paragraph, Question, Squad

_FRONTS = ("According to the text, ", "According to the passage, ", "In the text, ")
_PHRASE = re.compile(r"\b(?:in|at|by|for|with|from|during|after|before|on) [^,.;()]{4,40}(?=[,.;])")


def plain_form(text: str, random: Random) -> str:
    """The question in another outer form: small letters, no mark, another word that says the same.

    These are put on questions with and without answers alike.
    """
    match random.randrange(4):
        case 0:
            return text.lower()
        case 1:
            return text.rstrip("? ")
        case 2:
            return re.sub(r"(?<=\w )the (?=[a-z])", "", text, count=1)
        case _:
            front = random.choice(_FRONTS)
            return front + text[:1].lower() + text[1:] if text[:2] in ("Wh", "Ho", "In") else text


def other_words(case: Case, random: Random) -> Edit | None:
    """A word of the question becomes another that says the same."""
    found = [word for word in WORD.finditer(case.text) if word.group().lower() in TURNS]
    if not found:
        return None
    word = random.choice(found)
    other = as_was(random.choice(TURNS[word.group().lower()]), word.group())
    return asked_anew(case, replaced(case.text, word.start(), word.end(), other))


def true_condition(case: Case, random: Random) -> Edit | None:
    """A phrase of the answer's own sentence narrows the question, and truly so."""
    start, end = case.sentence()
    asked = content_words(case.text)
    phrases = [
        found.group()
        for found in _PHRASE.finditer(case.context[start:end])
        if not case.is_answer(found.group()) and not content_words(found.group()) & asked
        if len(found.group().split()) <= 6
    ]
    if not phrases or re.search(r"\b(in|at|by|for|with|from|to|of|on)\W*$", case.text):
        return None
    phrase = random.choice(phrases)
    bare = case.text.rstrip("? ")
    return asked_anew(case, f"{bare} {phrase}{case.text[len(bare) :].strip()}")


def both_swapped(case: Case, random: Random) -> Edit | None:
    """A name, date or number is another in the question and in its passage alike."""
    for span in shared_spans(case, random):
        other = another_told(case, span, random)
        if not other or span.text not in case.text:
            continue
        context, answer = swapped(case.context, case.answer, span.text, other)
        question = case.text.replace(span.text, other)
        if context[answer.start : answer.end] == answer.text:
            return Edit(question, context, answer)
    return None


HARMLESS: Mapping[str, Rule] = MappingProxyType(
    {"words": other_words, "true": true_condition, "both": both_swapped}
)
"""Edits of answerable questions, by the name that stands in the ids of what they make."""


def with_harmless(squad: Squad, share: float = 0.3, seed: int = 0) -> Squad:
    """The set with about this share of its answerable questions edited, and of all in plain form.

    Answers stay what they are; an edited passage is one of its own. Raises RequestError for a
    share that is not from 0 to 1.
    """
    if not 0 <= share <= 1:
        raise RequestError(f"The share of edited questions is {share}; choose 0 to 1.", "share")
    edits = {}
    for at, paragraph, case in cases(squad):
        random = Random(f"{seed} {case.question.id} harmless")
        if random.random() < share:
            made = _edited(case, random)
            if made:
                edits[at, paragraph, case.question.id] = made
    articles = tuple(
        _article(a, article, edits, share / 2, seed) for a, article in enumerate(squad.articles)
    )
    return replace(squad, articles=articles, sha256="")


def _edited(case: Case, random: Random) -> tuple[Question, str] | None:
    names = list(HARMLESS)
    random.shuffle(names)
    for name in names:
        edit = HARMLESS[name](case, random)
        if edit is None or edit.plausible is None:
            continue
        answers = case.question.answers if edit.context == case.context else (edit.plausible,)
        question = Question(f"{case.question.id}{MARK}{name}", edit.question, answers)
        return question, edit.context
    return None


def _article(
    a: int,
    article: Article,
    edits: Mapping[tuple[int, int, str], tuple[Question, str]],
    plain: float,
    seed: int,
) -> Article:
    paragraphs: list[Paragraph] = []
    moved: list[Paragraph] = []
    for p, paragraph in enumerate(article.paragraphs):
        questions = []
        for question in paragraph.questions:
            new, context = edits.get((a, p, question.id), (question, paragraph.context))
            random = Random(f"{seed} {question.id} plain")
            if random.random() < plain:
                new = replace(new, text=plain_form(new.text, random))
            if context == paragraph.context:
                questions.append(new)
            else:
                moved.append(Paragraph(context, (new,)))
        paragraphs.append(replace(paragraph, questions=tuple(questions)))
    return replace(article, paragraphs=tuple(paragraphs + moved))
