"""Two submissions question by question: who got which right, and what each of them said."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from studio.reader.breakdown import paired
from studio.reader.metrics import Scored, Scores
from studio.reader.squad import Asked, Squad


class Right(StrEnum):
    """Whose answer is an exact match, as people read it."""

    BOTH = "both"
    ONLY_A = "only A"
    ONLY_B = "only B"
    NEITHER = "neither"


@dataclass(frozen=True, slots=True)
class Compared:
    """A question in its passage with what A and B made of it."""

    asked: Asked
    a: Scored
    b: Scored

    @property
    def right(self) -> Right:
        """Who is right; nearly right, by f1, is not."""
        return {
            (True, True): Right.BOTH,
            (True, False): Right.ONLY_A,
            (False, True): Right.ONLY_B,
            (False, False): Right.NEITHER,
        }[self.a.exact == 1, self.b.exact == 1]

    @property
    def golds(self) -> tuple[str, ...]:
        """The different gold answers as the file has them; none where there is no answer."""
        return tuple(dict.fromkeys(answer.text for answer in self.asked.question.answers))


def compare(squad: Squad, a: Scores, b: Scores) -> tuple[Compared, ...]:
    """All questions in the order of the data set; DataError when scores are of another one."""
    pairs = zip(paired(squad, a), paired(squad, b), strict=True)
    return tuple(Compared(asked, mine, theirs) for (asked, mine), (_, theirs) in pairs)


def counts(compared: Iterable[Compared]) -> dict[Right, int]:
    """How many questions each of the four is right on."""
    found = dict.fromkeys(Right, 0)
    for each in compared:
        found[each.right] += 1
    return found


def only(
    compared: Iterable[Compared], right: Right | None = None, search: str = ""
) -> tuple[Compared, ...]:
    """Those that these are right on, and whose question, passage or answers hold the text."""
    wanted = search.casefold().strip()
    return tuple(
        each
        for each in compared
        if (right is None or each.right is right) and (not wanted or wanted in _text(each))
    )


def _text(each: Compared) -> str:
    asked = each.asked
    parts = (asked.title, asked.question.text, asked.context, each.a.shown, each.b.shown)
    return "\n".join(parts).casefold()
