"""`atelier serve` as a process that a measurement starts, asks, kills and starts again."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

_APP = Path(__file__).resolve().parents[1] / "app.py"
_UP_SECONDS = 120


class Served:
    """A server on a data folder, always at the same port.

    more: settings, as variables of the environment.
    """

    def __init__(self, data: Path, **more: str):
        self.data = data
        self._more = more
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self._port}"
        self._log = data.parent / "server.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it answers."""
        command = [sys.executable, str(_APP), "serve", "--port", str(self._port)]
        command += ["--data-dir", str(self.data), "--device", "cpu", "--dtype", "float32"]
        environment = {k: v for k, v in os.environ.items() if not k.startswith("ATELIER_")}
        environment |= self._more
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        until = time.monotonic() + _UP_SECONDS
        while True:
            try:
                self.get("/health")
                return
            except OSError:
                if self._process.poll() is not None or time.monotonic() > until:
                    raise RuntimeError(
                        f"The server did not come up: {self.log()[-3000:]}"
                    ) from None
                time.sleep(0.05)

    @property
    def pid(self) -> int:
        """Of the server's own process."""
        assert self._process is not None
        return self._process.pid

    def kill(self) -> None:
        """End it without a chance to tidy up."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def end(self) -> int:
        """End it in order; its exit code."""
        assert self._process is not None
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        return self._process.wait(60)

    def log(self) -> str:
        """What it and its forerunners have printed."""
        return self._log.read_text("utf-8", "replace")

    def get(self, path: str) -> Any:
        """The JSON of an address; OSError when nobody answers."""
        return self._answer(urllib.request.Request(self.url + path))

    def post(self, path: str, body: dict[str, Any]) -> Any:
        """The answer to a JSON body; OSError when nobody answers."""
        content = {"Content-Type": "application/json"}
        asked = urllib.request.Request(self.url + path, json.dumps(body).encode(), content)
        return self._answer(asked)

    def _answer(self, request: urllib.request.Request) -> Any:
        with urllib.request.urlopen(request, timeout=600) as answer:
            return json.loads(answer.read())
