"""Negation: put into the question, or taken out of it (table 2, "negation")."""

import re
from random import Random

from studio.reader.negatives.case import Case, Edit, asked_anew
from studio.reader.negatives.lexicon import AUXILIARIES
from studio.reader.negatives.text import replaced

_NEGATED = {short: long for long, short in AUXILIARIES.items()}
_SHORT = re.compile(rf"\b({'|'.join(_NEGATED)})\b", re.I)
_WORD = re.compile(r"\b(?:not|never) (?=[a-z])", re.I)
_AUXILIARY = re.compile(rf"\b({'|'.join(AUXILIARIES)})\b(?!n't| not\b| never\b)", re.I)
_SUBJECT = re.compile(r"(who|what|which(?: \w+)?) (?=\w+ed\b)", re.I)
_PREDICATE = re.compile(r" (?=\w+(?:ed|ing|en|able)\b|used |made |known |found |born |built )")


def negation(case: Case, random: Random) -> Edit | None:
    """ "did" becomes "didn't" or "did not", "who invented" "who never invented", and back."""
    text = case.text
    short = _SHORT.search(text)
    if short:
        return asked_anew(case, replaced(text, *short.span(), _NEGATED[short[0].lower()]))
    if _WORD.search(text):
        return asked_anew(case, _WORD.sub("", text, count=1))
    auxiliary = _AUXILIARY.search(text)
    if auxiliary and auxiliary.start() == 0:
        # Whether it is or whether it is not, the same passage tells.
        return None
    if auxiliary:
        return asked_anew(case, _negated(text, auxiliary, random))
    subject = _SUBJECT.match(text)
    if subject:
        return asked_anew(case, replaced(text, subject.end(), subject.end(), "never "))
    return None


def _negated(text: str, auxiliary: re.Match[str], random: Random) -> str:
    start, end = auxiliary.span()
    if _PREDICATE.match(text, end):
        return replaced(text, end, end, random.choice((" not", " never", " not")))
    return replaced(text, start, end, AUXILIARIES[auxiliary[0].lower()])
