"""A container that is opened in a browser before the studio in it is up."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from browser.live_server import ROOT

PASSWORD = "three words and more"


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    """The port of a container that has just been started."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        number = found.getsockname()[1]
    own = {k: v for k, v in os.environ.items() if not k.startswith("ATELIER_")}
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "studio.container.start"],
            cwd=tmp_path,
            env=own
            | {
                "PYTHONPATH": str(ROOT),
                "PORT": str(number),
                "ATELIER_DATA_DIR": str(tmp_path / "data"),
                "ATELIER_HOST": "0.0.0.0",
                "ATELIER_PASSWORD": PASSWORD,
                "ATELIER_DEVICE": "cpu",
            },
            stdout=log,
            stderr=log,
        )
    while True:
        try:
            socket.create_connection(("127.0.0.1", number), 5).close()
            break
        except OSError:
            assert process.poll() is None, (tmp_path / "log").read_text()
    yield number
    process.send_signal(signal.SIGTERM)
    process.wait(60)


def test_the_page_that_waits_becomes_the_studio_by_itself(open_context, port: int):
    context, watch = open_context()
    watch.tolerate(r"status of (503|401)")  # what it looks for is another answer than its own
    page = context.new_page()
    page.goto(f"http://127.0.0.1:{port}/")
    expect(page.get_by_role("status")).to_have_text("The studio is starting …")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(250, 250, 249)"
    # Nobody presses anything.
    expect(page.get_by_label("Password")).to_be_visible(timeout=300_000)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Open the studio").click()
    expect(page.get_by_role("tab", name="Generate")).to_be_visible(timeout=60_000)
    assert watch.strangers(f"http://127.0.0.1:{port}") == []
