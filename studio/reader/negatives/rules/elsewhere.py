"""Elsewhere: the question as it is, with a passage on like matters that lacks the answer."""

from random import Random

from studio.reader.negatives.case import Case, Edit
from studio.reader.negatives.text import holds

_BEST = 3
"""Of so many of the likest passages one is taken; the most alike is hardest."""


def elsewhere(case: Case, random: Random) -> Edit | None:
    """Another passage, of the likest by BM25, in which no gold answer stands."""
    good = [
        passage
        for passage in case.around.like(case.text)
        if passage != case.context and not holds(passage, case.golds)
    ]
    return Edit(case.text, random.choice(good[:_BEST]), None) if good else None
