"""A data set as people look at it: its figures, and a paragraph with its questions."""

from collections.abc import Sequence

from studio.reader.faults import cleaned
from studio.reader.squad import Answer, Paragraph, Question, path_of
from studio.reader.statistics import Lengths, Statistics
from tabs.blocks.marks import MISPLACED, PLAUSIBLE, Mark, marked, marks, plain
from tabs.blocks.plots import bar_plot

QUESTIONS = 200
"""Questions of one paragraph that are shown."""
_LONGEST = 160
"""Characters of a title."""


def title(name: str) -> str:
    """An article's title as people read it, no markup; the files have _ for blanks."""
    return cleaned(name.replace("_", " ")).strip()[:_LONGEST] or "untitled"


def figures(found: Statistics) -> str:
    """The figures that people ask for first, as tiles."""
    several = sum(n for answers, n in found.per_question.items() if answers > 1)
    told = [
        (f"{found.articles:,}", "articles"),
        (f"{found.paragraphs:,}", "paragraphs"),
        (f"{found.questions:,}", "questions"),
        (f"{100 * found.answerable:.3g} %", "have an answer"),
        (f"{found.contexts.mean:,.0f}", "words a paragraph"),
        (f"{found.asked.mean:,.1f}", "words a question"),
        (f"{found.answers.mean:,.1f}", "words an answer"),
        (f"{several:,}", "several answers"),
    ]
    again = (
        (found.repeated_questions, "repeated questions"),
        (found.repeated_contexts, "repeated paragraphs"),
        (found.repeated_ids, "repeated ids"),
    )
    told += [(f"{count:,}", name) for count, name in again if count]
    shown = "".join(f"<div><b>{value}</b><span>{name}</span></div>" for value, name in told)
    return f'<div class="at-scores">{shown}</div>'


def plots(found: Statistics) -> str:
    """What is asked for and how long texts are."""
    words = bar_plot(
        "Questions by question word", list(found.words.values()), list(found.words), "questions"
    )
    numbers = bar_plot(
        "Questions by number of answers",
        list(found.per_question.values()),
        [str(number) for number in found.per_question],
        "questions",
    )
    return (
        f'<div class="at-plots">{words}{_lengths("Words of a paragraph", found.contexts)}'
        f"{_lengths('Words of a question', found.asked)}"
        f"{_lengths('Words of an answer', found.answers)}{numbers}</div>"
    )


def _lengths(name: str, found: Lengths) -> str:
    if not found.count:
        return ""
    names = [f"{int(edge):,}" for edge in found.edges[:-1]]
    note = f"{name} · median {found.median:,.0f}, most {found.most:,}"
    return bar_plot(note, [int(n) for n in found.counts], names, "texts")


def paragraph(shown: Paragraph, place: tuple[int, int], picked: int | None = None) -> str:
    """A passage with the answers of all its questions marked; picked: the one that stands out."""
    first = max(0, (picked or 0) - QUESTIONS + 1)
    questions = list(enumerate(shown.questions))[first : first + QUESTIONS]
    found: list[Mark] = []
    for number, question in questions:
        found += marks(question.answers, shown.context, question=number)
        found += marks(question.plausible, shown.context, PLAUSIBLE, number)
    if picked is not None:  # a passage that is too long is cut around the first
        found.sort(key=lambda mark: mark.question != picked)
    listed = "".join(
        _question(question, shown.context, number, number == picked)
        for number, question in questions
    )
    more = len(shown.questions) - len(questions)
    rest = f'<p class="at-none">{more:,} more questions on this paragraph.</p>' if more > 0 else ""
    none = "" if shown.questions else '<p class="at-none">No question is asked here.</p>'
    path = path_of(*place)
    return (
        f'<blockquote class="at-passage" dir="auto" tabindex="0" aria-label="Passage">'
        f"{marked(shown.context, found)}</blockquote>{_legend(found)}"
        f'<ol class="at-questions">{listed}</ol>{rest}{none}'
        f'<p class="at-foot"><code>{path}</code></p>'
    )


def _legend(found: Sequence[Mark]) -> str:
    kinds = {mark.kind for mark in found}
    names = (
        ("gold", "answer"),
        (PLAUSIBLE, "plausible, but no answer"),
        (MISPLACED, "not the text that the file says"),
    )
    keys = "".join(
        f'<span><mark class="{kind}">{name}</mark></span>' for kind, name in names if kind in kinds
    )
    return f'<p class="at-keys">{keys}</p>' if keys else ""


def _question(question: Question, context: str, number: int, picked: bool) -> str:
    if question.has_answer:
        tag = '<span class="at-tag">answerable</span>'
    else:
        tag = '<span class="at-tag not">no answer</span>'
    answers = _answers(question.answers, context, "gold")
    plausible = _answers(question.plausible, context, PLAUSIBLE)
    return (
        f'<li tabindex="0" role="button" data-question="{number}" '
        f'class="{"picked" if picked else ""}" aria-pressed="{"true" if picked else "false"}">'
        f'<p dir="auto">{plain(question.text)}</p>{tag}'
        f'<div class="at-given">{answers}{plausible}</div><small>{plain(question.id)}</small></li>'
    )


def _answers(answers: Sequence[Answer], context: str, kind: str) -> str:
    """The different answers with how many annotators gave them."""
    given: dict[tuple[str, str], int] = {}
    for answer in answers:
        (mark,) = marks([answer], context, kind)
        given[answer.text, mark.kind] = given.get((answer.text, mark.kind), 0) + 1
    return "".join(
        f'<span><mark class="{at}" dir="auto">{plain(text) or "(empty)"}</mark>'
        f"{f' × {count}' if count > 1 else ''}</span>"
        for (text, at), count in given.items()
    )
