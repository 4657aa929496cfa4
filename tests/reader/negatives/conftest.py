"""A small article of our own, and its questions as rules see them."""

from collections.abc import Callable

import pytest

from studio.reader.negatives.case import Case
from studio.reader.negatives.make import cases
from studio.reader.squad import Answer, Article, Paragraph, Question, Squad

LIGHTHOUSE = (
    "The lighthouse of Port Amber was built by Ines Calloway in 1861. It is the largest lighthouse "
    "of the coast and has nine floors. Because of storms, a second tower was finished in May 1874 "
    "by Tobias Renn. Its lamp was seen from Greyhaven, which lies forty miles to the north."
)
HARBOUR = (
    "The harbour of Port Amber was opened after the lighthouse. During the winter of 1902 the ice "
    "closed it for six weeks, and Marta Oduya led the ships to Saltmarsh, where the mayor gave "
    "them bread. The harbour was sold to the Tern Company in 1910, and to the city in 1933."
)
MARKET = (
    "The market of Port Amber is held every Saturday. Farmers of the valley bring apples, cheese "
    "and wool to the square. Before the war, the market was held by the river, in Lower Quay."
)
ASKED = {
    LIGHTHOUSE: [
        ("built", "Who built the lighthouse of Port Amber in 1861?", "Ines Calloway"),
        ("floors", "How many floors does the largest lighthouse of the coast have?", "nine"),
        ("lamp", "From where was the lamp of Tobias Renn seen?", "Greyhaven"),
        ("second", "When was the second tower finished?", "May 1874"),
        ("miles", "Which town lies forty miles to the north?", "Greyhaven"),
    ],
    HARBOUR: [
        ("led", "Who led the ships to Saltmarsh?", "Marta Oduya"),
        ("sold", "Who bought the harbour of Port Amber in 1910?", "the Tern Company"),
        ("weeks", "How long was the harbour closed during the winter of 1902?", "six weeks"),
    ],
    MARKET: [
        ("day", "On which day is the market of Port Amber held?", "Saturday"),
        ("wool", "Who brings wool to the square?", "Farmers of the valley"),
    ],
}


def paragraph(context: str, asked: list[tuple[str, str, str]]) -> Paragraph:
    """A passage with questions, each with its id and its answer."""
    return Paragraph(
        context,
        tuple(
            Question(id, text, (Answer(answer, context.index(answer)),))
            for id, text, answer in asked
        ),
    )


@pytest.fixture(scope="session")
def port_amber() -> Squad:
    """Three passages on one town, ten questions with answers."""
    paragraphs = tuple(paragraph(context, asked) for context, asked in ASKED.items())
    return Squad((Article("Port Amber", paragraphs),))


@pytest.fixture(scope="session")
def case_of(port_amber: Squad) -> Callable[[str], Case]:
    """The case of a question's id."""
    found = {case.question.id: case for _, _, case in cases(port_amber)}
    return found.__getitem__


@pytest.fixture
def case_with() -> Callable[..., Case]:
    """A case of one passage, a question and its answer."""

    def make(context: str, question: str, answer: str) -> Case:
        squad = Squad((Article("Own", (paragraph(context, [("own", question, answer)]),)),))
        return next(case for _, _, case in cases(squad))

    return make
