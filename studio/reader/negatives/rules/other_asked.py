"""Another thing asked: of the same fact something that its sentence does not tell."""

import re
from random import Random

from studio.reader.negatives.case import Case, Edit, asked_anew
from studio.reader.negatives.spans import DATES, NAMES, NUMBERS, Sort, spans
from studio.reader.negatives.text import as_was, replaced

_REASON = re.compile(
    r"\b(because|since|due to|in order|so that|as a result|therefore|thus|owing|caused?|to \w+)\b"
)
_WAY = re.compile(r"\b(by|through|using|via|with|how)\b")
_KINDS: list[tuple[re.Pattern[str], tuple[str, ...]]] = [
    (re.compile(r"^(in )?(what|which) year\b", re.I), ("{on}what day", "why", "where", "how")),
    (re.compile(r"^when\b", re.I), ("why", "where", "how")),
    (re.compile(r"^where\b", re.I), ("why", "when", "how")),
    (re.compile(r"^why\b", re.I), ("when", "where")),
    (
        re.compile(r"^how (?=(did|does|do|was|were|is|are|can)\b)", re.I),
        ("when ", "where ", "why "),
    ),
]


def other_asked(case: Case, random: Random) -> Edit | None:
    """ "When" becomes "why", "where" or "how", and so on, where the sentence tells none such."""
    start, end = case.sentence()
    sentence = case.context[start:end]
    for pattern, others in _KINDS:
        found = pattern.match(case.text)
        if not found:
            continue
        good = [each for each in others if not _may_tell(sentence, each)]
        if not good:
            return None
        other = random.choice(good).format(on="on " if found[0][:3].lower() == "in " else "")
        return asked_anew(case, replaced(case.text, *found.span(), as_was(other, found[0])))
    return None


def _may_tell(sentence: str, asked: str) -> bool:
    """Whether a sentence may say why, when, where or how."""
    sorts = {span.sort for span in spans(sentence)}
    match asked.split()[-1]:
        case "why":
            return bool(_REASON.search(sentence))
        case "how":
            return bool(_WAY.search(sentence) or sorts & NUMBERS)
        case "where":
            return Sort.PLACE in sorts or bool(
                sorts & NAMES and re.search(r"\b(in|at|to|from)\b", sentence)
            )
        case "when":
            return bool(
                sorts & (DATES | NUMBERS) or re.search(r"\b(when|after|before|during)\b", sentence)
            )
        case _:
            return bool(sorts & (DATES - {Sort.YEAR}))
