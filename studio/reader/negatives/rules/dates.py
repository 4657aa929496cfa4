"""Date swap: a year, century, month or weekday of the question gives way to another."""

import re
from random import Random

from studio.reader.negatives.case import Case, Edit, asked_anew
from studio.reader.negatives.spans import DATES, DAYS, MONTHS, Sort, Span, spans
from studio.reader.negatives.text import replaced

_LATEST_YEAR = 2025


def swap_date(case: Case, random: Random) -> Edit | None:
    """A date of the question becomes another of the passage, or one near it."""
    dates = [span for span in spans(case.text) if span.sort in DATES]
    if not dates:
        return None
    date = random.choice(dates)
    other = another_date(case, date, random)
    return asked_anew(case, replaced(case.text, date.start, date.end, other)) if other else None


def another_date(case: Case, date: Span, random: Random) -> str:
    """Another date of the same sort; "" if there is none."""
    near = _near(date, random)
    here = [span.text for span in spans(case.context) if span.sort is date.sort]
    pool = here if random.random() < 0.5 else near
    good = [
        each
        for each in dict.fromkeys([*pool, *near])
        if each != date.text
        and each.endswith("s") == date.text.endswith("s")
        and not case.is_answer(each)
        and not case.told_with(each, date.text)
    ]
    within = [each for each in good if each in pool]
    return random.choice(within or good) if good else ""


def _near(date: Span, random: Random) -> list[str]:
    if date.sort is Sort.MONTH:
        return [month for month in MONTHS if month != date.text]
    if date.sort is Sort.DAY:
        return [day for day in DAYS if day != date.text]
    count = int(re.match(r"\d+", date.text)[0])  # type: ignore[index]
    if date.sort is Sort.CENTURY:
        return [f"{ordinal(n)} century" for n in range(max(1, count - 4), min(21, count + 4) + 1)
                if n != count]  # fmt: skip
    if date.text.endswith("s"):
        return [f"{year}s" for year in range(count - 40, min(count + 41, 2021), 10)]
    steps = [random.randint(1, 3), random.randint(4, 15), random.randint(16, 60)]
    years = [count + sign * step for step in steps for sign in (1, -1)]
    return [str(year) for year in years if year <= _LATEST_YEAR]


def ordinal(number: int) -> str:
    """A number as it counts: 1st, 2nd, 11th."""
    last = (
        "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    )
    return f"{number}{last}"
