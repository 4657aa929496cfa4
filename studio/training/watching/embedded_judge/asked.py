"""Which things a prompt asks for, and in which colours."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

COLOURS = {
    name: name
    for name in (
        "red", "orange", "yellow", "green", "teal", "blue", "purple", "pink",
        "brown", "black", "white", "grey",
    )
} | {"gray": "grey"}  # fmt: skip
_TAG = re.compile(r"<[^>]*>")
_WORD = re.compile(r"[^\W_]+(?:[-'’][^\W_]+)*")
_BEFORE = frozenset(("a", "an", "the", "and", "of", "with", "on", "in", "beside", "two", "one"))


@dataclass(frozen=True)
class Asked:
    """A thing of a prompt. colour: that it is to have, or None."""

    thing: str
    colour: str | None = None


def asked(prompt: str, things: Iterable[str]) -> list[Asked]:
    """The things that a prompt names, in its order, each once; the longest name wins.

    A colour counts when it stands before the thing, with nothing but other words of it between:
    "a red sks dog", not "a dog on a red ground". things: all that are known.
    """
    known = _by_words(tuple(things))
    longest = max((len(words) for words in known), default=0)
    words = [word.lower() for word in _WORD.findall(_TAG.sub(" ", prompt))]
    found: list[Asked] = []
    colour = None
    i = 0
    while i < len(words):
        for count in range(min(longest, len(words) - i), 0, -1):
            thing = known.get(tuple(words[i : i + count]))
            if thing is not None:
                if all(other.thing != thing for other in found):
                    found.append(Asked(thing, colour))
                colour = None
                i += count
                break
        else:
            if words[i] in COLOURS:
                colour = COLOURS[words[i]]
            elif words[i] in _BEFORE:
                colour = None
            i += 1
    return found


@lru_cache(maxsize=4)
def _by_words(things: tuple[str, ...]) -> dict[tuple[str, ...], str]:
    """Things by the words of their names, in the singular and in the plural."""
    known: dict[tuple[str, ...], str] = {}
    for thing in things:
        words = tuple(thing.lower().split())
        for end in ("", "s", "es"):
            known.setdefault((*words[:-1], words[-1] + end), thing)
    known.update({tuple(thing.lower().split()): thing for thing in things})
    return known
