"""Mutual exclusion: a word becomes one that excludes it (table 2, "mutual exclusion")."""

from random import Random

from studio.reader.negatives.case import Case, Edit, asked_anew
from studio.reader.negatives.lexicon import EXCLUSIVE
from studio.reader.negatives.text import WORD, as_was, replaced


def exclusion(case: Case, random: Random) -> Edit | None:
    """A colour, kin, trade, measure and the like of the question becomes another of its circle."""
    asked = list(WORD.finditer(case.text))
    random.shuffle(asked)
    for found in asked:
        word = found.group()
        others = [
            each
            for each in EXCLUSIVE.get(word.lower(), ())
            if not case.is_answer(each) and not case.told_with(each, word)
        ]
        own = found.start() > 0 and word[0].isupper()
        if others and not own:
            other = as_was(random.choice(others), word)
            return asked_anew(case, replaced(case.text, found.start(), found.end(), other))
    return None
