"""The queue: places in it, cancelling, skipping, following, and its end."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from studio.context import Signal
from studio.errors import NotFound, QueueFull, RequestError
from studio.events import Finished, Notice, Queued, Status, Stopped
from studio.jobs import queue as queue_module
from studio.jobs.queue import Line

LONGEST = 5
WAIT = 10.0


def position(desk, job_id):
    """The newest place in the queue that a follower hears of."""
    event = next(desk.queue.follow(job_id, heartbeat=0.01))
    return event.position if isinstance(event, Queued) else event


def test_who_waits_is_told_the_place(desk):
    ids = [desk.submit("x") for _ in range(3)]
    assert [position(desk, job_id) for job_id in ids] == [1, 2, 3]
    assert desk.queue.line() == Line(running=0, waiting=3)
    desk.queue.cancel(ids[0])
    assert [position(desk, job_id) for job_id in ids[1:]] == [1, 2]
    assert desk.queue.line() == Line(running=0, waiting=2)


def test_places_move_up_as_jobs_run(desk):
    go, started = threading.Event(), threading.Event()

    def slow(context):
        started.set()
        assert go.wait(WAIT)

    desk.errands |= {"slow": slow, "quick": lambda context: None}
    first, second, third = desk.submit("slow"), desk.submit("quick"), desk.submit("quick")
    heard = []
    with ThreadPoolExecutor(1) as pool:
        listening = pool.submit(lambda: heard.extend(desk.queue.follow(third)))
        desk.worker.start()
        assert started.wait(WAIT)
        assert position(desk, second) == 1
        assert desk.queue.line() == Line(running=1, waiting=2)
        go.set()
        listening.result(WAIT)
    places = [event.position for event in heard if isinstance(event, Queued)]
    assert places == sorted(places, reverse=True)
    assert isinstance(heard[-1], Finished)
    assert desk.wait(first) is Status.FINISHED
    assert desk.queue.line() == Line(running=0, waiting=0)


def test_an_older_list_of_places_is_never_told_after_a_newer_one(desk, monkeypatch):
    """A thread that read the queue long ago must not send who waits back to an old place."""
    first, second = desk.submit("x"), desk.submit("x")
    real = desk.jobs.queued
    read, go = threading.Event(), threading.Event()

    def slow():
        ids = real()
        if threading.current_thread().name.startswith("slow"):
            read.set()
            go.wait(WAIT)
        return ids

    monkeypatch.setattr(desk.jobs, "queued", slow)
    with ThreadPoolExecutor(1, "slow") as slow_one, ThreadPoolExecutor(1, "other") as other:
        late = slow_one.submit(desk.queue.tell_positions)
        assert read.wait(WAIT)
        cancelling = other.submit(desk.queue.cancel, first)
        threading.Timer(0.05, go.set).start()
        late.result(WAIT)
        cancelling.result(WAIT)
    assert position(desk, second) == 1


def test_a_full_queue_refuses_in_words(desk):
    for _ in range(LONGEST):
        desk.submit("x")
    with pytest.raises(QueueFull, match=f"{LONGEST} jobs are waiting already; try again"):
        desk.submit("x")
    assert desk.queue.line().waiting == LONGEST
    desk.queue.cancel(desk.jobs.queued()[2])
    desk.submit("x")


def test_many_who_ask_at_once_do_not_overfill_it(desk, monkeypatch):
    barrier, real = threading.Barrier(12), desk.jobs.queued

    def slow():
        ids = real()
        time.sleep(0.005)
        return ids

    monkeypatch.setattr(desk.jobs, "queued", slow)

    def submit():
        barrier.wait()
        try:
            return desk.submit("x")
        except RequestError:
            return None

    with ThreadPoolExecutor(12) as pool:
        taken = [each.result(WAIT) for each in [pool.submit(submit) for _ in range(12)]]
    assert len([job_id for job_id in taken if job_id]) == LONGEST
    assert len(desk.jobs.queued()) == LONGEST


def test_a_job_that_waits_is_cancelled_at_once(desk):
    job_id = desk.submit("never run")
    listener = desk.queue.follow(job_id)
    assert next(listener) == Queued(position=1)
    desk.queue.cancel(job_id)
    assert list(listener) == [Stopped(status="cancelled")]
    assert desk.queue.get(job_id).status is Status.CANCELLED
    desk.worker.start()
    desk.errands["quick"] = lambda context: None
    assert desk.wait(desk.submit("quick")) is Status.FINISHED
    assert desk.queue.get(job_id).started_at is None


def test_a_running_job_is_cancelled_at_its_next_check_and_the_next_one_runs(desk):
    started = threading.Event()
    steps = []

    def endless(context):
        started.set()
        while True:
            context.check()
            steps.append(1)
            assert cancelled.wait(WAIT)

    cancelled = threading.Event()
    desk.errands |= {"endless": endless, "quick": lambda context: None}
    desk.worker.start()
    job_id, other = desk.submit("endless"), desk.submit("quick")
    assert started.wait(WAIT)
    desk.queue.cancel(job_id)
    cancelled.set()
    assert desk.wait(job_id) is Status.CANCELLED
    assert len(steps) <= 1
    assert desk.wait(other) is Status.FINISHED, "cancelling one leaves the other alone"
    assert list(desk.queue.follow(job_id)) == [Stopped(status="cancelled")]


def test_cancelling_what_has_ended_changes_nothing(desk):
    desk.errands["quick"] = lambda context: None
    desk.worker.start()
    job_id = desk.submit("quick")
    assert desk.wait(job_id) is Status.FINISHED
    before = desk.queue.get(job_id)
    desk.queue.cancel(job_id)
    desk.queue.skip(job_id)
    assert desk.queue.get(job_id) == before


def test_cancel_and_claim_at_the_same_moment_end_in_one_state(desk):
    """Whoever comes first, the job ends as cancelled and its listeners hear it once."""
    desk.errands["look"] = lambda context: context.check()
    desk.worker.start()
    for _ in range(15):
        job_id = desk.submit("look")
        desk.queue.cancel(job_id)
        events = list(desk.queue.follow(job_id, heartbeat=WAIT))
        status = desk.queue.get(job_id).status
        assert status in (Status.CANCELLED, Status.FINISHED)
        assert events[-1].type == ("stopped" if status is Status.CANCELLED else "finished")


def test_skip_reaches_the_running_job_only(desk):
    started, go, signals = threading.Event(), threading.Event(), []

    def work(context):
        started.set()
        assert go.wait(WAIT)
        signals.extend([context.check(), context.check()])

    desk.errands["work"] = work
    first, second = desk.submit("work"), desk.submit("work")
    desk.queue.skip(second)
    desk.worker.start()
    assert started.wait(WAIT)
    desk.queue.skip(first)
    go.set()
    assert desk.wait(second) is Status.FINISHED
    assert signals == [Signal.SKIP, Signal.GO_ON, Signal.GO_ON, Signal.GO_ON]


@pytest.mark.parametrize("act", ["cancel", "skip", "get"])
def test_an_unknown_job_is_not_found_and_leaves_no_trace(desk, act):
    with pytest.raises(NotFound):
        getattr(desk.queue, act)("nonsense")
    with pytest.raises(NotFound):
        next(desk.queue.follow("nonsense"))
    assert len(desk.queue._live) == 0


def test_the_channels_of_jobs_long_over_are_forgotten_but_not_their_end(desk, monkeypatch):
    monkeypatch.setattr(queue_module, "_REMEMBERED", 3)
    desk.errands["quick"] = lambda context: None
    desk.worker.start()
    ids = [desk.submit("quick") for _ in range(4)]
    assert desk.wait(ids[-1]) is Status.FINISHED
    waiting = [desk.submit("quick") for _ in range(4)]
    for job_id in waiting:
        assert desk.wait(job_id) is Status.FINISHED
    assert len(desk.queue._live) <= 4
    assert ids[0] not in desk.queue._live
    (event,) = desk.queue.follow(ids[0])
    assert isinstance(event, Finished)
    desk.queue.cancel(ids[0])
    assert ids[0] not in desk.queue._live


def test_who_began_a_job_hears_all_of_it_even_when_it_was_quicker(desk, monkeypatch):
    monkeypatch.setattr(queue_module, "_REMEMBERED", 0)
    desk.errands["quick"] = lambda context: context.emit(Notice(text="done so"))
    desk.worker.start()
    job_id = desk.submit("quick")
    assert desk.wait(job_id) is Status.FINISHED
    (end,) = desk.queue.follow(job_id)
    assert list(desk.queue.follow(job_id, missed=True)) == [Notice(text="done so"), end]
    desk.wait(desk.submit("quick"))
    assert job_id not in desk.queue._live
    assert list(desk.queue.follow(job_id, missed=True)) == [end], "what is forgotten is not told"


def test_the_channels_of_jobs_that_wait_are_never_forgotten(desk, monkeypatch):
    monkeypatch.setattr(queue_module, "_REMEMBERED", 2)
    ids = [desk.submit("x") for _ in range(LONGEST)]
    assert [position(desk, job_id) for job_id in ids] == [1, 2, 3, 4, 5]


def test_the_request_is_stored_as_it_was_resolved(desk):
    job_id = desk.submit("a name")
    row = desk.queue.get(job_id)
    assert desk.queue.request(row).name == "a name"
    assert row.kind == "errand"


def test_who_follows_a_job_is_let_go_at_the_end_of_the_server(desk):
    job = desk.submit("never run")
    told: list[object] = []
    following = threading.Thread(target=lambda: told.extend(desk.queue.follow(job)))
    following.start()
    time.sleep(0.1)
    start = time.monotonic()
    desk.queue.close()
    following.join(10)
    assert not following.is_alive()
    assert time.monotonic() - start < 2
    assert told == [Queued(position=1)]
