"""What is wrong in a data set of the right form, with its place in the file.

The form itself is checked where a file is read, see `squad`; mending is for `repairs`.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from studio.reader.squad import Answer, Paragraph, Question, Squad, path_of

_NO_CHARACTERS = re.compile("[\x00\ud800-\udfff]")
_SHOWN = 60
"""Characters of a text that a message shows."""
_PLACES = 3
"""Places of an answer that a message tells."""


class FaultKind(StrEnum):
    """Sorts of faults; the value is what people read."""

    CHARACTERS = "no characters"
    EMPTY_CONTEXT = "empty context"
    EMPTY_QUESTION = "empty question"
    EMPTY_ID = "empty id"
    DUPLICATE_ID = "duplicate id"
    DUPLICATE_QUESTION = "duplicate question"
    NO_ANSWER = "no answer"
    NEEDLESS_ANSWER = "answer of an impossible question"
    EMPTY_ANSWER = "empty answer"
    OUTSIDE = "answer outside the context"
    WRONG_START = "answer elsewhere"
    WHITE_SPACE = "white space around an answer"


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong; path: where in the file, as data[3].paragraphs[2].qas[1].id.

    place: indices of article, paragraph and question, as far as they go. stands_at: characters of
    the context at which an answer with a wrong place does stand.
    """

    path: str
    kind: FaultKind
    message: str
    place: tuple[int, ...] = ()
    stands_at: tuple[int, ...] = ()


def faults(squad: Squad) -> list[Fault]:
    """All faults, in the order of the file."""
    found: list[Fault] = []
    ids: dict[str, str] = {}
    for a, article in enumerate(squad.articles):
        found += _characters(article.title, f"{path_of(a)}.title", (a,))
        for p, paragraph in enumerate(article.paragraphs):
            found += _of_context(paragraph, (a, p))
            for q, question in enumerate(paragraph.questions):
                found += _of_id(question, (a, p, q), ids)
                found += _of_question(question, (a, p, q), paragraph.context)
                found += _of_answerability(question, (a, p, q), squad.all_answerable)
            found += _repeated(paragraph, (a, p))
    return sorted(found, key=lambda fault: fault.place)


def cleaned(text: str) -> str:
    """The text with a blank for each NUL and a mark for each half of a pair; no place moves."""
    return _NO_CHARACTERS.sub(lambda found: " " if found[0] == "\x00" else "\ufffd", text)


def same_question(text: str) -> str:
    """What two questions have in common that ask the same in the same words."""
    return " ".join(text.split()).casefold()


def shown(text: str) -> str:
    """A text between quotation marks, as a message shows it."""
    text = cleaned(" ".join(text.split()))
    return f"“{text[:_SHOWN]}…”" if len(text) > _SHOWN else f"“{text}”"


def _characters(text: str, path: str, place: tuple[int, ...]) -> Iterator[Fault]:
    found = _NO_CHARACTERS.search(text)
    if found:
        what = "a NUL" if found[0] == "\x00" else "half of a pair"
        message = f"character {found.start()} is {what}, which is no character"
        yield Fault(path, FaultKind.CHARACTERS, message, place)


def _of_context(paragraph: Paragraph, place: tuple[int, int]) -> Iterator[Fault]:
    path = f"{path_of(*place)}.context"
    if not cleaned(paragraph.context).strip():
        yield Fault(path, FaultKind.EMPTY_CONTEXT, "the context has no words", place)
    yield from _characters(paragraph.context, path, place)


def _of_id(question: Question, place: tuple[int, int, int], ids: dict[str, str]) -> Iterator[Fault]:
    path = f"{path_of(*place)}.id"
    if not cleaned(question.id).strip():
        yield Fault(path, FaultKind.EMPTY_ID, "the id is empty", place)
        return
    yield from _characters(question.id, path, place)
    if question.id in ids:
        message = f"the id {shown(question.id)} is that of {ids[question.id]}, too"
        yield Fault(path, FaultKind.DUPLICATE_ID, message, place)
    ids.setdefault(question.id, path_of(*place))


def _of_question(question: Question, place: tuple[int, int, int], context: str) -> Iterator[Fault]:
    path = path_of(*place)
    if not cleaned(question.text).strip():
        message = "the question has no words"
        yield Fault(f"{path}.question", FaultKind.EMPTY_QUESTION, message, place)
    yield from _characters(question.text, f"{path}.question", place)
    for name, answers in (("answers", question.answers), ("plausible_answers", question.plausible)):
        for i, answer in enumerate(answers):
            yield from _of_answer(answer, f"{path}.{name}[{i}]", place, context)


def _of_answer(
    answer: Answer, path: str, place: tuple[int, int, int], context: str
) -> Iterator[Fault]:
    yield from _characters(answer.text, f"{path}.text", place)
    text = answer.text
    if not cleaned(text).strip():
        yield Fault(path, FaultKind.EMPTY_ANSWER, "the answer has no words", place)
        return
    if answer.start < 0 or answer.end > len(context):
        at = tuple(_places(context, text))
        message = (
            f"the answer {shown(text)} begins at character {answer.start}, but the context has "
            f"only {len(context)}; {_told(at)}"
        )
        yield Fault(path, FaultKind.OUTSIDE, message, place, at)
    elif not context.startswith(text, answer.start):
        at = tuple(_places(context, text))
        there = context[answer.start : answer.end]
        message = (
            f"the answer {shown(text)} is not what stands at character {answer.start}, which is "
            f"{shown(there)}; {_told(at)}"
        )
        yield Fault(path, FaultKind.WRONG_START, message, place, at)
    if text != text.strip():
        message = f"there is white space around the answer {shown(text)}"
        yield Fault(path, FaultKind.WHITE_SPACE, message, place)


def _places(context: str, text: str) -> Iterator[int]:
    at = context.find(text)
    for _ in range(_PLACES):
        if at < 0:
            return
        yield at
        at = context.find(text, at + 1)


def _told(places: tuple[int, ...]) -> str:
    if not places:
        return "it stands nowhere in the context"
    return f"it stands at {' and '.join(map(str, places))}"


def _of_answerability(
    question: Question, place: tuple[int, int, int], all_answerable: bool
) -> Iterator[Fault]:
    path = path_of(*place)
    if question.answers and question.is_impossible and not all_answerable:
        message = "the question is marked as impossible, but has answers"
        yield Fault(f"{path}.answers", FaultKind.NEEDLESS_ANSWER, message, place)
    if not question.answers and (all_answerable or not question.is_impossible):
        why = "is of SQuAD 1.1" if all_answerable else "is not marked as impossible"
        message = f"the question {why}, but has no answer"
        yield Fault(f"{path}.answers", FaultKind.NO_ANSWER, message, place)


def _repeated(paragraph: Paragraph, place: tuple[int, int]) -> Iterator[Fault]:
    asked: dict[str, int] = {}
    for q, question in enumerate(paragraph.questions):
        text = same_question(question.text)
        if not text:
            continue
        if text in asked:
            message = f"{shown(question.text)} is asked in {path_of(*place, asked[text])}, too"
            path = f"{path_of(*place, q)}.question"
            yield Fault(path, FaultKind.DUPLICATE_QUESTION, message, (*place, q))
        asked.setdefault(text, q)
