"""The training program as a child of the server: begun, listened to, stopped."""

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import studio
from studio.errors import ModelError, from_os_error
from studio.models.devices import Device

_PATIENCE = 30.0
"""Seconds that the program has for its last checkpoint once it is told to stop."""
_POLL = 0.3
LOG = "log.txt"


def command(run: Path, processes: int = 1) -> list[str]:
    """The command line that does a run; several processes are begun by accelerate's launcher."""
    program = ["-m", "studio.reader.finetuning", str(run)]
    if processes == 1:
        return [sys.executable, *program]
    # "multi_gpu" is its word for several processes, which are on the CPU where that is chosen.
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu"]
    launch += ["--num_machines", "1", "--num_processes", str(processes), "--main_process_port", "0"]
    # Named, so that nobody's own configuration of accelerate has a say.
    return [*launch, "--mixed_precision", "no", "--dynamo_backend", "no", *program]


def environment(device: Device, processes: int = 1) -> dict[str, str]:
    """The environment in which the program uses a device; several processes take a GPU each."""
    root = str(Path(studio.__file__).resolve().parents[1])
    paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    given = {"PYTHONPATH": os.pathsep.join(paths), "PYTHONUNBUFFERED": "1"}
    if device.sort == "cpu":
        given["ACCELERATE_USE_CPU"] = "true"
    elif processes == 1:
        given["ACCELERATE_TORCH_DEVICE"] = device.name
    return os.environ | given


class Child:
    """The running program of a run. What it says on standard error goes to the run's log.

    It ends by itself, with a checkpoint, when this process ends in any way: its standard input is
    a pipe from here.
    """

    def __init__(self, run: Path, device: Device, processes: int = 1):
        self._log = run / LOG
        # A folder of no models, so that the name of one on the hub is never that of a folder.
        place = run / "windows"
        try:
            place.mkdir(parents=True, exist_ok=True)
            with self._log.open("ab") as log:
                self._process = subprocess.Popen(
                    [*command(run, processes), "--with-parent"],
                    env=environment(device, processes),
                    cwd=place,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    text=True,
                    encoding="utf-8",
                    errors="replace",
                    start_new_session=True,
                )
        except OSError as error:
            raise from_os_error(error, f"begin the training in {run}") from None
        self._said: queue.Queue[str | None] = queue.Queue()
        threading.Thread(target=self._listen, name="training", daemon=True).start()

    def told(self) -> Iterator[dict[str, Any] | None]:
        """What the program tells, to its end; None again and again while it says nothing.

        Raises ModelError when it ends without having told how.
        """
        last: dict[str, Any] = {}
        while True:
            try:
                line = self._said.get(timeout=_POLL)
            except queue.Empty:
                yield None
                continue
            if line is None:
                break
            told = _object(line)
            if told is not None:
                last = told
                yield told
        code = self._process.wait()
        if last.get("type") not in ("finished", "stopped", "failed"):
            raise ModelError(
                f"The training was broken off (exit code {code}); begin it again with the same "
                f"settings and it goes on from its last checkpoint. Its log is {self._log}."
            )

    def stop(self) -> None:
        """Let it write a checkpoint and end; after half a minute it is killed."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self._kill()
            self._process.wait()

    def _kill(self) -> None:
        if os.name == "nt":
            self._process.kill()
        else:
            os.killpg(self._process.pid, signal.SIGKILL)

    def _listen(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as stream:
            for line in stream:
                self._said.put(line)
        self._said.put(None)


def _object(line: str) -> dict[str, Any] | None:
    """What a line tells, None when a library has written it."""
    try:
        told = json.loads(line)
    except ValueError:
        return None
    return told if isinstance(told, dict) and "type" in told else None
