"""Pictures that a job has made by the studio's own engine and keeps by itself."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from studio.context import Context, ModelSpec, Signal
from studio.events import Event, Loading, Notice, Progress
from studio.models.entry import ModelEntry
from studio.requests import GenerationRequest
from studio.store.outputs import Picture
from studio.training_requests import TrainRequest

Paint = Callable[[GenerationRequest, Context], None]
"""Makes pictures of a request that need not be complete and saves them by the context."""


class Painting:
    """A context of a job whose pictures are not put among its outputs.

    keep: takes each picture. tell: takes the share of the picture at work that is done.
    """

    def __init__(
        self,
        context: Context,
        keep: Callable[[Picture], object],
        tell: Callable[[float], object],
    ):
        self.job_id = context.job_id
        self._context = context
        self._keep = keep
        self._tell = tell

    def borrow(self, spec: ModelSpec) -> AbstractContextManager[Any]:
        """As of the job."""
        return self._context.borrow(spec)

    def check(self) -> Signal:
        """As of the job; none of them is skipped."""
        self._context.check()
        return Signal.GO_ON

    def emit(self, event: Event) -> None:
        """Of all that painting tells, how far it is."""
        if isinstance(event, Progress):
            self._tell(event.step / max(1, event.steps))
        elif isinstance(event, Loading | Notice):
            self._context.emit(event)

    def save(self, artifact: Picture) -> int:
        """Hand a picture on."""
        self._keep(artifact)
        return 0


def side_of(request: TrainRequest, entry: ModelEntry) -> int:
    """The side of a training's own pictures, as a number that the model can paint."""
    side = request.resolution or entry.width
    return max(entry.multiple, side // entry.multiple * entry.multiple)
