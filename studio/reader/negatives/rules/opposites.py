"""Antonym: a word of the question becomes its opposite (table 2, "antonym")."""

from random import Random

from studio.reader.negatives.case import Case, Edit, asked_anew
from studio.reader.negatives.lexicon import OPPOSITES
from studio.reader.negatives.text import WORD, as_was, holds, replaced


def opposite(case: Case, random: Random) -> Edit | None:
    """One word becomes its opposite, unless the answer's sentence says the opposite as well."""
    start, end = case.sentence()
    sentence = case.context[start:end]
    asked = list(WORD.finditer(case.text))
    random.shuffle(asked)
    for found in asked:
        word = found.group()
        others = OPPOSITES.get(word.lower(), ())
        if holds(sentence, others) or any(case.is_answer(each) for each in others):
            continue
        # Capitalised within a question it is of a name: New Sweden.
        own = found.start() > 0 and word[0].isupper()
        if others and not own and not _is_set_phrase(case.text, found.start(), found.end()):
            other = as_was(random.choice(others), word)
            return asked_anew(case, replaced(case.text, found.start(), found.end(), other))
    return None


_SET = tuple(
    """how many|how long|how old|how large|how big|how high|how much|how deep|how wide|how heavy
    how fast|how early|how late|how hot|how cold|how likely|how hard|how thick|how good|how low
    how common|how short|slow down|slows down
    more than|less than|at least|at most|high school|years old|year old
    right now|as long|long as|prime minister|long ago|new york|go over|over the|north america
    south america|middle east|set up|end up|give up|made up|make up|grow up|look like|looks like
    feel like|feels like|is like|be like|are like|was like|were like|like to|like a|like the
    would like|kept in|left in|right to|rights""".replace("\n    ", "|").split("|")
)


def _is_set_phrase(text: str, start: int, end: int) -> bool:
    """Whether the word is part of a phrase that has no opposite."""
    near = f" {text[max(0, start - 12) : end + 12].lower()} "
    word = text[start:end].lower()
    return any(word in phrase.split() and f" {phrase} " in near for phrase in _SET)
