"""The worker: order, faults, hooks, and what a stop leaves behind."""

import logging
import os
import socket
import threading
import time

import psutil
import pytest
from sample_pictures import picture

from studio.errors import ModelError, StorageError
from studio.events import Failed, Finished, Saved, Status
from studio.jobs import worker as worker_module
from studio.jobs.worker import Runner, Worker, is_alive, runner_name

WAIT = 10.0


def never(context):
    raise AssertionError("must not run")


def test_jobs_run_one_after_the_other_in_order(desk):
    order, running = [], []

    def note(name):
        def work(context):
            running.append(name)
            assert running == [name]
            time.sleep(0.005)
            order.append(name)
            running.remove(name)

        return work

    desk.errands |= {name: note(name) for name in "abcd"}
    ids = [desk.submit(name) for name in "ab"]
    desk.worker.start()
    ids += [desk.submit(name) for name in "cd"]
    assert [desk.wait(job_id) for job_id in ids] == [Status.FINISHED] * 4
    assert order == list("abcd")


def test_a_job_starts_as_soon_as_it_is_submitted(desk):
    """Not at the next look at the queue, which is seconds away."""
    desk.errands["quick"] = lambda context: None
    desk.worker.start()
    time.sleep(0.1)
    start = time.monotonic()
    assert desk.wait(desk.submit("quick")) is Status.FINISHED
    assert time.monotonic() - start < 2


def test_a_job_that_comes_while_the_worker_turns_to_rest_is_not_overlooked(desk, monkeypatch):
    desk.errands["quick"] = lambda context: None
    real, ids = desk.jobs.claim_next, []

    def claim_next(runner):
        job = real(runner)
        if job is None and not ids:
            ids.append(desk.submit("quick"))
        return job

    monkeypatch.setattr(desk.jobs, "claim_next", claim_next)
    start = time.monotonic()
    desk.worker.start()
    while not ids:
        time.sleep(0.005)
    assert desk.wait(ids[0]) is Status.FINISHED
    assert time.monotonic() - start < 2


def test_what_a_job_saves_is_told_and_kept(desk):
    def work(context):
        context.save(picture(seed=1))
        context.save(picture(seed=2))

    desk.errands["work"] = work
    desk.worker.start()
    job_id = desk.submit("work")
    events = [event for event in desk.queue.follow(job_id) if event.type in ("saved", "finished")]
    ids = desk.queue.outputs(job_id)
    assert events[:2] == [Saved(output_id=ids[0]), Saved(output_id=ids[1])]
    assert events[2].outputs == ids
    assert events[2].seconds >= 0
    row = desk.queue.get(job_id)
    assert row.runner == runner_name()
    assert row.created_at <= row.started_at <= row.ended_at


# Faults


def test_a_failure_in_words_is_passed_on(desk):
    def work(context):
        context.save(picture())
        raise ModelError("The model is gone; choose another.")

    desk.errands["work"] = work
    desk.worker.start()
    job_id = desk.submit("work")
    assert desk.wait(job_id) is Status.FAILED
    row = desk.queue.get(job_id)
    assert row.reason == "The model is gone; choose another."
    (event,) = desk.queue.follow(job_id)
    assert event == Failed(reason=row.reason, outputs=desk.queue.outputs(job_id))
    assert len(event.outputs) == 1, "what was finished before is kept"


@pytest.mark.parametrize(
    "fault",
    [
        ZeroDivisionError("division by zero"),
        RuntimeError("first line\nsecond line\n  third"),
        KeyError("x" * 10_000),
        RecursionError(),
        MemoryError(),
    ],
    ids=lambda fault: type(fault).__name__,
)
def test_an_unexpected_fault_is_a_sentence_and_the_worker_goes_on(desk, fault, caplog):
    def work(context):
        raise fault

    desk.errands |= {"work": work, "quick": lambda context: None}
    desk.worker.start()
    job_id, other = desk.submit("work"), desk.submit("quick")
    assert desk.wait(job_id) is Status.FAILED
    reason = desk.queue.get(job_id).reason
    assert reason.startswith(f"An unexpected fault stopped the job ({type(fault).__name__}")
    assert reason.endswith("; the log has the details.")
    assert "\n" not in reason
    assert len(reason) < 400
    assert "Traceback" in caplog.text
    assert desk.wait(other) is Status.FINISHED


def test_a_stored_job_that_this_version_does_not_understand_fails_alone(desk):
    desk.errands["quick"] = lambda context: None
    unknown = desk.jobs.add("of the future", "{}").id
    nonsense = desk.jobs.add("errand", '{"name": 5, "more": [1]}').id
    broken = desk.jobs.add("errand", "{").id
    good = desk.submit("quick")
    desk.worker.start()
    assert desk.wait(good) is Status.FINISHED
    for job_id in (unknown, nonsense, broken):
        row = desk.queue.get(job_id)
        assert row.status is Status.FAILED
        assert "\n" not in row.reason


class Noting:
    """A hook that writes down what it hears."""

    def __init__(self):
        self.heard = []

    def started(self, job):
        self.heard.append(("started", job.id))

    def ended(self, job, status):
        self.heard.append(("ended", job.id, status))


class Failing:
    """A hook with a fault."""

    def started(self, job):
        raise RuntimeError("hook fault at the start")

    def ended(self, job, status):
        raise KeyError("hook fault at the end")


def test_hooks_hear_of_every_run(desk):
    hook = Noting()
    worker = Worker(desk.queue, desk.jobs, Runner(desk.queue, desk.models, desk.outputs, [hook]))
    desk.errands |= {"good": lambda context: None, "bad": lambda context: 1 / 0}
    good, bad = desk.submit("good"), desk.submit("bad")
    worker.start()
    desk.wait(bad)
    worker.stop(WAIT)
    assert hook.heard == [
        ("started", good),
        ("ended", good, Status.FINISHED),
        ("started", bad),
        ("ended", bad, Status.FAILED),
    ]


def test_a_failing_hook_is_logged_and_never_fatal(desk, caplog):
    last = Noting()
    runner = Runner(desk.queue, desk.models, desk.outputs, [Failing(), last])
    worker = Worker(desk.queue, desk.jobs, runner)
    desk.errands["good"] = lambda context: None
    ids = [desk.submit("good") for _ in range(2)]
    worker.start()
    assert [desk.wait(job_id) for job_id in ids] == [Status.FINISHED] * 2
    worker.stop(WAIT)
    assert len(last.heard) == 4
    assert "hook fault at the start" in caplog.text
    assert "hook fault at the end" in caplog.text


def test_an_end_that_cannot_be_recorded_is_told_and_recorded_later(desk, monkeypatch):
    desk.errands["good"] = lambda context: None
    real, faults = desk.jobs.move, [StorageError("The disk is full."), StorageError("Still full.")]

    def move(*args):
        if faults:
            raise faults.pop(0)
        return real(*args)

    first = desk.submit("good")
    job = desk.jobs.claim_next(runner_name())
    monkeypatch.setattr(desk.jobs, "move", move)
    desk.runner.run(job)
    (event,) = desk.queue.live(first)[0].listen()
    assert event == Failed(reason="The disk is full.")
    assert desk.queue.get(first).status is Status.RUNNING
    with pytest.raises(StorageError, match="Still full"):
        desk.runner.settle()
    desk.worker.start()
    assert desk.wait(desk.submit("good")) is Status.FINISHED
    assert desk.queue.get(first).status is Status.FINISHED
    assert desk.queue.line().running == 0


def test_a_queue_that_cannot_be_read_is_read_again(desk, monkeypatch, caplog):
    monkeypatch.setattr(worker_module, "_IDLE_SECONDS", 0.05)
    desk.errands["good"] = lambda context: None
    real, faults = desk.jobs.claim_next, [StorageError("x"), RuntimeError("y")]

    def claim_next(runner):
        if faults:
            raise faults.pop(0)
        return real(runner)

    monkeypatch.setattr(desk.jobs, "claim_next", claim_next)
    desk.worker.start()
    assert desk.wait(desk.submit("good")) is Status.FINISHED
    met, bug = (each for each in caplog.records if "could not be read" in each.message)
    assert not met.exc_info, "a sentence is enough for what people may meet"
    assert bug.exc_info


def test_a_job_that_was_taken_is_done_whatever_cannot_be_read_then(desk, monkeypatch):
    """As when the database goes away just after a worker has taken the job."""
    desk.errands["good"] = lambda context: None
    real = desk.jobs.claim_next

    def unreadable(*_):
        raise StorageError("It is away.")

    def claim_next(runner):
        job = real(runner)
        if job is not None:
            monkeypatch.setattr(desk.jobs, "queued", unreadable)
        return job

    monkeypatch.setattr(desk.jobs, "claim_next", claim_next)
    job_id = desk.submit("good")
    desk.worker.start()
    assert desk.wait(job_id) is Status.FINISHED


def test_a_job_that_was_taken_in_is_told_of_whatever_cannot_be_read_then(desk, monkeypatch):
    def unreadable(*_):
        raise StorageError("It is away.")

    monkeypatch.setattr(desk.jobs, "queued", unreadable)
    job_id = desk.submit("good")
    assert desk.queue.get(job_id).status is Status.QUEUED


def test_a_job_of_another_process_is_found_without_a_word(desk, monkeypatch):
    """Such as one that was put into the queue while the database was locked for a moment."""
    monkeypatch.setattr(worker_module, "_IDLE_SECONDS", 0.05)
    desk.errands["good"] = lambda context: None
    desk.worker.start()
    time.sleep(0.02)
    row = desk.jobs.add("errand", '{"name": "good"}')
    assert desk.wait(row.id) is Status.FINISHED


# Stopping


def test_what_runs_at_a_stop_waits_for_the_next_start_as_the_others_do(desk, tmp_path, open_again):
    started = threading.Event()

    def endless(context):
        context.save(picture())
        started.set()
        while True:
            context.check()
            time.sleep(0.002)

    desk.errands |= {"endless": endless, "never": never}
    running, waiting = desk.submit("endless"), desk.submit("never")
    desk.worker.start()
    assert started.wait(WAIT)
    start = time.monotonic()
    desk.worker.stop(WAIT)
    assert time.monotonic() - start < 2
    outputs = desk.queue.outputs(running)
    assert len(outputs) == 1
    row = desk.queue.get(running)
    assert (row.status, row.ended_at, row.losses) == (Status.QUEUED, None, 0)
    assert desk.queue.get(waiting).status is Status.QUEUED

    again = open_again(tmp_path)
    again.errands |= {"never": lambda context: None, "endless": lambda c: c.save(picture())}
    again.worker.start()
    assert again.wait(waiting) is Status.FINISHED
    assert again.wait(running) is Status.FINISHED
    assert again.queue.outputs(running) == outputs, "a finished picture is not made a second time"
    again.worker.stop(WAIT)
    again.database.close()


def test_a_stop_at_the_moment_a_job_is_taken_does_not_wait_for_its_end(desk, monkeypatch):
    """The job is claimed, but the worker has not said yet that it has one."""
    real = desk.jobs.claim_next

    def claim_next(runner):
        job = real(runner)
        stopper = threading.Thread(target=desk.worker.stop, args=(0,))
        stopper.start()
        stopper.join(WAIT)
        return job

    monkeypatch.setattr(desk.jobs, "claim_next", claim_next)
    desk.errands["never"] = never
    job_id = desk.submit("never")
    desk.worker.start()
    desk.worker._thread.join(WAIT)
    row = desk.queue.get(job_id)
    assert (row.status, row.reason) == (Status.QUEUED, "")


def test_stopping_an_idle_worker_is_quick_and_may_be_done_twice(desk):
    desk.worker.start()
    time.sleep(0.05)
    start = time.monotonic()
    desk.worker.stop(WAIT)
    desk.worker.stop(WAIT)
    assert time.monotonic() - start < 3


def test_stopping_a_worker_that_never_started(desk):
    desk.worker.stop(WAIT)


def test_a_person_who_cancels_is_not_an_interruption(desk):
    started = threading.Event()

    def endless(context):
        started.set()
        while True:
            context.check()
            time.sleep(0.002)

    desk.errands["endless"] = endless
    desk.worker.start()
    job_id = desk.submit("endless")
    assert started.wait(WAIT)
    desk.queue.cancel(job_id)
    assert desk.wait(job_id) is Status.CANCELLED


# What a killed server left


def test_what_commands_that_died_were_doing_is_interrupted_and_the_living_are_left(desk):
    dead = desk.jobs.add("errand", "{}", runner=f"{socket.gethostname()}:999999999:1").id
    elsewhere = desk.jobs.add("errand", "{}", runner="another-host:1:1").id
    nameless = desk.jobs.add("errand", "{}", runner="nonsense").id
    alive = desk.jobs.add("errand", "{}", runner=runner_name()).id
    desk.worker.start()
    for job_id in (dead, elsewhere, nameless):
        assert desk.queue.get(job_id).status is Status.INTERRUPTED
    assert desk.queue.get(alive).status is Status.RUNNING


def test_a_process_is_told_apart_from_an_earlier_one_of_its_number():
    host, pid = socket.gethostname(), os.getpid()
    started = psutil.Process(pid).create_time()
    assert is_alive(runner_name())
    assert is_alive(f"{host}:{pid}:{started + 1:.0f}"), "the clock may have been set right"
    assert not is_alive(f"{host}:{pid}:{started - 60:.0f}")
    assert not is_alive(f"{host}:{pid}:")
    assert not is_alive(f"{host}:{pid}:nonsense")
    assert not is_alive(f"{host}::5")
    assert not is_alive(f"elsewhere:{pid}:{started:.0f}")
    assert not is_alive("")


def test_failures_are_warnings_and_faults_are_errors_in_the_log(desk, caplog):
    def refuse(context):
        raise ModelError("The model is gone.")

    desk.errands |= {"refuse": refuse, "fault": lambda context: 1 / 0}
    caplog.set_level(logging.WARNING)
    for name in ("refuse", "fault"):
        job_id = desk.submit(name)
        desk.runner.run(desk.jobs.claim_next("runner"))
        assert desk.queue.get(job_id).status is Status.FAILED
    levels = [record.levelname for record in caplog.records]
    assert levels == ["WARNING", "ERROR"]


def test_the_end_is_told_with_the_time_it_took(desk):
    desk.errands["nap"] = lambda context: time.sleep(0.05)
    job_id = desk.submit("nap")
    desk.runner.run(desk.jobs.claim_next("runner"))
    (event,) = desk.queue.follow(job_id)
    assert isinstance(event, Finished)
    assert 0.04 < event.seconds < 5
