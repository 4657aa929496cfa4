"""A device's process on this machine, told and heard by its standard streams."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import studio
from studio.device.messages import read_frame

PROGRAM = ("-m", "studio.device")
"""What Python is told to do for a device."""


class Pipe:
    """One such process; program: what Python is told to do."""

    def __init__(self, program: Sequence[str]):
        self._process = subprocess.Popen(
            [sys.executable, *program],
            env=_environment(os.environ),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._process.stdin is not None
        self.input = self._process.stdin

    def frames(self) -> Iterator[bytes]:
        """What it tells, message by message, until it has ended."""
        assert self._process.stdout is not None
        with self._process.stdout as stream:
            while (frame := read_frame(stream)) is not None:
                yield frame

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()

    def ended(self) -> tuple[str, str]:
        """Why it has ended, in words and in one, once it tells nothing any more."""
        code = self._process.wait()
        if code >= 0:
            return f"exit code {code}", "exit"
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = str(-code)
        hint = ", as by a system that is out of memory" if -code == signal.SIGKILL else ""
        return f"killed by signal {name}{hint}", name


def piped(program: Sequence[str] = PROGRAM) -> Callable[[Callable[[], bool]], Pipe]:
    """Begins such processes."""
    return lambda is_wanted: Pipe(program)


def _environment(given: Mapping[str, str]) -> dict[str, str]:
    """That of the server, where this very package is found first."""
    root = str(Path(studio.__file__).resolve().parents[1])
    paths = [root, *filter(None, [given.get("PYTHONPATH")])]
    return {**given, "PYTHONPATH": os.pathsep.join(paths)}
