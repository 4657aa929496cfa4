"""A real server in a process of its own, and the Chromium that looks at it."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM_ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
_ADDRESS = re.compile(r"Atelier is at (http://\S+)")


def find_chromium() -> str | None:
    """The browser's path: what CHROMIUM says, else the first of the usual names."""
    names = (os.environ.get("CHROMIUM", ""), *CHROMIUM_NAMES)
    return next((path for name in names if name and (path := shutil.which(name))), None)


class LiveServer:
    """`atelier serve` on a data folder; it can be killed and started again at the same address.

    more: settings, as variables of the environment.
    """

    def __init__(self, folder: Path, **more: str):
        self._more = more
        self.data = folder / "data"
        self._log = folder / "server.log"
        self._work = folder
        self._process: subprocess.Popen[bytes] | None = None
        self.url = ""

    def start(self) -> "LiveServer":
        """Start it and wait until it answers; returns self."""
        port = self.url.rpartition(":")[2] or "0"
        environment = {k: v for k, v in os.environ.items() if not k.startswith("ATELIER_")}
        environment |= {"HF_HUB_OFFLINE": "1", "PYTHONUNBUFFERED": "1"} | self._more
        command = [sys.executable, str(ROOT / "app.py"), "serve", "--port", port]
        self._log.unlink(missing_ok=True)
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [*command, "--data-dir", str(self.data), "--device", "cpu"],
                cwd=self._work,
                env=environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self.url = self._wait_for(lambda: _ADDRESS.search(self.log())).group(1)
        self._wait_for(self._answers)
        return self

    def log(self) -> str:
        """All that the server has printed."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    def kill(self) -> None:
        """End it without a chance to tidy up."""
        assert self._process
        self._process.send_signal(signal.SIGKILL)
        self._process.wait(10)

    def stop(self) -> None:
        """End it as Ctrl+C does."""
        if self._process and self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self.kill()

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/health", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def _wait_for(self, look):
        end = time.monotonic() + 60
        while time.monotonic() < end:
            assert self._process
            if self._process.poll() is not None:
                raise RuntimeError(f"The server ended at its start:\n{self.log()}")
            if found := look():
                return found
            time.sleep(0.05)
        raise RuntimeError(f"The server did not answer:\n{self.log()}")
