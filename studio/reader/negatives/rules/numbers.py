"""Number swap: a number of the question gives way to another."""

from random import Random

from studio.reader.negatives.case import Case, Edit, asked_anew
from studio.reader.negatives.spans import NUMBER_WORDS, NUMBERS, Sort, Span, spans
from studio.reader.negatives.text import as_was, replaced


def swap_number(case: Case, random: Random) -> Edit | None:
    """A number of the question becomes another of the passage, or one near it."""
    numbers = [span for span in spans(case.text) if span.sort in NUMBERS]
    if not numbers:
        return None
    number = random.choice(numbers)
    other = another_number(case, number, random)
    return asked_anew(case, replaced(case.text, number.start, number.end, other)) if other else None


def another_number(case: Case, number: Span, random: Random) -> str:
    """Another number, written alike; "" if there is none."""
    if number.sort is Sort.NUMBER_WORD:
        place = NUMBER_WORDS.index(number.text.lower())
        near = [*NUMBER_WORDS[max(0, place - 5) : place], *NUMBER_WORDS[place + 1 : place + 6]]
    else:
        near = _near(number.text)
    here = [span.text for span in spans(case.context) if span.sort is number.sort]
    pool = here if random.random() < 0.5 else near
    good = [
        each
        for each in dict.fromkeys([*pool, *random.sample(near, min(3, len(near)))])
        if each.lower() != number.text.lower()
        and not case.is_answer(each)
        and not case.told_with(each, number.text)
    ]
    return as_was(random.choice(good), number.text) if good else ""


def _near(written: str) -> list[str]:
    """Numbers of the same size, written alike."""
    value = float(written.replace(",", ""))
    found = []
    for factor in (0.25, 0.4, 0.5, 0.6, 0.75, 1.25, 1.5, 2, 2.5, 3):
        new = value * factor
        if "." in written:
            text = f"{new:.{len(written.rpartition('.')[2])}f}"
        else:
            # As round as it was: 4,000 becomes 6,000 and not 5,999.
            zeros = len(written) - len(written.rstrip("0,")) if value >= 10 else 0
            step = 10 ** min(zeros, 3)
            text = f"{max(1, round(new / step) * step):{',' if ',' in written else ''}}"
        if text != written:
            found.append(text)
    return list(dict.fromkeys(found))
