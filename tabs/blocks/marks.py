"""A passage with its answers marked, so that people see where they stand."""

import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from studio.reader.faults import cleaned
from studio.reader.squad import Answer

GOLD, PLAUSIBLE, MISPLACED = "gold", "plausible", "misplaced"
"""What a mark may be, the stronger first; of marks on one place the strongest is seen."""
_STRENGTH = (GOLD, PLAUSIBLE, MISPLACED)
_MOST = 20_000
"""Characters of a passage that are shown."""
_BEFORE = 2_000
"""Characters before the first mark, where a passage is longer than that."""


@dataclass(frozen=True, slots=True)
class Mark:
    """Characters of a passage from start up to end; question: its number, for who picks one."""

    start: int
    end: int
    kind: str = GOLD
    question: int = 0


def plain(text: str) -> str:
    """Text of a file as HTML; what is no character becomes a mark that no place moves by."""
    return html.escape(cleaned(text))


def marks(
    answers: Iterable[Answer], context: str, kind: str = GOLD, question: int = 0
) -> list[Mark]:
    """Where answers stand; those that stand elsewhere than the file says are MISPLACED."""
    found: dict[Mark, None] = {}
    for answer in answers:
        there = answer.start >= 0 and context.startswith(answer.text, answer.start)
        mark = Mark(answer.start, answer.end, kind if there else MISPLACED, question)
        found[mark] = None
    return list(found)


def marked(context: str, found: Sequence[Mark], most: int = _MOST) -> str:
    """The passage as HTML, cut around the first of these marks where it is too long."""
    first, last = 0, len(context)
    if last > most:
        begin = next((mark.start for mark in found if mark.start >= 0), 0)
        first = max(0, min(begin - _BEFORE, last - most))
        last = first + most
    inside = [
        mark for mark in found if max(first, mark.start) < min(last, mark.end) and mark.start >= 0
    ]
    edges = {first, last}
    for mark in inside:
        edges |= {max(first, mark.start), min(last, mark.end)}
    parts = [
        _part(context[start:end], [m for m in inside if m.start <= start and end <= m.end])
        for start, end in pairwise(sorted(edges))
    ]
    return ("… " if first else "") + "".join(parts) + (" …" if last < len(context) else "")


def _part(text: str, over: Sequence[Mark]) -> str:
    if not over:
        return plain(text)
    kind = min((mark.kind for mark in over), key=_STRENGTH.index)
    numbers = " ".join(map(str, sorted({mark.question for mark in over})))
    return f'<mark class="{kind}" data-of="{numbers}">{plain(text)}</mark>'
