"""What goes over the wire between the server and a device's process."""

import io

import pytest
from sample_pictures import picture

from studio.device.faults import error_of, refused
from studio.device.messages import DOWNSTREAM, UPSTREAM, Handed, Run, Sender, Told, read_frame
from studio.errors import (
    AtelierError,
    Cancelled,
    ModelError,
    OutOfMemory,
    RequestError,
    ServerEnds,
)
from studio.events import Measured, Preview, Progress


@pytest.mark.parametrize(
    "message",
    [
        Told(call=3, event=Progress(step=1, steps=2, item=1, items=1, seconds_left=0.1 + 0.2)),
        Told(call=3, event=Preview(image=bytes(range(256)), step=4)),
        Told(call=3, event=Measured(step=1, values={"loss": 1e-300})),
        Handed(call=4, picture=picture("ein Öltürmchen 🗼", seed=2**40)),
    ],
)
def test_a_message_arrives_as_it_was_sent(message):
    wire = io.BytesIO()
    sender = Sender(wire)
    sender.send(message)
    sender.send(message)
    wire.seek(0)
    assert UPSTREAM.validate_json(read_frame(wire)) == message
    assert UPSTREAM.validate_json(read_frame(wire)) == message
    assert read_frame(wire) is None


def test_half_a_message_is_none():
    wire = io.BytesIO()
    Sender(wire).send(Run(call=1, job_id="a", kind="generate", request="{}"))
    whole = wire.getvalue()
    for length in (0, 1, 3, 4, len(whole) - 1):
        assert read_frame(io.BytesIO(whole[:length])) is None
    assert DOWNSTREAM.validate_json(read_frame(io.BytesIO(whole))).kind == "generate"


def test_whoever_sends_to_nobody_is_told():
    gone = []
    wire = io.BytesIO()
    wire.close()
    Sender(wire, lambda: gone.append(True)).send(Told(call=1, event=Measured(step=1, values={})))
    assert gone == [True]


@pytest.mark.parametrize(
    "error",
    [
        RequestError("Too many steps.", "steps"),
        OutOfMemory("It does not fit.", 5, 3),
        ModelError("It is damaged."),
        Cancelled(),
        ServerEnds(),
    ],
)
def test_a_failure_is_the_same_on_the_other_side(error):
    arrived = error_of(refused(1, error))
    assert type(arrived) is type(error)
    assert str(arrived) == str(error)
    assert vars(arrived) == vars(error)


def test_an_unforeseen_failure_arrives_as_a_sentence():
    arrived = error_of(refused(1, KeyError("nobody\nknows")))
    assert type(arrived) is AtelierError
    assert str(arrived).startswith("An unexpected fault stopped the job (KeyError: ")
    assert str(arrived).endswith("; the log has the details.")
