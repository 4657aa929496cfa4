"""What stands around a question: its article's names, phrases and words, and like paragraphs."""

import re
from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from studio.reader.negatives.spans import NAMES, Sort, spans
from studio.reader.negatives.text import FUNCTION_WORDS, WORD, listed, words
from studio.reader.squad import Article, Squad

_PREPOSITIONS = "in at by for with from during after before under among within through near on"
_PHRASE = re.compile(
    rf"\b(?:{'|'.join(_PREPOSITIONS.split())})"
    r" (?:(?:the|a|an|his|her|their|its) )?(?:[\w’'-]+ ){0,2}[\w’'-]+(?=[,.;]| and )"
)
_DETERMINERS = frozenset(listed("the a an his her their its this"))
_AFTER_NOUN = frozenset(listed("of in was is were are that which for to on at from and has had"))
_BE = frozenset(listed("was were been be is are being"))
_AFTER_PARTICIPLE = frozenset(listed("by in to from with as at for on into"))
_COUNTED = frozenset(
    listed("many several some few these those other two three four five six seven eight nine ten")
)
_NO_CLASS = frozenset(
    listed("""
    first last second third fourth fifth next latter former following few way case fact rest same
    present past new old early late great best worst idea only end number part lot top bit thing
    things ones able one two three four five six seven eight nine ten significant important own
    north south east west good bad high low show
    """)
)
_LEAST_SEEN = 2
"""Times that a word must stand in a frame before it counts as a word of its class."""


class Vocabulary:
    """Which words are nouns, verbs or participles, by the words that they stand between.

    "the ... of" holds a noun, "to ... the" a verb, "was ... by" a participle, "many ..." a plural.
    """

    def __init__(self, squad: Squad):
        seen: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
        for article in squad.articles:
            for paragraph in article.paragraphs:
                told = words(paragraph.context)
                for before, word, after in zip(told, told[1:], told[2:], strict=False):
                    kind = _frame(before, word, after)
                    if kind:
                        seen[word][kind] += 1
        self._classes = {
            word: max(kinds, key=lambda kind: (kinds[kind], kind))
            for word, kinds in seen.items()
            if word not in FUNCTION_WORDS and word not in _NO_CLASS and word.isalpha()
            if max(kinds.values()) >= _LEAST_SEEN
        }

    def of(self, word: str) -> str:
        """The class of a word in lower case: noun, plural, verb, participle, or "" if unknown."""
        return self._classes.get(word, "")


def _frame(before: str, word: str, after: str) -> str:
    if before == "to" and after in _DETERMINERS:
        return "verb"
    if before in _BE and after in _AFTER_PARTICIPLE and word.endswith("ed"):
        return "participle"
    if before in _COUNTED and word.endswith("s") and not word.endswith("ss"):
        return "plural"
    if before in _DETERMINERS and after in _AFTER_NOUN:
        return "plural" if word.endswith("s") and not word.endswith("ss") else "noun"
    return ""


def _has_the(text: str, start: int) -> bool:
    return text[max(0, start - 4) : start].lower() == "the "


class Retrieval:
    """BM25 over passages: which of them are most like a question (Robertson and Zaragoza 2009)."""

    def __init__(self, passages: list[str]):
        self.passages = passages

    @cached_property
    def _index(self) -> Any:
        import bm25s

        index = bm25s.BM25()
        told = [words(passage) or ["-"] for passage in self.passages]
        index.index(bm25s.tokenize([" ".join(each) for each in told], show_progress=False),
                    show_progress=False)  # fmt: skip
        return index

    def like(self, question: str, most: int) -> list[str]:
        """The passages most like a question, best first."""
        import bm25s

        if not self.passages:
            return []
        asked = bm25s.tokenize([" ".join(words(question))], show_progress=False)
        most = min(most, len(self.passages))
        found, _ = self._index.retrieve(asked, k=most, show_progress=False)
        return [self.passages[int(number)] for number in found[0]]


@dataclass
class Around:
    """One article as rules see it; vocabulary and others are of the whole set.

    others: passages of single-paragraph articles, among which such an article finds its like.
    """

    article: Article
    vocabulary: Vocabulary
    others: Retrieval

    @cached_property
    def _contexts(self) -> list[str]:
        return [paragraph.context for paragraph in self.article.paragraphs]

    @cached_property
    def names(self) -> dict[str, tuple[Sort, bool]]:
        """All names of the article in their order: their sort, and whether "the" stands before.

        A name that is once told as a place is one everywhere.
        """
        found: dict[str, tuple[Sort, bool]] = {}
        for context in self._contexts:
            for span in spans(context):
                if span.sort in NAMES:
                    sort, the = found.get(span.text, (span.sort, False))
                    sort = span.sort if span.sort is Sort.PLACE else sort
                    found[span.text] = sort, the or _has_the(context, span.start)
        return found

    @cached_property
    def phrases(self) -> list[tuple[int, str]]:
        """Phrases that begin with a preposition, each with the number of its paragraph."""
        found: dict[str, int] = {}
        for number, context in enumerate(self._contexts):
            for match in _PHRASE.finditer(context):
                found.setdefault(match.group(), number)
        return [(number, phrase) for phrase, number in found.items()]

    @cached_property
    def words(self) -> dict[str, list[str]]:
        """The words of the article by their class, in their order."""
        found: dict[str, dict[str, None]] = defaultdict(dict)
        for context in self._contexts:
            for match in WORD.finditer(context):
                word = match.group()
                kind = self.vocabulary.of(word) if word.islower() else ""
                if kind:
                    found[kind].setdefault(word)
        return {kind: list(each) for kind, each in found.items()}

    @cached_property
    def _own(self) -> Retrieval:
        return Retrieval(self._contexts)

    def like(self, question: str, most: int = 12) -> list[str]:
        """Passages like the question: of the article, or where it has but one, of the others."""
        return (self._own if len(self._contexts) > 1 else self.others).like(question, most)
