"""Stretches of a text that are read and searched one by one."""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from studio.reader.layout import Block

USUAL = 1200
"""Characters up to which neighbours are joined: with a question they fit into one window."""
SHORT = 300
"""Characters under which a paragraph says too little to be found by its words."""
LONGEST = 6000
"""Characters beyond which a paragraph is cut: one without end would hide where an answer stands."""

_LINE = re.compile(r"[^\r\n\f\u2028\u2029]*(?:\r\n|[\r\n\f\u2028\u2029]|\Z)")
_CUTS = tuple(
    re.compile(pattern)
    for pattern in (
        r"[.!?…:;][\"'”’)\]]*[^\S\r\n]*[\r\n]+",  # a line that ends a sentence
        r"[.!?…][\"'”’)\]]*\s+|[。！？]",
        r"[\r\n]+",
        r"\s+",
    )
)
_MARKDOWN_HEADING = re.compile(r" {0,3}#{1,6}(?=[ \t])")
_FENCE = re.compile(r" {0,3}(```|~~~)")
_LONGEST_HEADING = 100


@dataclass(frozen=True, slots=True)
class Passage:
    """The characters `start` to `end` of a document's text; place: where that is, for people."""

    start: int
    end: int
    place: str


def text_blocks(text: str, markdown: bool = False) -> Iterator[Block]:
    """Paragraphs of plain text between blank lines, without the white space around them.

    markdown: lines such as "## Title" are headings. Otherwise a short single line without a full
    stop counts as one, which only decides what it is joined with.
    """
    under = ""
    for number, (start, end, title) in enumerate(_paragraphs(text, markdown), 1):
        heading = title is not None or (not markdown and _looks_like_heading(text, start, end))
        under = title or under
        yield Block(start, end, number, heading, under)


def passages_of(text: str, blocks: Iterable[Block]) -> tuple[Passage, ...]:
    """Passages of useful length: short blocks joined with their neighbours, endless ones cut.

    Headings go with what follows. Nothing but white space is left out, and none is longer than
    LONGEST.
    """
    found: list[Passage] = []
    for group in _groups(blocks):
        start, end = group[0].start, group[-1].end
        place = _place(group)
        while end - start > LONGEST:
            cut = start + _cut(text[start : start + USUAL])
            found.append(Passage(start, _stripped_end(text, start, cut), place))
            start = _next_start(text, cut, end)
        found.append(Passage(start, end, place))
    return tuple(found)


def _paragraphs(text: str, markdown: bool) -> Iterator[tuple[int, int, str | None]]:
    """Start, end and, for a heading of Markdown, its title."""
    start = end = -1
    fenced = False
    for match in _LINE.finditer(text):
        line = match[0]
        inner = line.strip()
        heading = None
        if markdown:
            fenced ^= bool(_FENCE.match(line))
            heading = None if fenced else _MARKDOWN_HEADING.match(line)
        if (not inner or heading) and start >= 0:
            yield start, end, None
            start = -1
        if not inner:
            continue
        first = match.start() + len(line) - len(line.lstrip())
        last = first + len(inner)
        if heading:
            yield first, last, inner.strip("#").strip()
            continue
        start, end = (first if start < 0 else start), last
    if start >= 0:
        yield start, end, None


def _looks_like_heading(text: str, start: int, end: int) -> bool:
    if end - start > _LONGEST_HEADING:
        return False
    line = text[start:end]
    return "\n" not in line and "\r" not in line and line[-1] not in ".!?…:;,。！？"


def _groups(blocks: Iterable[Block]) -> Iterator[list[Block]]:
    """Neighbours that make one passage together."""
    group: list[Block] = []
    for block in blocks:
        if group and not _joins(group, block):
            yield group
            group = []
        group.append(block)
    if group:
        yield group


def _joins(group: list[Block], block: Block) -> bool:
    first, last = group[0], group[-1]
    if block.unit == "page" and block.number != first.number:
        return False
    length = last.end - first.start
    if last.heading:
        # A heading needs what stands under it, however long that is.
        return block.heading or length <= USUAL
    if block.heading:
        return False
    return min(length, len(block)) < SHORT and block.end - first.start <= USUAL


def _place(group: list[Block]) -> str:
    body = [block for block in group if not block.heading] or group
    first, last = body[0], body[-1]
    place = f"{first.unit} {first.number}"
    if last.number != first.number:
        place = f"{first.unit}s {first.number} to {last.number}"
    return f"{place}, “{first.under}”" if first.under else place


def _cut(text: str) -> int:
    """Where to cut in this much text: the last good place in its second half."""
    for pattern in _CUTS:
        ends = [match.end() for match in pattern.finditer(text, len(text) // 2)]
        if ends:
            return ends[-1]
    cut = len(text)
    # Marks stay with the letter that they stand on.
    while cut > 1 and unicodedata.combining(text[cut - 1]):
        cut -= 1
    return cut - 1 if cut > 1 else len(text)


def _stripped_end(text: str, start: int, end: int) -> int:
    return start + len(text[start:end].rstrip())


def _next_start(text: str, start: int, end: int) -> int:
    while start < end and text[start].isspace():
        start += 1
    return start
