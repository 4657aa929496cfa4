"""What the image runs, as a real process in a clean environment."""

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PASSWORD = "three words and more"
SECONDS = 300.0


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


class Container:
    """`python -m studio.container.start` with just the environment that it is given."""

    def __init__(self, folder: Path, arguments: tuple[str, ...], environment: dict[str, str]):
        self.data, self.port = folder / "data", free_port()
        self._log = folder / "log"
        (folder / "work").mkdir(exist_ok=True)
        self.environment = {
            "PATH": os.defpath,
            "PYTHONPATH": str(ROOT),
            "PYTHONSAFEPATH": "1",
            "HF_HUB_OFFLINE": "1",
            "OMP_NUM_THREADS": "1",
            "ATELIER_HOST": "0.0.0.0",
            "ATELIER_DATA_DIR": str(self.data),
            "ATELIER_PASSWORD": PASSWORD,
            "ATELIER_DEVICE": "cpu",
            "ATELIER_DTYPE": "float32",
            "PORT": str(self.port),
        } | environment
        self.began = time.monotonic()
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "studio.container.start", *arguments],
                cwd=folder / "work",
                env=self.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    @property
    def log(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace")

    def ask(self, path: str = "/", method: str = "GET", **headers: str) -> tuple[int, dict, bytes]:
        """Status, headers and body; OSError when nobody listens."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path, headers=headers)
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()
        finally:
            connection.close()

    def wait(self, look: Callable[[], object]) -> float:
        """Seconds from the start until something holds."""
        while not look():
            assert self.process.poll() is None, self.log
            assert time.monotonic() - self.began < SECONDS, self.log
            time.sleep(0.02)
        return time.monotonic() - self.began

    def is_up(self) -> bool:
        return self.listens() and b'"ok"' in self.ask("/health")[2]

    def listens(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), 5).close()
        except OSError:
            return False
        return True

    def end(self, by: signal.Signals = signal.SIGTERM) -> tuple[int, float]:
        """Exit code, and seconds that the end took."""
        start = time.monotonic()
        self.process.send_signal(by)
        return self.process.wait(60), time.monotonic() - start
