"""The end of a server that nobody uses."""

import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from studio.api.idle import IdleStop, Seen, Watching
from studio.errors import StorageError

ROOT = Path(__file__).resolve().parents[2]
SHORT = 0.3 / 60
"""Minutes."""


class Server:
    """Has jobs or not, and is stopped or not."""

    def __init__(self) -> None:
        self.busy, self.stopped = False, threading.Event()

    def is_busy(self) -> bool:
        if isinstance(self.busy, Exception):
            raise self.busy
        return self.busy

    def idle(self, minutes: float, seen: Seen) -> IdleStop:
        return IdleStop(minutes, seen, self.is_busy, self.stopped.set)


def test_without_page_and_job_it_ends():
    server = Server()
    with server.idle(SHORT, Seen()) as idle:
        assert server.stopped.wait(10)
        assert idle.happened


def test_by_itself_it_never_does():
    server, seen = Server(), Seen()
    seen.last -= 1_000_000
    with server.idle(0, seen) as idle:
        assert not server.stopped.wait(0.3)
    assert not idle.happened


def test_a_job_keeps_it_and_so_does_a_time_after_it():
    server = Server()
    server.busy = True
    with server.idle(SHORT, Seen()):
        assert not server.stopped.wait(1.0)
        server.busy = False
        ended = time.monotonic()
        assert server.stopped.wait(10)
        assert time.monotonic() - ended > 0.25


def test_whoever_asks_keeps_it():
    server, seen = Server(), Seen()
    with server.idle(SHORT, seen):
        for _ in range(20):
            seen.now()
            assert not server.stopped.wait(0.05)
        assert server.stopped.wait(10)


def test_a_long_answer_keeps_it_but_not_the_mere_page():
    app, seen, server = FastAPI(), Seen(), Server()
    app.add_middleware(Watching, seen=seen)
    going, leave = threading.Event(), threading.Event()

    @app.get("/{path:path}")
    def slow(path: str) -> None:
        going.set()
        leave.wait(10)

    for path, ends in (("/long", False), ("/gradio_api/heartbeat/abc", True)):
        going.clear()
        leave.clear()
        asking = threading.Thread(target=TestClient(app).get, args=(path,))
        asking.start()
        assert going.wait(10)
        with server.idle(SHORT, seen):
            assert server.stopped.wait(1.5) == ends
        leave.set()
        asking.join()
    assert seen.open == 0


def test_where_jobs_cannot_be_looked_up_it_goes_on():
    server = Server()
    server.busy = StorageError("The disk is gone.")
    with server.idle(SHORT, Seen()):
        assert not server.stopped.wait(1.0)


@pytest.mark.parametrize(
    ("path", "counts"),
    [("/status", True), ("/x", True), ("/health", False), ("/ready", False), ("/metrics", False)],
)
def test_watching_the_studio_is_not_using_it(path, counts):
    app, seen = FastAPI(), Seen()
    seen.last = 0.0
    app.add_middleware(Watching, seen=seen)
    TestClient(app).get(path)
    assert (seen.last > 0) == counts


def test_who_is_not_let_in_does_not_count(services):
    from studio.api import doors

    password = type(services.settings)(password="a password").password
    locked = services.settings.model_copy(update={"password": password})
    app = FastAPI()
    doors.close(app, replace(services, settings=locked))
    app.state.seen.last = 0.0
    client = TestClient(app)
    assert client.get("/status").status_code == 401
    assert app.state.seen.last == 0
    client.get("/status", headers={"Authorization": "Bearer a password"})
    assert app.state.seen.last > 0


def test_the_command_of_the_end(tmp_path):
    code = "import sys; from studio.api.idle import become; become(sys.argv[1]); print('left')"

    def run(line: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", code, line]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    done = run(f"touch '{tmp_path}/it ran'")
    assert (done.returncode, done.stdout) == (0, "")
    assert (tmp_path / "it ran").exists()
    assert run("false").returncode == 1
    assert run("").stdout == "left\n"
    for line, words in (("/no/such/program", "No such file"), ("'unbalanced", "No closing")):
        failed = run(line)
        assert failed.stdout == "left\n"
        assert words in failed.stderr


def test_a_command_that_takes_longer_than_the_end_may(tmp_path):
    """The watch over the end is not to cut off what stops the machine."""
    code = (
        "import threading, os, sys; from studio.api.idle import become;"
        "t = threading.Timer(1.0, os._exit, (1,)); t.daemon = True; t.start(); become(sys.argv[1])"
    )
    line = f"sh -c 'sleep 2; touch {tmp_path}/late'"
    done = subprocess.run([sys.executable, "-c", code, line], cwd=ROOT, check=False)
    assert done.returncode == 0
    assert (tmp_path / "late").exists()
