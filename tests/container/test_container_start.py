"""The start of a container: open at once, a page that waits, and the studio at the same port."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from studio.container import start, waiting_room

PORT_SECONDS = 3.0
HTML = {"Accept": "text/html"}


def test_the_port_is_open_at_once_and_never_closes(contain):
    container = contain()
    opened = container.wait(container.listens)
    assert opened <= PORT_SECONDS * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
    status, headers, body = container.ask("/", **HTML)
    assert (status, headers["X-Atelier"], headers["Cache-Control"]) == (503, "starting", "no-store")
    assert b"The studio is starting" in body
    assert json.loads(container.ask("/some/path/health")[2]) == {"status": "starting"}
    assert container.ask("/ready")[0] == 503
    assert container.ask("/", method="HEAD", **HTML)[2] == b""
    told, headers, body = container.ask("/sdapi/v1/txt2img", method="POST")
    assert (told, headers["Content-Type"]) == (503, "application/json")
    assert "try again" in json.loads(body)["detail"]

    refused = []
    over = threading.Event()

    def knock() -> None:
        while not over.is_set():
            try:
                container.ask("/health")
            except OSError as error:
                refused.append(error)
            time.sleep(0.01)

    knocking = threading.Thread(target=knock)
    knocking.start()
    container.wait(container.is_up)
    time.sleep(1)
    over.set()
    knocking.join()
    assert refused == [], "nobody is turned away while one takes over from the other"
    assert container.ask("/", **HTML)[0] == 303, "the studio's own guard answers now"
    [process] = _listening(container.port)
    assert process.pid == container.process.pid, "the waiting room has gone"
    code, seconds = container.end()
    assert (code, seconds < 20) == (0, True), container.log
    assert "Traceback" not in container.log
    assert not container.listens()


def test_a_slow_or_silent_client_keeps_nobody_waiting(contain):
    container = contain()
    container.wait(container.listens)
    silent = [socket.create_connection(("127.0.0.1", container.port)) for _ in range(20)]
    began = time.monotonic()
    container.ask("/", **HTML)
    assert time.monotonic() - began < 2
    for each in silent:
        each.close()
    container.wait(container.is_up)


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"ATELIER_ACCOUNTS": "off"}, "so people have to log in"),
        ({"ATELIER_PASSWORD": "short"}, "must have at least 8 characters"),
        ({"ATELIER_TRASH_DAYS": "-1"}, "ATELIER_TRASH_DAYS"),
        ({"PORT": "http"}, "ATELIER_PORT (or PORT) is no port"),
    ],
)
def test_what_cannot_start_says_why_and_leaves_the_port(contain, environment, words):
    container = contain(**environment)
    assert container.process.wait(60) == 1
    [line] = container.log.splitlines()
    assert line.startswith("atelier: ")
    assert words in line
    end = time.monotonic() + 5
    while container.listens():
        assert time.monotonic() < end, "the waiting room goes with the studio"
        time.sleep(0.05)


def test_all_that_is_kept_is_in_one_folder(contain, tmp_path):
    container = contain(HOME="/nonexistent")
    container.wait(container.is_up)
    environment = psutil.Process(container.process.pid).environ()
    places = ("HOME", "HF_HOME", "XDG_CACHE_HOME", "TRITON_CACHE_DIR", "TORCHINDUCTOR_CACHE_DIR")
    assert all(environment[name].startswith(str(container.data)) for name in places)
    container.end()
    assert list((tmp_path / "work").iterdir()) == []
    assert (container.data / "atelier.db").is_file()


def test_a_settings_file_in_the_folder_is_read(contain, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "atelier.toml").write_text("trash_days = -5\n")
    container = contain()
    assert container.process.wait(60) == 1
    assert "trash_days" in container.log


def test_other_commands_run_without_a_port(contain):
    container = contain("doctor")
    assert container.process.wait(120) == 0, container.log
    assert "ok    Atelier" in container.log
    assert not container.listens()


def test_the_health_check_of_the_image(contain):
    container = contain()
    check = [sys.executable, "-m", "studio.container.health"]
    environment = container.environment | {"http_proxy": "http://127.0.0.1:9"}

    def run() -> subprocess.CompletedProcess[str]:
        return subprocess.run(check, env=environment, capture_output=True, text=True, check=False)

    container.wait(container.listens)
    early = run()
    container.wait(container.is_up)
    assert run().returncode == 0
    if early.returncode:  # unless the machine is so fast that the studio was up by then
        assert "starting" in early.stderr
    container.process.send_signal(signal.SIGTERM)
    assert container.end()[0] == 0, "impatience does not disturb the end"
    late = run()
    assert late.returncode == 1
    assert "does not answer" in late.stderr


def test_the_end_is_forced_when_something_hangs(contain, tmp_path):
    """A job that never looks up, as deep in native code: the next start finds it interrupted."""
    hanging = tmp_path / "hanging"
    hanging.mkdir()
    (hanging / "sitecustomize.py").write_text(
        "import threading, time\n"
        "def hang():\n"
        "    import sys\n"
        "    while 'studio.services' not in sys.modules or not hasattr("
        "sys.modules['studio.services'], 'Services'): time.sleep(.05)\n"
        "    sys.modules['studio.services'].Services.stop = lambda self: time.sleep(600)\n"
        "threading.Thread(target=hang, daemon=True).start()\n"
    )
    path = os.pathsep.join((str(hanging), str(Path(__file__).resolve().parents[2])))
    container = contain(PYTHONPATH=path, ATELIER_STOP_SECONDS="5")
    container.wait(container.is_up)
    code, seconds = container.end()
    assert code == 1
    assert 4 < seconds < 10
    assert "is forced" in container.log


@pytest.mark.parametrize("asked", [b"", b"\r\n\r\n", b"\xff\x00", b"GET", b"A" * 20_000])
def test_whatever_is_sent_gets_an_answer(asked):
    told = waiting_room.answer(asked, b"page")
    assert told.startswith(b"HTTP/1.1 503 ")
    assert b"try again" in told


def test_the_port_of_the_platform_gives_way_to_ours():
    environment = {"PORT": "80", "ATELIER_PORT": "90"}
    start.take_port(environment)
    assert environment["ATELIER_PORT"] == "90"


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_started_as_root_it_becomes_a_plain_user(contain, tmp_path):
    """As on a machine whose volumes belong to root; the image itself starts as a plain user."""
    outside = tmp_path
    while outside != Path("/"):
        outside.chmod(outside.stat().st_mode | 0o755)
        outside = outside.parent
    code = (
        "import os, sys; from pathlib import Path; from studio.container import start;"
        "folder = Path(sys.argv[1]); start.leave_root(folder, 1234);"
        "(folder / 'mine').write_text('x'); print(os.getuid(), os.getgroups())"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "volume")],
        env={"PYTHONPATH": str(Path(__file__).resolve().parents[2])},
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.split() == ["1234", "[]"]
    assert (tmp_path / "volume" / "mine").stat().st_uid == 1234


def _listening(port: int) -> list[psutil.Process]:
    """The processes that have a listening socket at a port."""
    found = {
        each.pid
        for each in psutil.net_connections("tcp")
        if each.status == psutil.CONN_LISTEN and each.laddr.port == port
    }
    return [psutil.Process(pid) for pid in found if pid]
