"""Runs commands in this process or in one of their own, on a fresh data folder."""

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from command_line import Result

import app

ROOT = Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, str(ROOT / "app.py")]


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The data folder of the commands; no settings file lies in the working folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ATELIER_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("ATELIER_DEVICE", "cpu")
    monkeypatch.setenv("ATELIER_DTYPE", "float32")
    monkeypatch.setenv("ATELIER_PORT", "0")  # the usual one may be taken by whoever tests
    return tmp_path / "data"


@pytest.fixture
def atelier(data, capsys, monkeypatch) -> Callable[..., Result]:
    """Runs a command in this process, through the same entry as the installed one."""

    def run(*arguments: object) -> Result:
        monkeypatch.setattr(sys, "argv", ["atelier", *map(str, arguments)])
        before = signal.getsignal(signal.SIGTERM)
        code: object = 0
        try:
            app.main()
        except SystemExit as end:
            code = end.code
        finally:
            signal.signal(signal.SIGTERM, before)
        out, err = capsys.readouterr()
        if isinstance(code, str):  # Python prints it and makes it 1
            code, err = 1, f"{err}{code}\n"
        return Result(int(code or 0), out, err)

    return run


@pytest.fixture
def spawn(data) -> Iterator[Callable[..., subprocess.Popen]]:
    """Starts a command as a process of its own; none outlives the test."""
    started: list[subprocess.Popen] = []

    def start(*arguments: object, before: tuple[str, ...] = ()) -> subprocess.Popen:
        process = subprocess.Popen(
            [*before, *COMMAND, *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        with process:
            pass
