"""The job that has a local model write the captions of a picture set."""

from collections.abc import Callable
from pathlib import Path

from studio.context import Context, ModelSpec
from studio.events import Notice
from studio.models.captioners import CAPTIONER, CaptionerShelf
from studio.training.counting import Counted
from studio.training.pictures.captioning import caption_set
from studio.training_requests import CaptionRequest

_TOLD = 3


class Captioning:
    """Its work function, and what completes its requests.

    pictures: the folder of a picture set by its name; NotFound when there is none.
    """

    def __init__(self, shelf: CaptionerShelf, pictures: Callable[[str], Path]):
        self._shelf = shelf
        self._pictures = pictures

    def resolve(self, request: CaptionRequest) -> CaptionRequest:
        """The request with its captioner named; NotFound and ModelError in one sentence."""
        self._pictures(request.pictures)
        found = self._shelf.usable(request.captioner)
        return request.model_copy(update={"captioner": found.name})

    def __call__(self, request: CaptionRequest, context: Context) -> None:
        """Write the captions; those made until it is cancelled are kept, and can be undone."""
        with context.borrow(ModelSpec(CAPTIONER, request.captioner)) as model:
            done = caption_set(
                self._pictures(request.pictures),
                model,
                replace=request.replace,
                form=request.form,
                check=context.check,
                tell=Counted(context.emit, "captions").tell,
            )
        for each in done.failed[:_TOLD]:
            context.emit(Notice(text=each))
