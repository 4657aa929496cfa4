"""What can be asked of readers: answers, evaluations, and data sets for them.

As in `requests`, a limit stands on its field and nowhere else.
"""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, field_validator

from studio.model_requests import NewModelRequest
from studio.requests import Request

QUESTION_LIMIT = 2000
"""Characters; a reader's own limit, in tokens, is told when the question is read."""
DataSetName = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^\w(?:[\w.+ -]*\w)?$")]
"""A plain file name without an ending."""
ReaderId = Annotated[str, Field(max_length=300)]
"""The shelf's id of a reader; empty for the first one."""


class Precision(StrEnum):
    """Number format of a reader.

    auto: bfloat16 on a CPU that multiplies in it, else full. full: float32 on a CPU, the device's
    own elsewhere. bfloat16: where a CPU has it; scores stay within a tenth of a point. int8: linear
    layers of 8 bits on a CPU, which loses some right answers.
    """

    AUTO = "auto"
    FULL = "full"
    BFLOAT16 = "bfloat16"
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


class TrainedIn(StrEnum):
    """Number format of a training's arithmetic: bfloat16 where a GPU has it, or by name."""

    AUTO = "auto"
    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"
    FLOAT16 = "float16"


class Recipe(Request):
    """How a reader is fine-tuned.

    epochs: times that every window is seen; max_steps: of the optimiser instead, 0 for the epochs.
    layer_decay: the learning rate of each layer is this share of that of the layer above it.
    head_rate: the rate of the output layer, as a multiple. warmup: share of all steps. clip_norm:
    of the gradients, 0 for none. dropout: of hidden states, attention_dropout: of the weights of
    attention; None keeps the model's. Without the latter a CPU is a quarter faster (2.64 to 3.53 s
    a step of MiniLM), because torch has a fused kernel for it. batch_size: windows that are in
    memory at a time; accumulate: such batches of one step of the optimiser, on each process.
    max_length, overlap: tokens of a window, and that neighbouring windows share. held_out: share of
    the training passages that the finished reader is calibrated on instead. evaluate_every: steps
    between scores, 0 for each epoch's end; dev_questions: that they are of, 0 for all. distill: how
    much the teachers count against the labels; temperature: of the softmax of both.
    """

    epochs: float = Field(2.0, gt=0, le=1000)
    max_steps: int = Field(0, ge=0, le=10**9)
    learning_rate: float = Field(5e-5, gt=0, le=1)
    layer_decay: float = Field(1.0, gt=0, le=1)
    head_rate: float = Field(1.0, gt=0, le=1000)
    warmup: float = Field(0.1, ge=0, le=1)
    weight_decay: float = Field(0.01, ge=0, le=1)
    clip_norm: float = Field(1.0, ge=0, le=1000)
    dropout: float | None = Field(None, ge=0, lt=1)
    attention_dropout: float | None = Field(None, ge=0, lt=1)
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    batch_size: int = Field(16, ge=1, le=4096)
    accumulate: int = Field(1, ge=1, le=4096)
    max_length: int = Field(384, ge=48, le=8192)
    overlap: int = Field(128, ge=0, le=4096)
    precision: TrainedIn = TrainedIn.AUTO
    held_out: float = Field(0.05, ge=0, le=0.5)
    evaluate_every: int = Field(0, ge=0, le=10**9)
    dev_questions: int = Field(2000, ge=0, le=10**6)
    distill: float = Field(0.5, ge=0, le=1)
    temperature: float = Field(2.0, ge=0.1, le=100)
    seed: int = Field(0, ge=0, le=2**32 - 1)


class FinetuneRequest(Recipe, NewModelRequest):
    """A new reader from an encoder, or from a reader.

    base: its id in the models folder or on the hub. train, dev: names of data sets; without dev
    there are no scores. teachers: readers whose answers are learnt too. processes: that train
    together, one on each GPU. who: whom the submission to the leaderboard is from.
    """

    kind: Literal["finetune-reader"] = "finetune-reader"
    base: str = Field(min_length=1, max_length=200)
    train: DataSetName
    dev: DataSetName | Literal[""] = ""
    teachers: tuple[ReaderId, ...] = Field((), max_length=16)
    processes: int = Field(1, ge=1, le=64)
    who: str = Field("", max_length=100)
