"""Readers: questions answered at once, and the leaderboard of evaluations."""

from typing import Annotated, Any

from fastapi import APIRouter, Body, Query
from pydantic import BaseModel, Field

from studio.api.v1.door import BUSY
from studio.reader.answering import PATIENCE, Answered, at_most
from studio.reader.documents import Document, pasted
from studio.reader.leaderboard import Standing
from studio.reader_requests import AskRequest
from studio.services import Services
from studio.store.submissions import DataSetRow

_EXAMPLES: dict[str, Any] = {
    "answered": {
        "summary": "A question that the text answers",
        "value": {
            "question": "When was the bridge closed?",
            "context": "The bridge was closed in 1931.",
        },
    }
}


class AnswerRequest(AskRequest):
    """A question and the text that it is asked of, which is kept nowhere."""

    context: str = Field(min_length=1, max_length=20_000_000)


class AnswerItem(BaseModel):
    """A stretch of the text, characters `start` to `end`; place: where in it, in words."""

    text: str
    probability: float
    start: int
    end: int
    place: str


class Answer(BaseModel):
    """What a reader found.

    answer: "" when it says that the text has none. probability: that the text has an answer.
    threshold: probability of "no answer" beyond which that is said. is_calibrated: whether the
    reader's probabilities were fitted. answers: the best and its runners-up. passages, read: how
    many the text has, and how many of them were read. notices: what one should know of the text.
    """

    question: str
    answer: str
    is_answered: bool
    probability: float
    threshold: float
    reader: str
    is_calibrated: bool
    answers: list[AnswerItem]
    passages: int
    read: int
    seconds: float
    notices: list[str]


class StandingInfo(BaseModel):
    """A line of the leaderboard; exact, f1: in percent.

    rank, submission, created_at: None for what is only there to compare. created_at: seconds since
    1970. scores: by the keys of the official script.
    """

    rank: int | None
    name: str
    who: str
    exact: float
    f1: float
    submission: int | None
    created_at: float | None
    scores: dict[str, float]


class DataSetInfo(BaseModel):
    """A data set with evaluations."""

    name: str
    sha256: str
    questions: int
    submissions: int


class LeaderboardInfo(BaseModel):
    """The evaluations on a data set, best first, and the data sets that have some."""

    data_set: str
    standings: list[StandingInfo]
    data_sets: list[DataSetInfo]


def add_routes(router: APIRouter, services: Services) -> None:
    """Add them to a router."""
    board = services.leaderboard

    @router.post(
        "/reader/answer",
        responses=BUSY,
        operation_id="answer_question",
        summary="Ask a text",
        tags=["reader"],
    )
    def answer(sent: Annotated[AnswerRequest, Body(openapi_examples=_EXAMPLES)]) -> Answer:
        """The answers to a question in a text, and whether it has one at all."""
        document = pasted(sent.context)
        found = services.answering.ask(document, sent, on_wait=at_most(PATIENCE))
        return _told(found, document)

    @router.get(
        "/reader/leaderboard",
        operation_id="get_leaderboard",
        summary="Read the leaderboard",
        tags=["reader"],
    )
    def leaderboard(
        data_set: Annotated[
            str, Query(max_length=200, description="Its name; empty for the first.")
        ] = "",
        history: Annotated[
            bool, Query(description="All evaluations, not the best of each model and person.")
        ] = False,
    ) -> LeaderboardInfo:
        """Evaluations, which are asked for as jobs of the kind `evaluate-reader`."""
        known = board.data_sets()
        chosen = data_set or (known[0].name if known else "")
        return LeaderboardInfo(
            data_set=chosen,
            standings=[_standing(line) for line in board.ranked(chosen, history)],
            data_sets=[_data_set(each) for each in known],
        )


def _told(found: Answered, document: Document) -> Answer:
    best = found.best
    read, passages = found.passages
    return Answer(
        question=found.question,
        answer=best.text if best else "",
        is_answered=best is not None,
        probability=found.probability,
        threshold=found.threshold,
        reader=found.reader,
        is_calibrated=found.is_calibrated,
        answers=[
            AnswerItem(
                text=each.text,
                probability=each.probability,
                start=each.start,
                end=each.end,
                place=each.place,
            )
            for each in found.answers
        ],
        passages=passages,
        read=read,
        seconds=found.seconds,
        notices=list(document.notices),
    )


def _standing(line: Standing) -> StandingInfo:
    row = line.submission
    return StandingInfo(
        rank=line.rank,
        name=line.name,
        who=row.who if row else line.note,
        exact=line.exact,
        f1=line.f1,
        submission=row.id if row else None,
        created_at=row.created_at if row else None,
        scores=row.scores if row else {},
    )


def _data_set(row: DataSetRow) -> DataSetInfo:
    return DataSetInfo(
        name=row.name, sha256=row.sha256, questions=row.questions, submissions=row.submissions
    )
