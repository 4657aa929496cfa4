"""Stopping the machine that costs, against a server in RunPod's place."""

import os
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


class Provider:
    """Answers as RunPod's API does, and notes what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, str]] = []
        self.status = 200
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                key = self.headers.get("Authorization", "")
                provider.asked.append((self.command, self.path, key))
                self.send_response(provider.status)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def provider() -> Iterator[Provider]:
    made = Provider()
    yield made
    made.server.shutdown()
    made.server.server_close()


def stop(provider: Provider, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "studio.container.stop_pod"],
        env={"PYTHONPATH": str(ROOT), "PATH": os.defpath, "RUNPOD_REST_URL": provider.url}
        | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_api_is_asked_with_the_machines_own_key(provider):
    done = stop(provider, RUNPOD_POD_ID="abc/1", RUNPOD_API_KEY="secret")
    assert done.returncode == 0, done.stderr
    assert provider.asked == [("POST", "/v1/pods/abc%2F1/stop", "Bearer secret")]
    assert "secret" not in done.stdout + done.stderr


def test_the_program_is_asked_when_the_api_refuses(provider, tmp_path):
    program = tmp_path / "runpodctl"
    program.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/said\n[ "$1" = stop ]\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    provider.status = 403
    path = f"{tmp_path}:{os.defpath}"
    done = stop(provider, RUNPOD_POD_ID="abc", RUNPOD_API_KEY="secret", PATH=path)
    assert done.returncode == 0, done.stderr
    said = (tmp_path / "said").read_text().splitlines()
    assert said == ["pod stop abc", "stop pod abc"], "new versions first, then old ones"


def test_what_cannot_be_stopped_is_told(provider):
    provider.status = 500
    done = stop(provider, RUNPOD_POD_ID="abc", RUNPOD_API_KEY="secret")
    assert done.returncode == 1
    assert "RunPod does not stop abc" in done.stderr
    assert "runpodctl is not installed" in done.stderr
    elsewhere = stop(provider)
    assert elsewhere.returncode == 1
    assert "this is no machine of RunPod" in elsewhere.stderr
