"""The things that the model draws: their names, their icons and further words for them."""

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

LIST = Path(__file__).with_name("things.txt")


@dataclass(frozen=True)
class Thing:
    """One thing; `name` is what prompts call it and `words` are synonyms that captions use, too.

    icons: the labels under which the sets hold it. counted: whether it takes an article.
    """

    name: str
    kind: str
    icons: tuple[str, ...]
    words: tuple[str, ...]
    counted: bool

    def phrase(self, word: str = "", before: str = "") -> str:
        """The thing as a phrase with its article: "an owl", "a blue owl", "blue grapes"."""
        words = f"{before} {word or self.name}".strip()
        return article(words) if self.counted else words


def article(words: str) -> str:
    """The words with 'a' or 'an' before them."""
    vowel = re.match(r"[aeio]|u(?!ni|fo)|hour", words)
    return f"{'an' if vowel else 'a'} {words}"


@cache
def things() -> tuple[Thing, ...]:
    """All things in the order of the list; ValueError when a word names two of them."""
    found: list[Thing] = []
    kind = ""
    for line in LIST.read_text(encoding="utf-8").splitlines():
        line = line.strip()
        if line.startswith("["):
            kind = line.strip("[]")
        elif line and not line.startswith("#"):
            found.append(_thing(line, kind))
    seen: dict[str, str] = {}
    for thing in found:
        for word in (thing.name, *thing.words):
            if word in seen:
                raise ValueError(f"{word!r} names both {seen[word]!r} and {thing.name!r}.")
            seen[word] = thing.name
    return tuple(found)


def _thing(line: str, kind: str) -> Thing:
    rest, _, words = line.partition("|")
    name, _, icons = rest.partition("=")
    counted = not name.startswith("~")
    name = name.removeprefix("~").strip()
    labels = [icon.strip() for icon in icons.split(",") if icon.strip()]
    return Thing(
        name=name,
        kind=kind,
        icons=tuple(labels or [name.replace(" ", "-")]),
        words=tuple(word.strip() for word in words.split(",") if word.strip()),
        counted=counted,
    )


@cache
def by_name() -> dict[str, Thing]:
    """Things by the name that prompts call them."""
    return {thing.name: thing for thing in things()}
