"""Entity swap: a name of the question gives way to another of its sort (table 2, "entity swap")."""

from random import Random

from studio.reader.negatives.case import Case, Edit, asked_anew
from studio.reader.negatives.spans import NAMES, Span, spans
from studio.reader.negatives.text import normal, replaced


def swap_name(case: Case, random: Random) -> Edit | None:
    """A name of the question becomes another name of the passage or of its article."""
    names = [span for span in spans(case.text) if span.sort in NAMES and span.start]
    random.shuffle(names)
    for name in names:
        other = another_name(case, name, random)
        if other:
            return asked_anew(case, replaced(case.text, name.start, name.end, other))
    return None


def another_name(case: Case, name: Span, random: Random) -> str:
    """A name that may stand for this one and makes no true question of it; "" if there is none."""
    known = case.around.names
    the = case.text[max(0, name.start - 4) : name.start].lower() == "the "
    sort, _ = known.get(name.text, (name.sort, the))
    like = [each for each, kind in known.items() if kind == (sort, the)]
    here = [each for each in like if each in case.context]
    # Names of the passage make harder questions: their words stand in it.
    pools = [here, like] if random.random() < 0.65 else [like, here]
    for pool in pools:
        names = [each for each in pool if _fits(case, name.text, each)]
        random.shuffle(names)
        names.sort(key=lambda each: (" " in each) != (" " in name.text))
        for each in names[:8]:
            if not case.told_with(each, name.text):
                return each
    return ""


def _fits(case: Case, old: str, new: str) -> bool:
    asked = f" {normal(case.text)} "
    one, other = set(normal(old).split()), set(normal(new).split())
    return (
        not one & other
        and bool(other)
        and f" {normal(new)} " not in asked
        and not case.is_answer(new)
        and old.endswith("s") == new.endswith("s")
        and abs(len(one) - len(other)) <= 2
    )
