"""The page as Gradio runs it, for whoever asks: its queue works outside of their requests."""

from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.block_function import BlockFunction
from gradio.state_holder import SessionState
from gradio.utils import get_upload_folder
from starlette.requests import HTTPConnection

from studio.api.gate import address_of
from studio.api.guard import ASKING
from studio.people import NOBODY, Person, acting, acting_as
from tabs.belongings import Belongings, paths

_SESSIONS = 256


class Page(gr.Blocks):
    """A page whose every handler, also each step of one that yields, works for who sent the event.

    An event of nobody known works for whom the task does that handles it: with accounts for nobody.
    """

    def __init__(self, **given: Any):
        super().__init__(**given)
        # Those used last. Gradio keeps ten thousand, also of closed pages, of 0.6 MB each.
        self.state_session_capacity = _SESSIONS
        self.belongings = Belongings(Path(get_upload_folder()))

    async def process_api(  # type: ignore[override]
        self,
        block_fn: BlockFunction | int,
        inputs: list[Any],
        state: SessionState | None = None,
        request: Any = None,
        iterator: AsyncIterator[Any] | None = None,
        **given: Any,
    ) -> dict[str, Any]:
        """Gradio's own, within `acting_as`, and with the files of that person only."""
        person = asking(request)
        with acting_as(person, _address(request)):
            sent = [inputs, getattr(given.get("event_data"), "_data", None)]
            if not all(self.belongings.has(place, person) for place in paths(sent)):
                raise gr.Error(
                    "That file is not here any more; add it again.", print_exception=False
                )
            done = await super().process_api(
                block_fn, inputs, state=state, request=request, iterator=iterator, **given
            )
            for place in paths(done["data"]):
                self.belongings.hand(place, person)
            return done

    async def postprocess_data(
        self, block_fn: BlockFunction, predictions: list[Any] | dict[Any, Any], state: Any
    ) -> list[Any]:
        """Gradio's own, after which a control that was changed goes by its number again.

        Gradio makes a new control of it, with a number of its own, under which the session would
        keep that one too as soon as it is used: each that there ever was.
        """
        done = await super().postprocess_data(block_fn, predictions, state)
        if state is not None:
            for each in block_fn.outputs:
                state.blocks_config.blocks[each._id]._id = each._id
        return done


def asking(request: Any) -> Person:
    """Who sent an event; request: Gradio's, the web framework's, or one for each of a batch."""
    if isinstance(request, Sequence):
        people = {asking(each) for each in request}
        return people.pop() if len(people) == 1 else NOBODY
    connection = _connection(request)
    person = connection.scope.get(ASKING) if connection is not None else None
    return person if isinstance(person, Person) else acting()


def _address(request: Any) -> str | None:
    """From where an event was sent; None where that is as little known as by whom."""
    connection = _connection(request)
    return address_of(connection) if connection is not None else None


def _connection(request: Any) -> HTTPConnection | None:
    # Gradio's own has the web framework's in it, and looks for all else in there too.
    inner = request.request if isinstance(request, gr.Request) else request
    return inner if isinstance(inner, HTTPConnection) else None
