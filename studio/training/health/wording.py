"""Numbers and names of files as sentences have them."""

from collections.abc import Sequence

_NAMED = 3
_LONGEST = 60


def count(number: int, thing: str) -> str:
    """A number with its noun, as in "1 picture" and "1,200 pictures"."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def verb(number: int, one: str, more: str) -> str:
    """The form of a word that goes with a number."""
    return one if number == 1 else more


def shown(name: str) -> str:
    """A file's name on one line, whatever it is made of."""
    plain = name.encode("utf-8", "replace").decode("utf-8")
    plain = "".join(each if each.isprintable() else "?" for each in plain)
    return plain if len(plain) <= _LONGEST else f"…{plain[-_LONGEST:]}"


def named(names: Sequence[str]) -> str:
    """The first few names, and how many more there are."""
    few = [shown(name) for name in names[:_NAMED]]
    more = len(names) - len(few)
    if more:
        return f"{', '.join(few)} and {more:,} more"
    return " and ".join(filter(None, (", ".join(few[:-1]), few[-1]))) if few else ""
