"""Impossible condition: a phrase of elsewhere narrows the question (table 2)."""

import re
from random import Random

from studio.reader.negatives.case import Case, Edit, asked_anew
from studio.reader.negatives.spans import spans
from studio.reader.negatives.text import content_words, replaced

_END = re.compile(r"[\s?.>]*$")
_OWN = re.compile(
    r"\b(in|at|by|for|with|from|during|after|before|under|on) ([^?,]{4,60})\s*\?*\s*$"
)
_DANGLING = re.compile(r"\b(?:in|at|by|for|with|from|to|of|on|about|as|than|like|into)\s*\?*\s*$")


_TELLING = frozenset(("during", "after", "before", "within", "among", "through"))
_OWNER = re.compile(r"\b(his|her|their|its|this|that|these|those|which|who)\b")


def condition(case: Case, random: Random) -> Edit | None:
    """A phrase with a preposition is put at the end, or in place of the one that stands there.

    Three in four are of other paragraphs of the article; the rest of this one, but far from the
    answer.
    """
    if _DANGLING.search(case.text):
        return None
    own = _OWN.search(case.text)
    start, end = case.sentence()
    near = content_words(case.context[start:end]) | content_words(case.text)
    here: list[str] = []
    away: list[str] = []
    for _, phrase in case.around.phrases:
        if content_words(phrase) & near or not _says_something(phrase):
            continue
        if own and not phrase.startswith(own[1] + " "):
            continue
        (here if phrase in case.context else away).append(phrase)
    pool = here if here and random.random() < 0.25 else away
    if not pool:
        return None
    phrase = random.choice(pool)
    mark = "?" if "?" in case.text[-3:] else ""
    if own and not case.is_answer(own[2]):
        return asked_anew(case, replaced(case.text, own.start(), len(case.text), phrase) + mark)
    return asked_anew(case, _END.sub("", case.text) + f" {phrase}{mark}")


def _says_something(phrase: str) -> bool:
    """Whether a phrase narrows a question by itself: it names something, or a time or a place."""
    if _OWNER.search(phrase) or not content_words(phrase):
        return False
    return bool(spans(phrase)) or phrase.partition(" ")[0] in _TELLING
