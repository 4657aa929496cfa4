"""Another word: a noun, plural, verb or participle of the question becomes another of its class.

What people do when they ask for a thing that a passage on the matter does not tell.
"""

from random import Random

from studio.reader.negatives.case import Case, Edit, asked_anew
from studio.reader.negatives.text import FUNCTION_WORDS, WORD, content_words, replaced, stem


def another_word(case: Case, random: Random) -> Edit | None:
    """A word becomes another one of the article, of its class, that is not said with the answer."""
    start, end = case.sentence()
    near = content_words(case.context[start:end]) | content_words(case.text)
    asked = [found for found in WORD.finditer(case.text) if found.group().islower()]
    random.shuffle(asked)
    for found in asked:
        word = found.group()
        kind = case.around.vocabulary.of(word)
        # Only a word that the answer's sentence says ties the question to it.
        if not kind or stem(word) not in content_words(case.context[start:end]):
            continue
        if not _ends_phrase(case.text, found.end()):
            continue
        pool = [
            each
            for each in case.around.words.get(kind, ())
            if stem(each) not in near and not case.is_answer(each) and _alike(word, each)
        ]
        here = [each for each in pool if each in case.context]
        chosen = here if here and random.random() < 0.4 else pool
        if chosen:
            other = random.choice(chosen)
            return asked_anew(case, replaced(case.text, found.start(), found.end(), other))
    return None


def _alike(one: str, other: str) -> bool:
    """Whether both take the same article and the same ending."""
    vowels = "aeiou"
    endings = all(one.endswith(end) == other.endswith(end) for end in ("s", "ed", "ing"))
    return (one[0] in vowels) == (other[0] in vowels) and endings


def _ends_phrase(text: str, end: int) -> bool:
    """Whether no noun follows, whose describing word this one would be."""
    after = WORD.search(text, end)
    return after is None or text[end] != " " or after.group().lower() in FUNCTION_WORDS
