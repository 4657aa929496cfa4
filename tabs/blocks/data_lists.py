"""Lists of places in a data set: what was found, what is wrong, and what was mended."""

import html
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import TypeVar

from studio.reader.data_sets import DataSets
from studio.reader.faults import Fault, faults
from studio.reader.finding import Finder, Match
from studio.reader.repairs import Repair, repaired
from studio.reader.squad import Asked, Squad
from studio.reader.statistics import Statistics, statistics
from tabs.blocks.data_facts import title
from tabs.blocks.marks import plain

PAGE = 50
"""Lines at a time."""
_CUT = 160
"""Characters of a text in a line."""
Key = tuple[str, str]
"""Sum and name of a data set's file, for what is worked out once."""
_Made = TypeVar("_Made")


class Kind(StrEnum):
    """What a list shows."""

    NOTHING = ""
    SEARCH = "search"
    FAULTS = "faults"
    REPAIRS = "repairs"


_HEADS = {
    Kind.SEARCH: ("question", "answer", "article", "found in"),
    Kind.FAULTS: ("place", "fault", "what is wrong"),
    Kind.REPAIRS: ("place", "what was done"),
}


@dataclass(frozen=True)
class Sought:
    """What a search looks for; answerable: only questions that have answers, or that have none."""

    text: str = ""
    answerable: bool | None = None
    word: str | None = None


@dataclass(frozen=True)
class Row:
    """A line of a list; pick: the place that it leads to, "" where there is none."""

    cells: tuple[str, ...]
    pick: str = ""


@dataclass(frozen=True)
class Page:
    """One page of a list as HTML; first: number of its first line. shown: lines on it."""

    html: str
    first: int
    shown: int
    total: int


class Worked:
    """What is worked out of data sets, once for each."""

    def __init__(self, sets: DataSets):
        self._sets = sets
        self.statistics: Callable[[Key], Statistics] = self._once(statistics, 8)
        self.repaired: Callable[[Key], tuple[Squad, list[Repair]]] = self._once(repaired, 2)
        self._finder: Callable[[Key], Finder] = self._once(Finder, 2)
        self._faults: Callable[[Key], list[Fault]] = self._once(faults, 4)

    def _once(self, make: Callable[[Squad], _Made], kept: int) -> Callable[[Key], _Made]:
        return lru_cache(maxsize=kept)(lambda key: make(self._sets.get(key[1])))

    def found(self, key: Key, sought: Sought, first: int) -> Page:
        """Questions that match."""
        found = self._finder(key).find(sought.text, sought.answerable, sought.word, PAGE, first)
        said = "No question matches."
        if found.total:
            said = (
                "1 question matches." if found.total == 1 else f"{found.total:,} questions match."
            )
        return _page(said, Kind.SEARCH, [_hit(each) for each in found.matches], first, found.total)

    def wrong(self, key: Key, first: int) -> Page:
        """All faults."""
        found = self._faults(key)
        rows = [_fault(each) for each in found[first : first + PAGE]]
        return _page(_counted(found), Kind.FAULTS, rows, first, len(found))

    def mended(self, key: Key, copy: str, first: int) -> Page:
        """All that was done; copy: name of the repaired data set."""
        done = self.repaired(key)[1]
        rows = [_repair(each) for each in done[first : first + PAGE]]
        said = "There is nothing to repair, so no copy was written."
        if done:
            many = f"{len(done):,} repair{'s' * (len(done) != 1)}"
            said = f"{many}; the repaired copy is <b>{html.escape(copy)}</b>."
        return _page(said, Kind.REPAIRS, rows, first, len(done))


def _page(said: str, kind: Kind, rows: Sequence[Row], first: int, total: int) -> Page:
    return Page(_shown(said, _HEADS[kind], rows), first, len(rows), total)


def _counted(found: Sequence[Fault]) -> str:
    if not found:
        return "No fault was found."
    kinds = ", ".join(f"{n:,} × {kind}" for kind, n in Counter(f.kind for f in found).most_common())
    return f"{len(found):,} fault{'s' * (len(found) != 1)}: {kinds}."


def _hit(match: Match) -> Row:
    """A question that was found."""
    asked = match.asked
    return Row(
        (
            f'<span dir="auto">{_cut(asked.question.text)}</span>',
            f'<span dir="auto">{_answer(asked)}</span>',
            f'<span dir="auto">{plain(title(asked.title))}</span>',
            f"{match.where}",
        ),
        _place(asked.place),
    )


def _answer(asked: Asked) -> str:
    given = asked.question.answers
    return _cut(given[0].text) if given else "<em>no answer</em>"


def _fault(found: Fault) -> Row:
    """Something that is wrong in the file."""
    return Row(
        (f"<code>{plain(found.path)}</code>", plain(found.kind), plain(found.message)),
        _place(found.place),
    )


def _repair(done: Repair) -> Row:
    """Something that was mended; places of the repaired copy differ, so it leads nowhere."""
    return Row((f"<code>{plain(done.path)}</code>", plain(done.done)))


def _shown(sentence: str, head: Sequence[str], lines: Sequence[Row]) -> str:
    """A list of places under a sentence, which is HTML."""
    said = f'<p class="at-said">{sentence}</p>'
    if not lines:
        return said
    names = "".join(f'<th scope="col">{name}</th>' for name in head)
    body = "".join(
        (f'<tr tabindex="0" data-pick="{row.pick}">' if row.pick else "<tr>")
        + "".join(f"<td>{cell}</td>" for cell in row.cells)
        + "</tr>"
        for row in lines
    )
    return (
        f'{said}<div class="at-scroll at-list"><table class="at-table"><thead><tr>{names}</tr>'
        f"</thead><tbody>{body}</tbody></table></div>"
    )


def _place(place: Sequence[int]) -> str:
    return "/".join(map(str, place))


def _cut(text: str) -> str:
    return plain(text if len(text) <= _CUT else f"{text[:_CUT]}…")
