"""The beat of a run's process: its status, written again every second by a thread."""

import contextlib
import os
import threading
from dataclasses import replace
from typing import Any

import psutil

from studio.training.run_folder import Phase, RunFolder, RunStatus

_SECONDS = 1.0


class Beat:
    """Tells a run's status for as long as the process lives, however long a step takes."""

    def __init__(self, folder: RunFolder):
        self._folder = folder
        pid = os.getpid()
        self._status = RunStatus(
            Phase.PREPARING, pid=pid, started=psutil.Process(pid).create_time()
        )
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._folder.tell(self._status)
        self._thread = threading.Thread(target=self._go, name="beat", daemon=True)
        self._thread.start()

    def set(self, **changes: Any) -> None:
        """Change the status; it is told with the next beat, a new phase at once."""
        with self._lock:
            phase = self._status.phase
            self._status = replace(self._status, **changes)
            if self._status.phase is not phase:
                self._tell()

    def end(self, phase: Phase, reason: str = "") -> None:
        """Tell how the run ended, as the last thing."""
        self._ended.set()
        with self._lock:
            self._status = replace(self._status, phase=phase, reason=reason, seconds_left=None)
            self._tell()

    def _go(self) -> None:
        while not self._ended.wait(_SECONDS):
            with self._lock:
                if not self._ended.is_set():
                    self._tell()

    def _tell(self) -> None:
        # A full disk must not end a run: it says so when it saves.
        with contextlib.suppress(OSError):
            self._folder.tell(self._status)
