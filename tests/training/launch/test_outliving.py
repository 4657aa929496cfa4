"""A run outlives its server; the next one finds it, and nobody takes its device meanwhile."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from train_runs import PROGRAM, SECONDS, followed, only_run, opened, request, wait_until

from studio.events import Finished, Measured, Notice, Status, Stopped, Waiting
from studio.models.broker import Holder
from studio.training.launch.process import is_running
from studio.training.run_folder import Phase
from studio.training_requests import TrainRequest

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL"),
]


@contextmanager
def server(folder: Path, wanted: TrainRequest) -> Iterator[tuple[subprocess.Popen, str]]:
    """A server in a process of its own whose run has begun to learn, and the id of its job."""
    command = [sys.executable, str(HERE / "train_server.py"), str(folder)]
    with subprocess.Popen(
        [*command, wanted.model_dump_json(), *PROGRAM],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            job = process.stdout.readline().split()[1]
            assert process.stdout.readline().startswith("step")
            yield process, job
        finally:
            process.kill()


def end(process: subprocess.Popen, how: str) -> None:
    if how == "killed":
        process.send_signal(signal.SIGKILL)
    else:
        process.stdin.close()
        assert "stopped" in process.stdout.read()
    process.wait(SECONDS)


@pytest.mark.parametrize("how", ["killed", "stopped"])
def test_the_next_server_follows_it_to_its_end(how, folder):
    wanted = request(steps=250)
    with server(folder, wanted) as (first, job):
        run = only_run(folder)
        pid = run.status().pid
        end(first, how)
    assert is_running(run)

    services = opened(folder)
    try:
        expected = Status.RUNNING if how == "killed" else Status.QUEUED
        assert services.queue.get(job).status is expected
        services.acquire()
        services.training.adopt()
        assert [(e.holder.title, e.alone) for e in services.engine.broker.leases()] == [
            ("a training", True)
        ]
        waited: list[str] = []
        painted = threading.Thread(target=paint, args=(services, run, waited))
        painted.start()
        services.trainer.start()
        events = followed(services, job)
        assert isinstance(events[-1], Finished)
        assert run.status().pid == pid, "it is the same process"
        [notice] = [event.text for event in events if isinstance(event, Notice)]
        assert "goes on at step" in notice
        steps = [event.step for event in events if isinstance(event, Measured)]
        assert steps == list(range(1, 251)), "the curve is told from its beginning"
        painted.join(SECONDS)
        assert waited[0] == "a training"
        assert waited[-1] == "has it", waited[-1]
    finally:
        services.stop()


def paint(services, run, waited: list[str]) -> None:
    """A picture that is to be made while the run is at work."""

    def on_wait(held) -> None:
        waited.append(held[0].holder.title)

    with services.engine.broker.lease(Holder("a picture"), on_wait=on_wait):
        waited.append("has it" if not is_running(run) else "has it too early")


def test_one_that_ended_while_no_server_looked(folder):
    with server(folder, request(steps=60)) as (first, job):
        end(first, "killed")
    run = only_run(folder)
    wait_until(lambda: run.status().phase is Phase.FINISHED)
    services = opened(folder)
    try:
        services.training.adopt()
        assert services.engine.broker.leases() == []
        services.trainer.start()
        events = followed(services, job)
        assert isinstance(events[-1], Finished)
        assert len([event for event in events if isinstance(event, Measured)]) == 60
    finally:
        services.stop()


@pytest.mark.parametrize("how", ["paused", "by the system", "killed"])
def test_only_what_a_person_has_paused_does_not_go_on(how, folder):
    with server(folder, request(steps=4000)) as (first, job):
        end(first, "killed")
    run = only_run(folder)
    services = opened(folder)
    try:
        if how == "paused":
            services.runs.pause("rex")
        else:
            number = signal.SIGTERM if how == "by the system" else signal.SIGKILL
            os.kill(run.status().pid, number)
        wait_until(lambda: not is_running(run))
        reached = run.status().step
        services.training.adopt()
        services.trainer.start()
        if how == "paused":
            assert followed(services, job)[-1] == Stopped(status="cancelled")
            assert run.status().phase is Phase.PAUSED
        else:
            wait_until(lambda: is_running(run) and run.status().step > reached)
            services.runs.stop("rex")
            assert followed(services, job)[-1] == Stopped(status="cancelled")
    finally:
        services.stop()


def test_a_server_that_ends_while_its_run_waits_makes_it_wait_again(folder):
    services = opened(folder)
    services.engine.broker.take(Holder("a picture"))
    services.trainer.start()
    job = services.queue.submit(request(steps=4000))
    for event in services.queue.follow(job):
        if isinstance(event, Waiting):
            break
    services.stop()
    again = opened(folder)
    try:
        assert again.queue.get(job).status is Status.QUEUED
        again.trainer.start()
        run = only_run(folder)
        wait_until(lambda: is_running(run))
        again.queue.cancel(job)
        assert followed(again, job)[-1] == Stopped(status="cancelled")
    finally:
        again.stop()


def test_a_run_that_another_process_has_begun_has_the_device_too(folder, monkeypatch):
    monkeypatch.setattr("studio.training.launch.hold._LOOK_SECONDS", 0.1)
    services = opened(folder)
    broker = services.engine.broker
    services.adopting.start()
    try:
        for _ in range(2):
            with server(folder, request(steps=4000)) as (other, _):
                wait_until(lambda: [(e.holder.title, e.alone) for e in broker.leases()])
                assert [e.holder.title for e in broker.leases()] == ["a training"]
                end(other, "killed")
            assert is_running(only_run(folder))
            assert [e.holder.title for e in broker.leases()] == ["a training"]
            services.runs.kill("rex")
            wait_until(lambda: not broker.leases())
    finally:
        services.stop()
