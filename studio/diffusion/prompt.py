"""The prompt language of Stable Diffusion: weights, schedules, alternation, AND and BREAK.

It is the language of AUTOMATIC1111's web UI, so that a prompt means here what it means there:

    (x) (x:1.3) [x]           weigh x by 1.1, by 1.3, by 1/1.1; nesting multiplies
    \\( \\) \\[ \\] \\\\           the character itself
    [from:to:when] [to:when] [from::when]    switch after step `when` (with a dot: a share of steps)
    [a|b|c]                   another option at every step
    a AND b :0.5              composed sub-prompts, each with a weight
    BREAK                     continue in a new chunk of tokens
    <lora:name:0.8>           use a network; not part of the text

Nothing here is ever a syntax error: what does not fit the grammar is text. Every function takes
time in proportion to the prompt (times the steps, for schedules) and none recurses, as prompts
come from strangers.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from studio.errors import PromptError

ROUND_FACTOR = 1.1
NEST_LIMIT = 100
WEIGHT_LIMIT = 1000.0
"""Beyond it half-precision states overflow, and no picture comes of it anyway."""
PART_LIMIT = 32
"""Each part joined by AND costs one more pass through the network at every step."""


@dataclass(frozen=True, slots=True)
class Fragment:
    """A stretch of text whose tokens share one weight."""

    text: str
    weight: float


@dataclass(frozen=True, slots=True)
class Break:
    """The place where a new chunk of tokens starts."""


BREAK = Break()


@dataclass(frozen=True, slots=True)
class NetworkTag:
    """A network called for by `<kind:arg:arg>`; args are what stood between the colons."""

    kind: str
    args: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Part:
    """One of the prompts joined by AND: its weight and its text over the steps.

    texts: (last step, 1-based and inclusive; text) in order; the last entry ends at the last step.
    """

    weight: float
    texts: tuple[tuple[int, str], ...]

    def at(self, step: int) -> str:
        """The text in force at a step, counted from 1; steps past the end keep the last text."""
        return next((text for until, text in self.texts if step <= until), self.texts[-1][1])


@dataclass(frozen=True, slots=True)
class PromptPlan:
    """What a prompt asks for at every step, and the networks it calls for."""

    parts: tuple[Part, ...]
    networks: tuple[NetworkTag, ...] = ()

    def at(self, step: int) -> tuple[tuple[float, str], ...]:
        """The (weight, text) of each part in force at a step, counted from 1."""
        return tuple((part.weight, part.at(step)) for part in self.parts)

    def texts(self) -> tuple[str, ...]:
        """Every text that is in force at some step, each once, in order of appearance."""
        return tuple(dict.fromkeys(text for part in self.parts for _, text in part.texts))


def plan(text: str, steps: int, *, composable: bool = True) -> PromptPlan:
    """A prompt resolved for a number of steps.

    composable: False reads AND as a word, as is the custom for negative prompts.
    Raises PromptError when AND joins more than PART_LIMIT parts.
    """
    text, networks = strip_networks(text)
    parts = split_and(text) if composable else [(text, 1.0)]
    return PromptPlan(
        tuple(Part(weight, tuple(expand_steps(part, steps))) for part, weight in parts),
        tuple(networks),
    )


# --- networks and AND ---------------------------------------------------------------------------

_NETWORK = re.compile(r"<(\w+):([^>]+)>")
_AND = re.compile(r"\bAND\b")
_PART_WEIGHT = re.compile(r"\s*[-+]?(?:[0-9]++\.?|[0-9]*+\.[0-9]++)\s*")


def strip_networks(text: str) -> tuple[str, list[NetworkTag]]:
    """A prompt without its `<kind:args>` tags, and the tags in order."""
    # Past the last ">" nothing can match, yet every "<" there would be tried to the end.
    end = text.rfind(">") + 1
    tags = [
        NetworkTag(match[1], tuple(match[2].split(":")))
        for match in _NETWORK.finditer(text, 0, end)
    ]
    return _NETWORK.sub("", text[:end]) + text[end:], tags


def split_and(text: str) -> list[tuple[str, float]]:
    """The sub-prompts joined by the upper-case word AND, each with its trailing `:weight` or 1.

    Without an AND the text is one part and keeps its tail, as in "a poster, 16:9".
    Raises PromptError for more than PART_LIMIT parts or a weight beyond WEIGHT_LIMIT.
    """
    parts = _AND.split(text)
    if len(parts) == 1:
        return [(text, 1.0)]
    if len(parts) > PART_LIMIT:
        raise PromptError(
            f"The prompt joins {len(parts):,} parts with AND; use at most {PART_LIMIT}."
        )
    return [_weighed_part(part) for part in parts]


def _weighed_part(part: str) -> tuple[str, float]:
    body, colon, number = part.rpartition(":")
    if not colon or not _PART_WEIGHT.fullmatch(number):
        return part.rstrip(), 1.0
    return body.rstrip(), _checked(float(number))


def _checked(weight: float) -> float:
    # Written so that NaN, from 0 times infinity, fails too.
    if not abs(weight) <= WEIGHT_LIMIT:
        raise PromptError(
            f"A part of the prompt has the weight {weight:g}; keep weights between "
            f"-{WEIGHT_LIMIT:g} and {WEIGHT_LIMIT:g}."
        )
    return weight


# --- weights ------------------------------------------------------------------------------------

# A number may be followed by much that is not a ")": possessive, so as not to try it again and
# again with a digit less.
_WEIGHT_TOKEN = re.compile(
    r"\\[()\[\]\\]?"
    r"|:\s*+([+-]?(?:[0-9]++\.?[0-9]*+|\.[0-9]++))\s*+\)"
    r"|[()\[\]:]"
    r"|[^\\()\[\]:]+"
)
_BREAK_WORD = re.compile(r"\bBREAK\b")
_PAIRS = {")": "(", "]": "["}
_FACTORS = {")": ROUND_FACTOR, "]": 1 / ROUND_FACTOR}


def parse_weights(text: str) -> list[Fragment | Break]:
    """A text as fragments of one weight each, with BREAK where a new chunk starts.

    Neighbours of equal weight are one fragment, brackets without a partner weigh all that follows
    and a backslash before anything but a bracket or a backslash is dropped. Never empty.
    Raises PromptError for nesting beyond NEST_LIMIT or a weight beyond WEIGHT_LIMIT.
    """
    pieces: list[str | Break] = []
    weights: list[float] = []
    # Round and square brackets are matched apart from each other: "(a[b)c]" is two ranges.
    opened: dict[str, list[int]] = {"(": [], "[": []}

    def scale(start: int, factor: float) -> None:
        for index in range(start, len(weights)):
            weights[index] *= factor

    for match in _WEIGHT_TOKEN.finditer(text):
        token, number = match[0], match[1]
        closing = ")" if number else token
        if token in opened:
            opened[token].append(len(weights))
        elif closing in _PAIRS and opened[_PAIRS[closing]]:
            start = opened[_PAIRS[closing]].pop()
            scale(start, float(number) if number else _FACTORS[closing])
        else:
            # The depth is also how often a fragment is scaled, so this bounds the work.
            if len(opened["("]) + len(opened["["]) > NEST_LIMIT:
                raise PromptError(
                    f"The prompt nests brackets more than {NEST_LIMIT} deep; remove some, "
                    "or write \\( and \\[ for the characters."
                )
            new = [token[1:]] if token.startswith("\\") else _split_breaks(token)
            pieces.extend(new)
            weights.extend([1.0] * len(new))
    for closing, bracket in _PAIRS.items():
        for start in opened[bracket]:
            scale(start, _FACTORS[closing])
    return _merged(zip(pieces, weights, strict=True))


def _split_breaks(text: str) -> list[str | Break]:
    """Text around each BREAK, without the white space next to it."""
    first, *rest = _BREAK_WORD.split(text)
    pieces: list[str | Break] = [first.rstrip() if rest else first]
    for index, piece in enumerate(rest, start=1):
        piece = piece.lstrip()
        pieces += [BREAK, piece.rstrip() if index < len(rest) else piece]
    return pieces


def _merged(weighed: Iterable[tuple[str | Break, float]]) -> list[Fragment | Break]:
    merged: list[Fragment | Break] = []
    run: list[str] = []
    run_weight = 1.0

    def finish() -> None:
        if run:
            merged.append(Fragment("".join(run), _checked(run_weight)))
            run.clear()

    for piece, weight in weighed:
        if isinstance(piece, Break):
            finish()
            merged.append(piece)
        elif piece:
            if weight != run_weight:
                finish()
            run.append(piece)
            run_weight = weight
    finish()
    return merged or [Fragment("", 1.0)]


# --- schedules ----------------------------------------------------------------------------------

_STEP_TOKEN = re.compile(r"\\.|[^\\()\[\]:|]+|.", re.DOTALL)
_WHEN = re.compile(r"\s*([+-]?(?:[0-9]++\.?[0-9]*+|\.[0-9]++)(?:[eE][+-]?[0-9]++)?)\s*")


@dataclass(frozen=True, slots=True)
class _Switch:
    before: "_Nodes"
    after: "_Nodes"
    when: int

    def at(self, step: int) -> "_Nodes":
        return self.before if step <= self.when else self.after


@dataclass(frozen=True, slots=True)
class _Cycle:
    options: list["_Nodes"]

    def at(self, step: int) -> "_Nodes":
        return self.options[(step - 1) % len(self.options)]


_Nodes = list[str | _Switch | _Cycle]


@dataclass(slots=True)
class _Group:
    """A bracket that is still open: where it stands and where its own ":" and "|" stand."""

    bracket: str
    start: int
    marks: list[int] = field(default_factory=list)


def expand_steps(text: str, steps: int) -> list[tuple[int, str]]:
    """The texts that a prompt with schedules and alternations stands for, step by step.

    steps: how many there are, from 1. Returns (last step, 1-based and inclusive; text) in order,
    the last one ending at `steps`. A `when` with a dot is a share of the steps, rounded down, else
    a step; either is kept within 0 and `steps`. Brackets that are no schedule stay in the text.
    """
    nodes, ends = _parse_schedules(text, steps)
    return [(end, _text_at(nodes, end)) for end in sorted(ends)]


def _parse_schedules(text: str, steps: int) -> tuple[_Nodes, set[int]]:
    """The prompt as text, switches and cycles, and the steps at which its text may change."""
    nodes: _Nodes = []
    ends = {steps}
    opened: list[_Group] = []
    for token in _STEP_TOKEN.findall(text):
        if token in {"(", "["}:
            opened.append(_Group(token, len(nodes)))
        elif token in {":", "|"} and opened:
            opened[-1].marks.append(len(nodes))
        elif token in _PAIRS:
            if not opened or opened[-1].bracket != _PAIRS[token]:
                # An odd bracket is text, and so is everything that it interrupts.
                opened.clear()
            elif token == ")":
                opened.pop()
            elif node := _resolved(nodes, group := opened.pop(), steps):
                del nodes[group.start :]
                nodes.append(node)
                ends.update([node.when] if isinstance(node, _Switch) else range(1, steps + 1))
                continue
        nodes.append(token)
    return _joined(nodes), ends - {0}


def _resolved(nodes: _Nodes, group: _Group, steps: int) -> _Switch | _Cycle | None:
    """What a closed "[...]" stands for, or None for one that only weighs."""
    colons = [mark for mark in group.marks if nodes[mark] == ":"]
    if len(colons) in (1, 2) and len(nodes) == colons[-1] + 2:
        when = _step_of(nodes[-1], steps)
        if when is not None:
            *first, last = colons
            before = nodes[group.start + 1 : first[0]] if first else []
            after = nodes[(first[0] if first else group.start) + 1 : last]
            return _Switch(_joined(before), _joined(after), when)
    if colons or not group.marks:
        return None
    starts = [group.start, *group.marks]
    stops = [*group.marks, len(nodes)]
    return _Cycle(
        [_joined(nodes[start + 1 : stop]) for start, stop in zip(starts, stops, strict=True)]
    )


def _step_of(node: str | _Switch | _Cycle, steps: int) -> int | None:
    match = _WHEN.fullmatch(node) if isinstance(node, str) else None
    if match is None:
        return None
    when = float(match[1]) * (steps if "." in match[1] else 1)
    return int(min(max(when, 0), steps))


def _joined(nodes: Sequence[str | _Switch | _Cycle]) -> _Nodes:
    """The nodes with neighbouring texts made one, so that a step visits few."""
    joined: _Nodes = []
    run: list[str] = []
    for node in nodes:
        if isinstance(node, str):
            run.append(node)
            continue
        if run:
            joined.append("".join(run))
            run.clear()
        joined.append(node)
    return [*joined, "".join(run)] if run else joined


def _text_at(nodes: _Nodes, step: int) -> str:
    texts: list[str] = []
    pending = nodes[::-1]
    while pending:
        node = pending.pop()
        if isinstance(node, str):
            texts.append(node)
        else:
            pending.extend(reversed(node.at(step)))
    return "".join(texts)
