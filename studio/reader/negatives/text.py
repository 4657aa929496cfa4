"""Texts cut into words and sentences, and compared as the official script compares answers."""

import re
import string
from collections.abc import Iterable
from functools import lru_cache

WORD = re.compile(r"[^\W_]+(?:['’.,-][^\W_]+)*")
_SENTENCE_END = re.compile(r"(?<=[.!?;])[\"'”’)\]]*\s+(?=[\"'“‘(\[]*[A-Z0-9])|\n+")
_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def listed(text: str) -> tuple[str, ...]:
    """The words of a list that is written as running text."""
    return tuple(text.split())


FUNCTION_WORDS = frozenset(
    listed("""
    a an the this that these those and or but nor so if then than as of in on at by for with
    without within from to into onto upon over under between among through during before after
    about against across along around near since until till per via is are was were be been being
    am do does did doing done has have had having can could will would shall should may might must
    not no never n't 's it its he him his he's she her hers they them their theirs we us our ours
    you your yours i me my mine who whom whose which what when where why how there here also only
    just very more most much many some any all each every both other another such own same too out
    up down off again once while because although though however one name called type kind
    """)
)


def words(text: str) -> list[str]:
    """The words of a text in lower case, in their order."""
    return [found.group().lower() for found in WORD.finditer(text)]


def content_words(text: str) -> frozenset[str]:
    """Stems of the words of a text that carry meaning."""
    return frozenset(stem(word) for word in words(text) if word not in FUNCTION_WORDS)


def stem(word: str) -> str:
    """A word without its commonest endings: enough to see that "moved" is "move"."""
    for ending in ("'s", "’s", "ing", "ied", "ies", "ed", "es", "s", "e"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word[: -len(ending)]
    return word


def normal(text: str) -> str:
    """Lower case without punctuation and articles, single spaces (evaluate-v2.0.py)."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


@lru_cache(maxsize=4096)
def _padded(text: str) -> str:
    return f" {normal(text)} "


def holds(context: str, answers: Iterable[str]) -> bool:
    """Whether one of the answers stands in a context as whole words, both normalised."""
    told = [normal(answer) for answer in answers]
    return any(f" {answer} " in _padded(context) for answer in told if answer)


@lru_cache(maxsize=4096)
def sentences(text: str) -> tuple[tuple[int, int], ...]:
    """Where the sentences of a text start and end, in characters."""
    cuts = [0]
    ends = []
    for found in _SENTENCE_END.finditer(text):
        ends.append(found.start())
        cuts.append(found.end())
    ends.append(len(text))
    return tuple((a, b) for a, b in zip(cuts, ends, strict=True) if b > a)


def sentence_at(text: str, place: int) -> tuple[int, int]:
    """Start and end of the sentence that a character stands in."""
    for start, end in sentences(text):
        if place < end:
            return start, end
    return 0, len(text)


def replaced(text: str, start: int, end: int, new: str) -> str:
    """The text with a stretch exchanged."""
    return text[:start] + new + text[end:]


def as_was(new: str, old: str) -> str:
    """A word in the case of the one whose place it takes."""
    if old.isupper() and len(old) > 1:
        return new.upper()
    return new[:1].upper() + new[1:] if old[:1].isupper() else new
