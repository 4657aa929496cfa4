"""What can be asked of readers: answers, evaluations, and data sets for them.

As in `requests`, a limit stands on its field and nowhere else.
"""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, field_validator

from studio.requests import Request

QUESTION_LIMIT = 2000
"""Characters; a reader's own limit, in tokens, is told when the question is read."""
DataSetName = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^\w(?:[\w.+ -]*\w)?$")]
"""A plain file name without an ending."""
ReaderId = Annotated[str, Field(max_length=300)]
"""The shelf's id of a reader; empty for the first one."""


class Precision(StrEnum):
    """Number format of a reader: the fastest that fits, as its weights are, or 8 bits on a CPU."""

    AUTO = "auto"
    FULL = "full"
    INT8 = "int8"


class AskRequest(Request):
    """A question on a text, which stands beside it and is not kept.

    answers: how many are told, the best and its runners-up. longest: tokens of an answer.
    passages: of a long text, how many are read. threshold: probability of "no answer" beyond which
    that is the answer; None for the reader's own.
    """

    question: str = Field(min_length=1, max_length=QUESTION_LIMIT)
    reader: ReaderId = ""
    answers: int = Field(5, ge=1, le=20)
    longest: int = Field(30, ge=1, le=200)
    passages: int = Field(12, ge=1, le=100)
    threshold: float | None = Field(None, ge=0, le=1)
    precision: Precision = Precision.AUTO

    @field_validator("question", mode="before")
    @classmethod
    def _asked(cls, value: object) -> object:
        if isinstance(value, str):
            value = value.strip()
            if not value:
                raise ValueError("is empty; ask something")
            if "\0" in value:
                raise ValueError("holds a NUL character; type it again")
        return value


class EvaluateRequest(Request):
    """A reader's scores on a data set, for the leaderboard.

    who: whom the submission is from. threshold: as in AskRequest.
    """

    kind: Literal["evaluate-reader"] = "evaluate-reader"
    data_set: DataSetName
    reader: ReaderId = ""
    precision: Precision = Precision.AUTO
    longest: int = Field(30, ge=1, le=200)
    threshold: float | None = Field(None, ge=0, le=1)
    who: str = Field("", max_length=100)


class FetchDataRequest(Request):
    """An official data set to be downloaded and compared with its checksum."""

    kind: Literal["fetch-data"] = "fetch-data"
    name: Literal["dev-v2.0", "train-v2.0", "dev-v1.1", "train-v1.1"]
