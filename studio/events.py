"""What a job tells while it runs: a closed set of typed events, streamed by job id."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter


class Status(StrEnum):
    """Where a job is; `LEGAL_MOVES` says where it may go."""

    QUEUED = "queued"
    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"

    @property
    def is_final(self) -> bool:
        """Whether nothing more will happen to the job."""
        return not LEGAL_MOVES[self]


LEGAL_MOVES: dict[Status, frozenset[Status]] = {
    Status.QUEUED: frozenset({Status.RUNNING, Status.CANCELLED}),
    # Back to the queue: what a stopped server was doing and the next one can go on with.
    Status.RUNNING: frozenset(
        {Status.FINISHED, Status.FAILED, Status.CANCELLED, Status.INTERRUPTED, Status.QUEUED}
    ),
    Status.FINISHED: frozenset(),
    Status.FAILED: frozenset(),
    Status.CANCELLED: frozenset(),
    Status.INTERRUPTED: frozenset(),
}


class _Event(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", ser_json_bytes="base64", val_json_bytes="base64"
    )


class Queued(_Event):
    """The job waits; position 1 is next to run. seconds: until it should begin, as things stand."""

    type: Literal["queued"] = "queued"
    position: int
    seconds: float | None = None


class Waiting(_Event):
    """The job waits for its device; holder: who has it. seconds_left: until it should be free."""

    type: Literal["waiting"] = "waiting"
    holder: str
    seconds_left: float | None = None


class Loading(_Event):
    """A model is being brought to the device."""

    type: Literal["loading"] = "loading"
    model: str


class Progress(_Event):
    """Step `step` of `steps` of item `item` of `items` is done; seconds_left: of the whole job.

    unit: what a step is called; label: what an item is.
    """

    type: Literal["progress"] = "progress"
    step: int
    steps: int
    item: int
    items: int
    seconds_left: float | None = None
    label: str = ""
    unit: str = "step"

    @property
    def fraction(self) -> float:
        """Share of the whole job that is done, 0 to 1."""
        done = (self.item - 1) * self.steps + self.step
        return min(1.0, done / max(1, self.items * self.steps))


class Measured(_Event):
    """What a training has measured after a step: points of curves, by their names."""

    type: Literal["measured"] = "measured"
    step: int
    values: dict[str, float]


class Preview(_Event):
    """A rough picture of what is being made; `image` is a WebP file."""

    type: Literal["preview"] = "preview"
    image: bytes
    step: int


class Saved(_Event):
    """An artifact is safe on disk; output_id is its row."""

    type: Literal["saved"] = "saved"
    output_id: int


class Notice(_Event):
    """Something that the person should know and that does not stop the job."""

    type: Literal["notice"] = "notice"
    text: str


class Finished(_Event):
    """All is done; outputs are rows, in the order they were made."""

    type: Literal["finished"] = "finished"
    outputs: tuple[int, ...] = ()
    seconds: float = 0.0


class Failed(_Event):
    """The job stopped; reason is one sentence for a person."""

    type: Literal["failed"] = "failed"
    reason: str
    outputs: tuple[int, ...] = ()


class Stopped(_Event):
    """The job was cancelled, or interrupted by the end of the server."""

    type: Literal["stopped"] = "stopped"
    status: Literal["cancelled", "interrupted"]
    outputs: tuple[int, ...] = ()


Event = Annotated[
    Queued
    | Waiting
    | Loading
    | Progress
    | Measured
    | Preview
    | Saved
    | Notice
    | Finished
    | Failed
    | Stopped,
    Field(discriminator="type"),
]
EVENT: TypeAdapter[Event] = TypeAdapter(Event)
FINAL = (Finished, Failed, Stopped)
TRANSIENT = (Queued, Waiting, Loading, Progress, Preview)
"""Of these only the newest matters; a slow listener is not sent the stale ones."""
