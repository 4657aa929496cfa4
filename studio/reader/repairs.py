"""Mends what `faults` finds: what can be known is put right, the rest is taken out and told."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace

from studio.reader.faults import cleaned, same_question, shown
from studio.reader.squad import Answer, Article, Paragraph, Question, Squad, path_of

_Place = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Repair:
    """What was done, and where in the file as it was read."""

    path: str
    done: str


def repaired(squad: Squad) -> tuple[Squad, list[Repair]]:
    """The data set without faults, and all that was done; nothing is invented but ids.

    Answers are moved to the nearest place where they stand, answers of impossible questions become
    plausible ones where there are none, repeated questions become one with the answers of both.
    """
    work = _Work(squad.all_answerable)
    articles = tuple(
        Article(work.clean(article.title, f"{path_of(a)}.title"), work.paragraphs(article, a))
        for a, article in enumerate(squad.articles)
    )
    articles = work.with_ids(articles)
    if not work.done:
        return squad, []
    return Squad(articles, squad.version), work.done


class _Work:
    """One pass over a data set."""

    def __init__(self, all_answerable: bool):
        self.done: list[Repair] = []
        self._all_answerable = all_answerable
        # Where each question that is kept stood, in the order of the file.
        self._places: list[_Place] = []
        self._numbers: Counter[str] = Counter()

    def clean(self, text: str, path: str) -> str:
        clean = cleaned(text)
        if clean != text:
            self._tell(path, "put blanks or marks in the place of what is no character")
        return clean

    def paragraphs(self, article: Article, a: int) -> tuple[Paragraph, ...]:
        kept = []
        for p, paragraph in enumerate(article.paragraphs):
            context = self.clean(paragraph.context, f"{path_of(a, p)}.context")
            if context.strip():
                kept.append(Paragraph(context, self._questions(paragraph, context, (a, p))))
            else:
                n = len(paragraph.questions)
                self._tell(path_of(a, p), f"removed, as its context has no words ({n} questions)")
        return tuple(kept)

    def with_ids(self, articles: tuple[Article, ...]) -> tuple[Article, ...]:
        """The same with ids that are there and differ; the first with an id keeps it."""
        taken = {
            question.id
            for article in articles
            for paragraph in article.paragraphs
            for question in paragraph.questions
        }
        places = iter(self._places)
        met: set[str] = set()

        def named(question: Question) -> Question:
            place = next(places)
            name = question.id
            if not name.strip():
                name = self._free("question-{}-{}-{}".format(*place), taken)
                self._tell(f"{path_of(*place)}.id", f"gave it the id {name}")
            elif name in met:
                name = self._free(name, taken)
                self._tell(f"{path_of(*place)}.id", f"made it {shown(name)}, as the id was taken")
            met.add(name)
            taken.add(name)
            return question if name == question.id else replace(question, id=name)

        return tuple(
            replace(
                article,
                paragraphs=tuple(
                    replace(paragraph, questions=tuple(map(named, paragraph.questions)))
                    for paragraph in article.paragraphs
                ),
            )
            for article in articles
        )

    def _questions(
        self, paragraph: Paragraph, context: str, at: tuple[int, int]
    ) -> tuple[Question, ...]:
        kept: dict[str, Question] = {}
        for q, question in enumerate(paragraph.questions):
            place = (*at, q)
            path = path_of(*place)
            text = self.clean(question.text, f"{path}.question")
            if not text.strip():
                self._tell(path, "removed, as the question has no words")
                continue
            made = self._answered(
                replace(question, text=text, id=self.clean(question.id, f"{path}.id")),
                context,
                path,
            )
            if made is None:
                continue
            same = same_question(text)
            if same not in kept:
                kept[same] = made
                self._places.append(place)
            else:
                kept[same] = self._merged(kept[same], made, path)
        return tuple(kept.values())

    def _answered(self, question: Question, context: str, path: str) -> Question | None:
        answers = tuple(self._answers(question.answers, context, f"{path}.answers"))
        plausible = tuple(self._answers(question.plausible, context, f"{path}.plausible_answers"))
        impossible = question.is_impossible and not self._all_answerable
        if impossible and question.answers:
            moved = answers and not plausible
            self._tell(
                f"{path}.answers",
                "made plausible answers of those of an impossible question"
                if moved
                else "removed, as the question is impossible",
            )
            answers, plausible = (), plausible or answers
        if not impossible and not answers:
            if question.answers or not plausible or self._all_answerable:
                self._tell(
                    path, "removed, as the question has no answer that stands in the context"
                )
                return None
            impossible = True
            self._tell(f"{path}.is_impossible", "made true, as there are only plausible answers")
        return replace(question, answers=answers, plausible=plausible, is_impossible=impossible)

    def _answers(self, answers: tuple[Answer, ...], context: str, path: str) -> Iterator[Answer]:
        for i, answer in enumerate(answers):
            made = placed(answer, context)
            if made is None:
                why = f"removed, as {shown(answer.text)} does not stand in the context"
                self._tell(f"{path}[{i}]", why)
                continue
            if made != answer:
                self._tell(
                    f"{path}[{i}]",
                    f"made {shown(made.text)} at character {made.start} of {shown(answer.text)} "
                    f"at {answer.start}",
                )
            yield made

    def _merged(self, first: Question, second: Question, path: str) -> Question:
        if not (first.answers and second.answers):
            self._tell(path, f"removed, as {shown(second.text)} is asked before")
            return first
        new = tuple(answer for answer in second.answers if answer not in first.answers)
        also = f"; {len(new)} of its answers went there" if new else ""
        self._tell(path, f"removed, as {shown(second.text)} is asked before{also}")
        return replace(first, answers=first.answers + new)

    def _free(self, name: str, taken: set[str]) -> str:
        """This name, with a number after it that makes it free."""
        while True:
            self._numbers[name] += 1
            free = f"{name}-{self._numbers[name] + 1}"
            if free not in taken:
                return free

    def _tell(self, path: str, done: str) -> None:
        self.done.append(Repair(path, done))


def placed(answer: Answer, context: str) -> Answer | None:
    """The answer as it stands nearest to where it should, without white space around it.

    Capital letters and inner white space are taken from the context. None if it stands nowhere.
    """
    text = cleaned(answer.text)
    start = answer.start + len(text) - len(text.lstrip())
    text = text.strip()
    if not text:
        return None
    if start >= 0 and context.startswith(text, start):
        return Answer(text, start)
    near = min(max(start, 0), len(context))
    before = context.rfind(text, 0, near + len(text))
    after = context.find(text, near)
    places = [place for place in (before, after) if place >= 0]
    if places:
        return Answer(text, min(places, key=lambda place: abs(place - start)))
    loosely = r"\s+".join(map(re.escape, text.split()))
    found = [
        Answer(match[0], match.start()) for match in re.finditer(loosely, context, re.IGNORECASE)
    ]
    return min(found, key=lambda each: abs(each.start - start), default=None)
