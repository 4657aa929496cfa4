"""Names, years, months and numbers in a text, found by rules: what questions can be swapped on."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

from studio.reader.negatives.text import FUNCTION_WORDS, listed

MONTHS = listed(
    "January February March April May June July August September October November December"
)
DAYS = listed("Monday Tuesday Wednesday Thursday Friday Saturday Sunday")
NUMBER_WORDS = listed("""
    two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen
    seventeen eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety
""")


class Sort(StrEnum):
    """What a span is; only spans of one sort take each other's place."""

    YEAR = "year"
    CENTURY = "century"
    MONTH = "month"
    DAY = "day"
    NUMBER = "number"
    NUMBER_WORD = "number word"
    PLACE = "place"
    NAME = "name"
    SHORT = "short name"


NAMES = frozenset({Sort.PLACE, Sort.NAME, Sort.SHORT})
DATES = frozenset({Sort.YEAR, Sort.CENTURY, Sort.MONTH, Sort.DAY})
NUMBERS = frozenset({Sort.NUMBER, Sort.NUMBER_WORD})


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of a text and its sort."""

    text: str
    start: int
    sort: Sort

    @property
    def end(self) -> int:
        """The character after its last."""
        return self.start + len(self.text)


_YEAR = r"(?<![\w$£€.,])(?:1[0-9]|20)\d\d(?:s)?(?![\w%]|[.,]\d)"
_CENTURY = r"\b(?:\d{1,2}(?:st|nd|rd|th)) century\b"
_MONTH = rf"\b(?:{'|'.join(MONTHS)})\b"
_DAY = rf"\b(?:{'|'.join(DAYS)})\b"
_NUMBER = r"(?<![\w.,-])\d+(?:,\d{3})*(?:\.\d+)?(?![\w-]|[.,]\d)"
_NUMBER_WORD = rf"\b(?:{'|'.join(NUMBER_WORDS)})\b(?!-)"
_PART = r"[A-Z][^\W\d_]*(?:(?!['’]s\b)['’.-][^\W\d_]+)*"
_LINK = r"(?: (?:of the|of|the|de la|de|la|von|van|der|du|di|al|and the|&)(?= [A-Z]))?"
_NAME = rf"\b(?:(?:[A-Z]\.){{2,}}|{_PART}(?:{_LINK} {_PART})*)"
_BY_RULE = [
    (Sort.CENTURY, re.compile(_CENTURY)),
    (Sort.YEAR, re.compile(_YEAR)),
    (Sort.MONTH, re.compile(_MONTH)),
    (Sort.DAY, re.compile(_DAY)),
    (Sort.NUMBER, re.compile(_NUMBER)),
    (Sort.NUMBER_WORD, re.compile(_NUMBER_WORD, re.IGNORECASE)),
]
_A_NAME = re.compile(_NAME)
_STARTS_SENTENCE = re.compile(r"(?:^|[.!?:;\"“”(\[]\s*|\n\s*|--? )$")
_BEFORE_PLACE = re.compile(
    r"\b(?:in|near|throughout|across|outside|inside)(?: the| nearby)? $", re.I
)
_NO_NAME = frozenset(
    {"i", "i'm", "i've", "i'd", "i'll", "ok", "edit", "yes", "no", "mr", "mrs", "dr"}
)


@lru_cache(maxsize=8192)
def spans(text: str) -> tuple[Span, ...]:
    """All spans of a text, in their order; none overlaps another.

    Capitalised words that start a sentence count only when the text has them elsewhere too, or
    when more capitalised words follow.
    """
    found: list[Span] = []
    taken: set[int] = set()
    for sort, pattern in _BY_RULE:
        for match in pattern.finditer(text):
            if taken.isdisjoint(range(*match.span())):
                found.append(Span(match.group(), match.start(), sort))
                taken.update(range(*match.span()))
    found += [span for span in _names(text) if taken.isdisjoint(range(span.start, span.end))]
    return tuple(sorted(found, key=lambda span: span.start))


def _names(text: str) -> Iterator[Span]:
    for match in _A_NAME.finditer(text):
        name, start = match.group(), match.start()
        if _STARTS_SENTENCE.search(text[:start]):
            head, _, rest = name.partition(" ")
            if head.lower() in FUNCTION_WORDS or _is_common(head, bool(rest), text):
                name, start = rest, start + len(head) + 1
        while name and name.split(" ")[0].lower() in FUNCTION_WORDS:
            start += len(name.split(" ")[0]) + 1
            name = name.partition(" ")[2]
        if len(name) < 2 or name.lower() in _NO_NAME:
            continue
        yield Span(name, start, _sort_of_name(text, name, start))


def _is_common(word: str, goes_on: bool, text: str) -> bool:
    """Whether a word at the start of a sentence is one that is usually written small."""
    if re.search(rf"\b{re.escape(word.lower())}\b", text):
        return True
    return not goes_on and not re.search(rf"(?<=[a-z,] ){re.escape(word)}\b", text)


def _sort_of_name(text: str, name: str, start: int) -> Sort:
    if name.isupper() and " " not in name and len(name) <= 5:
        return Sort.SHORT
    return Sort.PLACE if _BEFORE_PLACE.search(text[max(0, start - 24) : start]) else Sort.NAME
