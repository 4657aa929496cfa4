"""Looks for words in the questions, answers and contexts of a data set."""

from dataclasses import dataclass
from enum import StrEnum

from studio.reader.question_words import question_word
from studio.reader.squad import Asked, Squad


class FoundIn(StrEnum):
    """Where the words stand, the more telling first; ANYWHERE: nothing was looked for."""

    QUESTION = "question"
    ANSWER = "answer"
    CONTEXT = "context"
    ANYWHERE = ""


@dataclass(frozen=True, slots=True)
class Match:
    """A question that was found, and where the words stand."""

    asked: Asked
    where: FoundIn


@dataclass(frozen=True, slots=True)
class Matches:
    """A page of what was found; total counts all of it."""

    matches: tuple[Match, ...]
    total: int


class Finder:
    """Searches one data set without regard to capital letters; folds all its texts once."""

    def __init__(self, squad: Squad):
        self._asked = list(squad.asked())
        self._questions = [each.question.text.casefold() for each in self._asked]
        self._answers = [_answers(each) for each in self._asked]
        self._words = [question_word(each.question.text) for each in self._asked]
        # Questions of one paragraph share its text, which is searched once.
        contexts = {each.place[:2]: each.context for each in self._asked}
        numbers = {place: number for number, place in enumerate(contexts)}
        self._context_of = [numbers[each.place[:2]] for each in self._asked]
        self._contexts = [context.casefold() for context in contexts.values()]

    def find(
        self,
        text: str = "",
        answerable: bool | None = None,
        word: str | None = None,
        limit: int = 50,
        offset: int = 0,
    ) -> Matches:
        """Questions in which the text stands, or in whose answers or context, in this order.

        answerable: only those that have answers, or that have none. word: only those of this
        question word. Without a text all of these, in the order of the file.
        """
        where = self._where(text.strip().casefold())
        found: dict[FoundIn, list[int]] = {each: [] for each in FoundIn}
        for i, asked in enumerate(self._asked):
            if (
                (place := where[i]) is not None
                and (answerable is None or asked.question.has_answer == answerable)
                and (word is None or self._words[i] == word)
            ):
                found[place].append(i)
        every = [(i, place) for place, those in found.items() for i in those]
        page = every[max(0, offset) : max(0, offset) + max(0, limit)]
        return Matches(tuple(Match(self._asked[i], place) for i, place in page), len(every))

    def _where(self, text: str) -> list[FoundIn | None]:
        """For each question, where the text stands first."""
        if not text:
            return [FoundIn.ANYWHERE] * len(self._asked)
        held = [text in context for context in self._contexts]
        return [
            FoundIn.QUESTION
            if text in question
            else FoundIn.ANSWER
            if text in answers
            else FoundIn.CONTEXT
            if held[number]
            else None
            for question, answers, number in zip(
                self._questions, self._answers, self._context_of, strict=True
            )
        ]


def _answers(asked: Asked) -> str:
    """All that may be an answer, each once, on lines of their own."""
    given = asked.question.answers + asked.question.plausible
    return "\n".join(dict.fromkeys(answer.text.casefold() for answer in given))
