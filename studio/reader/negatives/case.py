"""What a rule is given, a question with all that stands around it, and what it makes."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from studio.reader.negatives.around import Around
from studio.reader.negatives.text import content_words, holds, normal, sentence_at, sentences
from studio.reader.squad import Answer, Question


@dataclass(frozen=True, slots=True)
class Case:
    """A question that its context answers; around: its article and the rest of the set."""

    question: Question
    context: str
    around: Around

    @property
    def text(self) -> str:
        """The question's words."""
        return self.question.text

    @property
    def answer(self) -> Answer:
        """The first annotator's answer."""
        return self.question.answers[0]

    @property
    def golds(self) -> tuple[str, ...]:
        """The texts of all answers."""
        return tuple(answer.text for answer in self.question.answers)

    def sentence(self) -> tuple[int, int]:
        """Start and end of the sentence in which the answer starts."""
        return sentence_at(self.context, self.answer.start)

    def told_with(self, word: str, of_question: str) -> bool:
        """Whether a sentence with this word says as much of the question as the answer's does.

        A question about it would then likely be true again. of_question: the word it replaces.
        """
        asked = content_words(self.text) - content_words(of_question)
        start, end = self.sentence()
        matched = len(asked & content_words(self.context[start:end]))
        for a, b in sentences(self.context):
            sentence = self.context[a:b]
            if holds(sentence, [word]) and 2 * len(asked & content_words(sentence)) >= matched:
                return True
        return False

    def is_answer(self, word: str) -> bool:
        """Whether a word is of an answer, or an answer of it."""
        this = f" {normal(word)} "
        answers = [f" {normal(gold)} " for gold in self.golds]
        return any(this in answer or answer in this for answer in answers)


@dataclass(frozen=True, slots=True)
class Edit:
    """What a rule made: a question, and a context where that is another than the case's.

    plausible: what a reader may take for the answer, where it stands in that context.
    """

    question: str
    context: str
    plausible: Answer | None


Rule = Callable[[Case, Random], Edit | None]


def asked_anew(case: Case, question: str) -> Edit | None:
    """The case with another question; nothing where that is the same to a reader."""
    question = " ".join(question.split())
    if normal(question) == normal(case.text):
        return None
    return Edit(_with_articles(question, case.text), case.context, case.answer)


def _with_articles(question: str, was: str) -> str:
    """The question with "a" and "an" as its changed words want them."""

    def article(found: re.Match[str]) -> str:
        if found[0] in was:
            return found[0]
        an = "an" if found[2][0].lower() in "aeiou" else "a"
        return f"{found[1][0]}{an[1:]} {found[2]}"

    return re.sub(r"\b(an?) (\w+)", article, question, flags=re.IGNORECASE)
