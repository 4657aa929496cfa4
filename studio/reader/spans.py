"""The best spans of a window, and the best of a passage over all its windows.

Scores are sums of two logits, which is why they can be compared across windows (BERT, Devlin et al.
2018, section 4.2; run_qa.py does the same with 20 starts by 20 ends, this with all pairs).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import regex

from studio.reader.windows import Tokens

if TYPE_CHECKING:
    import torch

N_BEST = 20
LONGEST_ANSWER = 30
"""Tokens of an answer."""
_GRAPHEME = regex.compile(r"\X")
_AROUND = 32
"""Characters around a boundary in which a grapheme is looked for; none is longer in practice."""


@dataclass(frozen=True, slots=True)
class WindowSpans:
    """Spans of one window, best first: first and last token of the passage, and their scores.

    null: the score of "no answer" in this window.
    """

    starts: np.ndarray
    ends: np.ndarray
    scores: np.ndarray
    null: float


@dataclass(frozen=True, slots=True)
class Span:
    """An answer: characters `start` to `end` of the passage, which read `text`.

    score: sum of its two logits. log_probability: its score against those of all spans that were
    kept and of "no answer".
    """

    start: int
    end: int
    text: str
    score: float
    log_probability: float

    @property
    def probability(self) -> float:
        """Share of the span among all, 0 to 1."""
        return math.exp(self.log_probability)


def best_spans(
    starts: "torch.Tensor", ends: "torch.Tensor", allowed: "torch.Tensor", longest: int, n: int
) -> "tuple[torch.Tensor, torch.Tensor, torch.Tensor]":
    """The best spans of each window: places of their first and last token, and scores.

    starts, ends: logits, windows x tokens. allowed: which tokens are the passage's. longest: tokens
    of a span. All three results: windows x at most n, best first; a score of minus infinity marks
    a place that no span has.
    """
    import torch

    low = torch.finfo(torch.float32).min
    starts = starts.float().masked_fill(~allowed, low)
    ends = ends.float().masked_fill(~allowed, low)
    width = min(longest, starts.shape[1])
    # Row i, column k: a span of k + 1 tokens from token i.
    reach = torch.nn.functional.pad(ends, (0, width - 1), value=low).unfold(1, width, 1)
    scores = (starts.unsqueeze(2) + reach).flatten(1)
    scores, places = scores.topk(min(n, scores.shape[1]), dim=1)
    first = places // width
    impossible = scores < low / 2
    return first, first + places % width, scores.masked_fill(impossible, -torch.inf)


def merged(
    windows: Sequence[WindowSpans], passage: str, tokens: Tokens, n: int
) -> tuple[tuple[Span, ...], float]:
    """The best spans of a passage over its windows, and its score of "no answer".

    That is the lowest of any window's: a window without the answer says "no answer" with reason.
    """
    best: dict[tuple[int, int], float] = {}
    for window in windows:
        for first, last, score in zip(window.starts, window.ends, window.scores, strict=True):
            if not math.isfinite(score):
                break
            place = _characters(passage, int(tokens.starts[first]), int(tokens.ends[last]))
            if place[0] < place[1] and score > best.get(place, -math.inf):
                best[place] = float(score)
    null = min(window.null for window in windows)
    kept = sorted(best.items(), key=lambda each: (-each[1], each[0]))[:n]
    total = float(np.logaddexp.reduce([null, *(score for _, score in kept)]))
    return tuple(
        Span(start, end, passage[start:end], score, score - total) for (start, end), score in kept
    ), null


def _characters(text: str, start: int, end: int) -> tuple[int, int]:
    """The span without white space at its ends, and with the whole of its last characters.

    A tokenizer that drops accents ends a token before them, and an emoji may be many code points.
    """
    while start < end and text[start].isspace():
        start += 1
    while start < end and text[end - 1].isspace():
        end -= 1
    if start < end:
        start, end = _boundary(text, start, before=True), _boundary(text, end, before=False)
    return start, end


def _boundary(text: str, place: int, before: bool) -> int:
    """The nearest place, before or after, that does not cut what is seen as one character."""
    if not 0 < place < len(text) or (text[place - 1].isascii() and text[place].isascii()):
        return place
    first = max(0, place - _AROUND)
    for match in _GRAPHEME.finditer(text, first, min(len(text), place + _AROUND)):
        if match.start() <= place < match.end():
            if match.start() == place:
                return place
            return match.start() if before else match.end()
    return place
