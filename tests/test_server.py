"""The server as a process: how soon it answers, how it ends, and what it leaves alone."""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from filelock import FileLock

pytestmark = pytest.mark.alone  # its seconds are those of a quiet machine

ROOT = Path(__file__).resolve().parents[1]
PAGE_SECONDS = 6.0
GRADIO_SECONDS = 1.9
"""What the import of Gradio alone takes where the page is there after 2.7 s."""
PAGE_SHARE = 2.0
"""The server's work up to its first page, in imports of Gradio: about 1.5."""
START_SECONDS = 90.0


class Server:
    """A running server; `seconds`: from its start to the first page."""

    def __init__(self, data: Path, house: Path = ROOT, **environment: str):
        self.data = data
        self._began = time.monotonic()
        self.process = subprocess.Popen(
            [sys.executable, str(house / "app.py"), "serve", "--port", "0"],
            cwd=data.parent,
            env=os.environ
            | {"ATELIER_DATA_DIR": str(data), "ATELIER_DEVICE": "cpu", "ATELIER_DTYPE": "float32"}
            | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.seconds = 0.0
        self.address = ""

    def answer(self) -> "Server":
        """Wait for the first page."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line.startswith("Atelier is at http://127.0.0.1:"), self.process.communicate()
        self.address = line.split()[3]
        html = self.get("/")
        self.seconds = time.monotonic() - self._began
        assert b"gradio" in html
        return self

    def get(self, path: str) -> bytes:
        while True:
            try:
                with urllib.request.urlopen(self.address + path, timeout=START_SECONDS) as answer:
                    return answer.read()
            except urllib.error.URLError as error:
                if not isinstance(error.reason, ConnectionError):
                    raise
                time.sleep(0.02)

    def status(self) -> dict:
        return json.loads(self.get("/status"))

    def end(self, by: signal.Signals) -> tuple[int, float, str]:
        """Exit code, seconds that the end took, and what was logged."""
        start = time.monotonic()
        self.process.send_signal(by)
        _, log = self.process.communicate(timeout=60)
        return self.process.returncode, time.monotonic() - start, log

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        with self.process:
            pass


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Starts servers on the test's data folder; none outlives the test."""
    started: list[Server] = []

    def start(house: Path = ROOT, **environment: str) -> Server:
        started.append(Server(tmp_path / "data", house, **environment))
        return started[-1]

    yield start
    for server in started:
        server.close()


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """A copy of the source tree, in which nobody works but the server."""
    copy = tmp_path / "house"
    ignored = shutil.ignore_patterns("__pycache__")
    for name in ("studio", "tabs", "assets"):
        shutil.copytree(ROOT / name, copy / name, ignore=ignored)
    shutil.copy(ROOT / "app.py", copy)
    return copy


def tree(folder: Path) -> dict[Path, tuple[int, int]]:
    """Everything in a folder, with its size and time of change."""
    return {path: (path.stat().st_size, path.stat().st_mtime_ns) for path in folder.rglob("*")}


def test_the_page_answers_soon_and_before_torch_is_there(serve):
    serve().answer().end(signal.SIGTERM)  # what it reads is in the system's cache now
    server = serve().answer()
    status = server.status()
    times = psutil.Process(server.process.pid).cpu_times()
    work, gradio = times.user + times.system, gradio_seconds()
    assert work <= PAGE_SHARE * gradio
    assert server.seconds <= PAGE_SECONDS * crowd() * max(1.0, gradio / GRADIO_SECONDS)
    assert not status["ready"], "torch comes after the page"


def test_the_page_is_built_without_torch(tmp_path):
    code = (
        "import sys; from pathlib import Path; from studio.services import build_services;"
        "from studio.settings import Settings; from tabs.page import build_app;"
        "build_app(build_services(Settings(data_dir=Path(sys.argv[1]))));"
        "print({'torch', 'diffusers', 'transformers'} & set(sys.modules))"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "data")]
    run = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    assert run.stdout.strip() == "set()"


def gradio_seconds() -> float:
    """Seconds of work that the import of Gradio alone costs at the moment: a measure of speed."""
    code = "import gradio, os; times = os.times(); print(times.user + times.system)"
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return float(run.stdout)


def crowd() -> float:
    """How many programs share a core at the moment, at least 1: so much longer all takes."""
    return max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


def submit(data: Path, *prompts: str) -> None:
    """Put jobs of a hundred pictures into the queue of a data folder without a server."""
    code = (
        "import sys; from pathlib import Path;"
        "from studio.requests import GenerationRequest; from studio.services import build_services;"
        "from studio.settings import Settings;"
        "services = build_services(Settings(data_dir=Path(sys.argv[1]), device='cpu'));"
        "[services.queue.submit(GenerationRequest(prompt=prompt, steps=10, batch_count=100))"
        " for prompt in sys.argv[2:]]"
    )
    subprocess.run([sys.executable, "-c", code, str(data), *prompts], cwd=ROOT, check=True)


def jobs(data: Path) -> list[str]:
    connection = sqlite3.connect(data / "atelier.db")
    rows = connection.execute("SELECT status FROM jobs ORDER BY number").fetchall()
    connection.close()
    return [status for (status,) in rows]


def pictures(server: Server) -> int:
    return len(list((server.data / "outputs").rglob("*.png")))


def wait_for_pictures(server: Server, count: int) -> None:
    start = time.monotonic()
    while pictures(server) < count:
        assert time.monotonic() - start < START_SECONDS
        time.sleep(0.1)


def test_what_ran_at_the_end_goes_on_at_the_next_start_and_is_not_begun_for_ever(
    serve, house, tmp_path
):
    """One story: a job is ended by SIGTERM, taken up again, and killed with its server twice."""
    before = tree(house)
    submit(tmp_path / "data", "a red apple", "a blue cat")
    server = serve(house, PYTHONDONTWRITEBYTECODE="1").answer()
    wait_for_pictures(server, 1)
    assert server.status()["running"] == 1
    code, seconds, log = server.end(signal.SIGTERM)
    assert code == 0, log
    assert seconds < 10
    assert "Traceback" not in log
    assert jobs(server.data) == ["queued", "queued"]
    assert tree(house) == before, "nothing is ever written to the source tree"

    for left in ("running", "running"):
        server = serve().answer()
        wait_for_pictures(server, pictures(server) + 1)
        (device,) = psutil.Process(server.process.pid).children()
        server.process.kill()  # no chance to record anything
        server.process.wait()
        device.wait(10)  # ends with its server
        assert jobs(server.data) == [left, "queued"]

    server = serve().answer()
    assert jobs(server.data)[0] == "failed"
    code, seconds, log = server.end(signal.SIGINT)
    assert code == 130, log
    assert seconds < 10
    assert "Traceback" not in log


def test_a_signal_before_the_page_is_up_ends_it_too(serve):
    server = serve()
    time.sleep(1)
    code, seconds, log = server.end(signal.SIGTERM)
    assert code in (0, -signal.SIGTERM), log
    assert seconds < 10
    assert "Traceback" not in log


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"ATELIER_TRASH_DAYS": "-1"}, "ATELIER_TRASH_DAYS) is '-1', but it must be greater"),
        ({"ATELIER_MEMORY_BUDGET": "much"}, "ATELIER_MEMORY_BUDGET) is 'much'"),
        ({"ATELIER_COLOUR": "red"}, "Environment variable ATELIER_COLOUR is no setting"),
        ({"ATELIER_CONFIG": "/nonexistent/a.toml"}, "but there is no such file"),
    ],
)
def test_a_bad_setting_stops_the_start_with_one_line(serve, environment, words):
    server = serve(**environment)
    out, err = server.process.communicate(timeout=60)
    assert server.process.returncode == 1
    assert out == ""
    assert err.count("\n") == 1
    assert words in err
    assert not server.data.exists()


def test_a_data_folder_that_another_server_has(serve, tmp_path):
    (tmp_path / "data").mkdir()
    with FileLock(tmp_path / "data" / "server.lock"):
        server = serve()
        _, err = server.process.communicate(timeout=60)
    assert server.process.returncode == 1
    assert "is in use by another Atelier" in err
    assert err.count("\n") == 1
