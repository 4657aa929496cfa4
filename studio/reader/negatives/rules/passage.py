"""The passage edited instead of the question, so that an odd question is not what gives it away."""

from random import Random

from studio.reader.negatives.case import Case, Edit
from studio.reader.negatives.rules.dates import another_date
from studio.reader.negatives.rules.names import another_name
from studio.reader.negatives.rules.numbers import another_number
from studio.reader.negatives.spans import DATES, NAMES, Span, spans
from studio.reader.negatives.text import content_words, holds, normal, sentences
from studio.reader.squad import Answer

_LEAST_LEFT = 60
"""Characters that must be left of a passage when a sentence is taken out of it."""


def without(case: Case, random: Random) -> Edit | None:
    """The passage without the sentences that hold an answer, when no gold answer is left in it."""
    places = [(answer.start, answer.end) for answer in case.question.answers]
    kept = [
        (start, end)
        for start, end in sentences(case.context)
        if not any(a < end and b > start for a, b in places)
    ]
    context = " ".join(case.context[start:end] for start, end in kept)
    told = content_words(case.text) & content_words(context)
    if len(context) < _LEAST_LEFT or not told or holds(context, case.golds):
        return None
    return Edit(case.text, context, None)


def swap_told(case: Case, random: Random) -> Edit | None:
    """What the question and the answer's sentence both name is another in the whole passage."""
    for span in shared_spans(case, random):
        other = another_told(case, span, random)
        if other:
            context, answer = swapped(case.context, case.answer, span.text, other)
            if context[answer.start : answer.end] == answer.text:
                return Edit(case.text, context, answer)
    return None


def shared_spans(case: Case, random: Random) -> list[Span]:
    """Names, dates and numbers of the answer's sentence that the question has too, by lot."""
    start, end = case.sentence()
    asked = f" {normal(case.text)} "
    shared = [
        span
        for span in spans(case.context)
        if start <= span.start < end
        and f" {normal(span.text)} " in asked
        and not case.is_answer(span.text)
    ]
    random.shuffle(shared)
    return shared


def another_told(case: Case, span: Span, random: Random) -> str:
    """What may stand for a span in its passage; "" where parts of it would still be told."""
    if span.sort in NAMES:
        other = another_name(case, span, random)
    elif span.sort in DATES:
        other = another_date(case, span, random)
    else:
        other = another_number(case, span, random)
    # A name whose parts stand alone elsewhere would still be told.
    parts = [part for part in span.text.split() if len(part) > 3]
    rest = case.context.replace(span.text, "")
    return "" if any(part in rest for part in parts) else other


def swapped(context: str, answer: Answer, old: str, new: str) -> tuple[str, Answer]:
    """The context with every `old` as `new`, and where the answer then starts."""
    before = context[: answer.start].replace(old, new)
    return context.replace(old, new), Answer(answer.text, len(before))
