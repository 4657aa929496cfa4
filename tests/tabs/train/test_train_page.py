"""The Train tab within the whole page: its events as Gradio processes them."""

import asyncio

import gradio as gr
import pytest
from gradio.route_utils import Request
from gradio.state_holder import SessionState

from tabs.page import build_page


@pytest.fixture
def page(services):
    return build_page(services)


@pytest.fixture
def call(page):
    """The outputs of an event whose handler has a name; changes: by element id."""
    state = SessionState(page)

    def called(name, event=None, beside="at-train-name", **changes):
        function = next(
            each
            for each in page.fns.values()
            if each.name == name and beside in [box.elem_id for box in each.inputs]
        )
        inputs = [
            changes.get(str(box.elem_id), getattr(box, "value", None)) for box in function.inputs
        ]
        told = asyncio.run(
            page.process_api(
                block_fn=function,
                inputs=inputs,
                state=state,
                request=Request(),
                event_data=None if event is None else gr.EventData(None, event),
            )
        )["data"]
        return dict(zip([str(box.elem_id) for box in function.outputs], told, strict=True))

    return called


def test_a_press_on_train_queues_a_job(services, call, things):
    changes = {"at-train-pictures": things, "at-train-name": "rex", "at-train-prompt": "a thing"}
    call("start", **changes, **{"at-train-steps": "30"})
    [row] = services.queue.unended("train")
    asked = services.queue.request(row)
    assert (asked.name, asked.steps, asked.model) == ("rex", 30, services.catalogue.get("").id)


def test_a_wrong_number_is_an_error_in_words(services, call, things):
    changes = {"at-train-pictures": things, "at-train-name": "rex"}
    with pytest.raises(gr.Error, match=r"Learning rate must be less than or equal to 1"):
        call("start", **changes, **{"at-train-learning-rate": "10"})
    with pytest.raises(gr.Error, match=r"Rank must be greater|Value 0 is less"):
        call("start", **changes, **{"at-train-rank": 0})
    assert services.queue.unended("train") == []


def test_a_caption_is_written_from_the_page(services, call, things, sums):
    digest = sums(things)["thing 1.png"]
    told = {"sum": digest, "text": "a sks thing"}
    call("lists", None, "at-train-set-name")  # as when the panel is opened
    call("write", told, "at-train-set-name", **{"at-train-set-name": things})
    file = services.picture_sets.path(things) / "thing 1.txt"
    assert file.read_text() == "a sks thing"


def test_leaving_the_form_as_it_is_costs_no_event_at_the_start(page):
    loads = [fn for fn in page.fns.values() if any(event == "load" for _, event in fn.targets)]
    boxes = [str(box.elem_id) for fn in loads for box in (*fn.inputs, *fn.outputs)]
    assert not [each for each in boxes if each.startswith("at-train")]
