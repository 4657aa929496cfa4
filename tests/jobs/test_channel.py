"""A job's events on their way to listeners who come early, late, or read slowly."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from studio.context import Signal
from studio.errors import Cancelled, ServerEnds
from studio.events import (
    EVENT,
    Failed,
    Finished,
    Loading,
    Measured,
    Notice,
    Preview,
    Progress,
    Queued,
    Saved,
    Stopped,
)
from studio.jobs.channel import CancelToken, Channel

WAIT = 5.0


def step(number: int) -> Progress:
    return Progress(step=number, steps=20, item=1, items=1)


def test_a_listener_hears_all_in_order_and_then_it_ends():
    channel = Channel()
    with ThreadPoolExecutor(1) as pool:
        heard = pool.submit(lambda: list(channel.listen(WAIT)))
        sent = [Queued(position=1), Loading(model="M"), step(1), Saved(output_id=4)]
        for event in sent:
            channel.emit(event)
            time.sleep(0.02)
        channel.emit(Finished(outputs=(4,)))
        assert heard.result(WAIT) == [*sent, Finished(outputs=(4,))]


def test_who_comes_late_hears_what_lasts_and_the_newest_of_the_rest():
    channel = Channel()
    for event in (
        Queued(position=2),
        Queued(position=1),
        Loading(model="M"),
        *(step(n) for n in range(1, 9)),
        Preview(image=b"old", step=4),
        Saved(output_id=1),
        step(9),
        Preview(image=b"new", step=9),
        Notice(text="careful"),
        Saved(output_id=2),
    ):
        channel.emit(event)
    listener = channel.listen(heartbeat=0.01)
    heard = [next(listener) for _ in range(8)]
    assert heard == [
        Queued(position=1),
        Loading(model="M"),
        Saved(output_id=1),
        step(9),
        Preview(image=b"new", step=9),
        Notice(text="careful"),
        Saved(output_id=2),
        None,
    ]


def test_who_comes_after_the_end_hears_no_progress_but_all_that_lasts():
    channel = Channel()
    for event in (step(3), Preview(image=b"x", step=3), Saved(output_id=1), Failed(reason="x.")):
        channel.emit(event)
    for _ in range(2):
        assert list(channel.listen()) == [Saved(output_id=1), Failed(reason="x.")]


def test_a_slow_listener_is_not_sent_stale_progress():
    channel = Channel()
    listener = channel.listen(WAIT)
    channel.emit(step(1))
    assert next(listener) == step(1)
    for number in range(2, 500):
        channel.emit(step(number))
        channel.emit(Preview(image=bytes([number % 256]), step=number))
    assert next(listener) == step(499)
    assert next(listener) == Preview(image=bytes([499 % 256]), step=499)
    channel.emit(step(500))
    assert next(listener) == step(500)


def test_nothing_is_told_twice():
    channel = Channel()
    listener = channel.listen(heartbeat=0.01)
    channel.emit(Saved(output_id=1))
    assert [next(listener), next(listener), next(listener)] == [Saved(output_id=1), None, None]


def test_a_heartbeat_comes_when_nothing_happens():
    channel = Channel()
    start = time.monotonic()
    listener = channel.listen(heartbeat=0.05)
    assert [next(listener) for _ in range(3)] == [None] * 3
    assert 0.14 < time.monotonic() - start < 2


@pytest.mark.parametrize(
    "last", [Finished(), Failed(reason="x."), Stopped(status="cancelled")], ids=str
)
def test_nothing_follows_the_end(last):
    channel = Channel()
    assert not channel.closed
    channel.emit(last)
    channel.emit(Saved(output_id=9))
    channel.emit(Finished(seconds=9.0))
    assert channel.closed
    assert list(channel.listen()) == [last]


def test_the_end_wakes_all_who_listen():
    channel = Channel()
    ready = threading.Barrier(9)

    def listen():
        ready.wait()
        return list(channel.listen())

    with ThreadPoolExecutor(8) as pool:
        heard = [pool.submit(listen) for _ in range(8)]
        ready.wait()
        time.sleep(0.02)
        channel.emit(Finished())
        assert [each.result(WAIT) for each in heard] == [[Finished()]] * 8


def test_many_emit_and_listen_at_once_and_nothing_lasting_is_lost():
    channel = Channel()

    def emit(start):
        for number in range(start, 400, 4):
            channel.emit(Saved(output_id=number))
            channel.emit(step(number % 20))

    with ThreadPoolExecutor(12) as pool:
        heard = [pool.submit(lambda: list(channel.listen())) for _ in range(4)]
        for each in [pool.submit(emit, start) for start in range(4)]:
            each.result(WAIT)
        channel.emit(Finished())
        for each in heard:
            events = each.result(WAIT)
            assert events[-1] == Finished()
            saved = [event.output_id for event in events if isinstance(event, Saved)]
            assert sorted(saved) == list(range(400))
            for start in range(4):
                mine = [number for number in saved if number % 4 == start]
                assert mine == sorted(mine), "one emitter's events keep their order"


def test_a_listener_who_leaves_harms_nobody():
    channel = Channel()
    channel.emit(step(1))
    listener = channel.listen()
    next(listener)
    listener.close()
    channel.emit(Finished())
    assert list(channel.listen()) == [Finished()]


@pytest.mark.parametrize(
    "event",
    [
        Queued(position=3),
        Loading(model="M"),
        Progress(step=2, steps=9, item=1, items=2, seconds_left=1.5, label="x"),
        Preview(image=b"webp", step=2),
        Measured(step=20, values={"loss": 1.5, "learning_rate": 5e-05}),
        Saved(output_id=1),
        Notice(text="x"),
        Finished(outputs=(1, 2), seconds=3.5),
        Failed(reason="x.", outputs=(1,)),
        Stopped(status="interrupted", outputs=(1,)),
    ],
    ids=lambda event: event.type,
)
def test_events_go_through_json_and_back(event):
    assert EVENT.validate_json(EVENT.dump_json(event)) == event


def test_the_share_that_is_done():
    assert Progress(step=5, steps=10, item=1, items=2).fraction == 0.25
    assert Progress(step=10, steps=10, item=2, items=2).fraction == 1.0
    assert Progress(step=12, steps=10, item=2, items=2).fraction == 1.0
    assert Progress(step=0, steps=0, item=1, items=0).fraction == 0.0


# The wish to stop


def test_a_fresh_token_wishes_nothing():
    assert CancelToken().check() is Signal.GO_ON


def test_a_skip_is_read_once():
    token = CancelToken()
    token.skip()
    token.skip()
    assert token.check() is Signal.SKIP
    assert token.check() is Signal.GO_ON
    token.skip()
    assert token.check() is Signal.SKIP


def test_a_cancel_lasts_and_beats_a_skip():
    token = CancelToken()
    token.skip()
    token.cancel()
    for _ in range(2):
        with pytest.raises(Cancelled):
            token.check()


def test_the_end_of_the_server_is_told_from_a_persons_wish():
    token = CancelToken()
    token.cancel(closing=True)
    with pytest.raises(ServerEnds):
        token.check()
    token.cancel()
    with pytest.raises(Cancelled) as told:
        token.check()
    assert not isinstance(told.value, ServerEnds)
    taken_back = CancelToken()
    taken_back.cancel()
    taken_back.cancel(closing=True)
    with pytest.raises(Cancelled) as told:
        taken_back.check()
    assert not isinstance(told.value, ServerEnds), "the person was first"


def test_who_waits_without_a_thread_is_called_once_at_the_end():
    channel, calls = Channel(), []
    channel.when_closed(lambda: calls.append("early"))
    channel.emit(step(1))
    assert calls == []
    channel.emit(Finished())
    channel.emit(Failed(reason="too late"))
    assert calls == ["early"]
    channel.when_closed(lambda: calls.append("late"))
    assert calls == ["early", "late"]


def test_what_has_been_told_can_be_looked_at():
    channel = Channel()
    for event in (Queued(position=1), step(1), Saved(output_id=4), step(2)):
        channel.emit(event)
    assert channel.now() == [Queued(position=1), Saved(output_id=4), step(2)]


def test_who_is_attached_is_called_after_every_event_until_detached():
    channel, heard = Channel(), []

    def call():
        heard.append(channel.told()[-1])

    channel.attach(call)
    channel.emit(step(1))
    channel.emit(Notice(text="slow"))
    channel.detach(call)
    channel.emit(step(2))
    assert heard == [(1, step(1)), (2, Notice(text="slow"))]


def test_what_was_told_has_numbers_to_go_on_from():
    channel = Channel()
    for event in (step(1), Saved(output_id=4), step(2)):
        channel.emit(event)
    assert channel.told() == [(2, Saved(output_id=4)), (3, step(2))]
    assert channel.told(2) == [(3, step(2))]
    assert channel.told(3) == []
    channel.emit(Finished())
    assert channel.told(3) == [(4, Finished())]
