"""Which passages of a long document a question may be about: BM25 over their words.

Robertson and Zaragoza, The Probabilistic Relevance Framework: BM25 and Beyond, 2009.
"""

import logging
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import regex

from studio.reader.documents import Document

_STEM = 5
"""Letters that the forms of a word mostly share, in every language that is written with letters."""
_NO_SPACES = "".join(
    rf"\p{{Script={name}}}"
    for name in ("Han", "Hiragana", "Katakana", "Hangul", "Thai", "Lao", "Khmer", "Myanmar")
)
"""Scripts that do not divide words by spaces, or hang so much to a word as Korean does."""
_TERM = regex.compile(
    rf"(?V1)\p{{N}}+(?:[.,]\p{{N}}+)*"
    rf"|(?P<run>[{_NO_SPACES}][{_NO_SPACES}\p{{M}}ー]*)"
    rf"|[\p{{L}}--[{_NO_SPACES}]][[\p{{L}}\p{{M}}]--[{_NO_SPACES}]]*"
)
_UNUSUAL = regex.compile(rf"[{_NO_SPACES}\p{{M}}]")
_USUAL_TERM = re.compile(r"\d+(?:[.,]\d+)*|[^\W\d_]+")
"""The same for texts without those scripts and marks, several times as fast."""
_SAY_NOTHING = (
    "a an and are as at be been but by did do does for from had has have how if in into is it its "
    "many much no not of on or s such that the their then there these they this to was were what "
    "when where which who whom whose why will with"
)
_LEFT_OUT = frozenset(_SAY_NOTHING.split())
"""English words that say nothing of what a text is about, those of questions among them."""


@dataclass(frozen=True, slots=True)
class Ranked:
    """A passage by its index, and its score; 0 where no word of the question stands in it."""

    passage: int
    score: float


class Retriever:
    """The passages of one document, indexed by their words."""

    def __init__(self, document: Document):
        self._count = len(document.passages)
        self._vocabulary: dict[str, int] = {}
        numbered = self._vocabulary
        # Numbers instead of words, as a long text has millions.
        terms = [
            [numbered.setdefault(term, len(numbered)) for term in _terms(document.passage_text(i))]
            for i in range(self._count)
        ]
        self._index = _index(terms, numbered) if numbered else None

    def best(self, question: str, k: int) -> tuple[Ranked, ...]:
        """The k passages that fit best, best first; all of them where there are fewer.

        Equal ones stand in the order of the text, so a question whose words are nowhere gets the
        first passages.
        """
        numbers = [self._vocabulary[term] for term in _terms(question) if term in self._vocabulary]
        if self._index is None or not numbers:
            return tuple(Ranked(each, 0.0) for each in range(min(k, self._count)))
        scores: np.ndarray = self._index.get_scores_from_ids(numbers)
        order = np.argsort(-scores, kind="stable")[:k]
        return tuple(Ranked(int(each), float(scores[each])) for each in order)


def _index(terms: list[list[int]], vocabulary: dict[str, int]):  # type: ignore[no-untyped-def]
    import bm25s

    # It logs every step to whoever listens to the root.
    logging.getLogger("bm25s").setLevel(logging.WARNING)
    index = bm25s.BM25()
    index.index((terms, vocabulary), create_empty_token=False, show_progress=False)
    return index


def _terms(text: str) -> Iterator[str]:
    """What is counted: numbers, words with their stems, and pairs of letters where no spaces are.

    Words give their first letters, too, so that "invented" and "inventor" have something in common;
    on SQuAD that finds more than a stemmer of English.
    """
    text = unicodedata.normalize("NFKC", text).casefold()
    if text.isascii() or not _UNUSUAL.search(text):
        for term in _USUAL_TERM.findall(text):
            yield from _forms(term)
        return
    for match in _TERM.finditer(text):
        term = match[0]
        if not match["run"] or len(term) == 1:
            yield from _forms(term)
        else:
            yield from (term[i : i + 2] for i in range(len(term) - 1))


def _forms(term: str) -> Iterator[str]:
    if term[0].isdecimal():
        yield term.replace(",", "")
    elif term not in _LEFT_OUT:
        yield term
        if len(term) > _STEM:
            yield f"{term[:_STEM]}*"
