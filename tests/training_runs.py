"""The program of a run as tests start, watch and kill it."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from studio.training.launch.process import PROGRAM
from studio.training.run_folder import RunFolder
from studio.training.task import read_task

ROOT = Path(__file__).resolve().parents[1]


class Program:
    """The program of a run as a process of its own."""

    def __init__(self, folder: RunFolder, *before: str, program: tuple[str, ...] = PROGRAM):
        self.folder = folder
        environment = os.environ | {
            "PYTHONPATH": str(ROOT),
            "OMP_NUM_THREADS": "1",
            "ACCELERATE_USE_CPU": "true",
            "HF_HUB_OFFLINE": "1",
        }
        self._log = folder.path / "log.txt"
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, *before, *program, str(folder.path)],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def wait(self, seconds: float = 240) -> int:
        """Its exit code."""
        try:
            return self.process.wait(seconds)
        finally:
            self.process.kill()

    def until(self, reached: Callable[[], bool], seconds: float = 240) -> None:
        """Wait for something that it does."""
        end = time.monotonic() + seconds
        while not reached():
            assert self.process.poll() is None, self._log.read_text(errors="replace")
            assert time.monotonic() < end, self._log.read_text(errors="replace")
            time.sleep(0.01)

    def done(self) -> RunFolder:
        """Let it go to its end, which must be a good one."""
        code = self.wait()
        assert code == 0, (self.folder.status(), self._log.read_text(errors="replace")[-3000:])
        return self.folder


def here(folder: RunFolder) -> RunFolder:
    """Do a run in this process, from its beginning to its end."""
    import torch

    from studio.training.training import train

    threads = torch.get_num_threads()
    try:
        assert train(read_task(folder.path), folder, None, threading.Event())
    finally:
        torch.set_num_threads(threads)
    return folder
