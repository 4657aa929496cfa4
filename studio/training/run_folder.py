"""What lies in a run's folder: all that a server needs to find the run again, whoever did it.

A run is done by a process of its own, which outlives the server. It tells by files: its status,
which is replaced as a whole every second, and what it has measured, a line each. It is told by one:
what a person wishes of it.
"""

import json
import os
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

import psutil

TASK, CURVE, NOTICES, LOG = "task.json", "curve.jsonl", "notices.jsonl", "log.txt"
SCORES = "scores.jsonl"
_STATUS, _WISH = "status.json", "wish"
SAMPLES, RESULT = "samples", "result"
SILENCE = 15.0
"""Seconds without a beat after which a run whose process cannot be found is dead."""


class Phase(StrEnum):
    """What a run is doing, or how it ended."""

    WAITING = "waiting"
    PREPARING = "preparing"
    CACHING = "caching"
    TRAINING = "training"
    SAMPLING = "sampling"
    SAVING = "saving"
    PAUSED = "paused"
    STOPPED = "stopped"
    FAILED = "failed"
    FINISHED = "finished"

    @property
    def is_final(self) -> bool:
        """Whether no process does the run any more."""
        return self in (Phase.PAUSED, Phase.STOPPED, Phase.FAILED, Phase.FINISHED)


class Wish(StrEnum):
    """What a person wishes of a running process. Both save first."""

    PAUSE = "pause"
    STOP = "stop"


@dataclass(frozen=True)
class RunStatus:
    """Where a run is. pid, started: of its process, as psutil tells them; 0 for none yet.

    beat: when this was written, in seconds since 1970. step, steps: of the optimiser, or of what
    the phase does. reason: why it failed, in one sentence.
    """

    phase: Phase = Phase.WAITING
    pid: int = 0
    started: float = 0.0
    beat: float = 0.0
    step: int = 0
    steps: int = 0
    seconds_left: float | None = None
    reason: str = ""

    def is_alive(self) -> bool:
        """Whether a process of this machine still does the run."""
        if self.phase.is_final or not self.pid:
            return False
        try:
            found = psutil.Process(self.pid)
            same = abs(found.create_time() - self.started) < 1
            return same and found.status() != psutil.STATUS_ZOMBIE
        except psutil.Error:
            return False


class RunFolder:
    """The folder of a run."""

    def __init__(self, path: Path):
        self.path = path

    @property
    def name(self) -> str:
        """The run's name."""
        return self.path.name

    def status(self) -> RunStatus:
        """The newest status; that of a run that waits when there is none."""
        try:
            told = json.loads((self.path / _STATUS).read_text(encoding="utf-8"))
            known = {each.name for each in fields(RunStatus)}
            told = {name: value for name, value in told.items() if name in known}
            return RunStatus(**{**told, "phase": Phase(told["phase"])})
        except (OSError, ValueError, LookupError, TypeError, AttributeError):
            return RunStatus()

    def tell(self, status: RunStatus) -> None:
        """Replace the status, with the time of now."""
        text = json.dumps(asdict(replace(status, beat=time.time())))
        aside = self.path / f"{_STATUS}.{os.getpid()}"
        aside.write_text(text, encoding="utf-8")
        aside.replace(self.path / _STATUS)

    def wish(self, wish: Wish | None) -> None:
        """Say what is wished of the process; None takes it back."""
        if wish is None:
            (self.path / _WISH).unlink(missing_ok=True)
        else:
            (self.path / _WISH).write_text(wish, encoding="utf-8")

    def wished(self) -> Wish | None:
        """What is wished of the process."""
        try:
            return Wish((self.path / _WISH).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None

    def measure(self, step: int, values: dict[str, float]) -> None:
        """Add a point to the curves."""
        self._add(CURVE, {"step": step, **values})

    def notice(self, text: str, step: int = 0) -> None:
        """Add something that the person should know."""
        self._add(NOTICES, {"step": step, "text": text})

    def score(self, step: int, told: dict[str, Any]) -> None:
        """Add what was measured on the samples of a step, each by each."""
        self._add(SCORES, {"step": step, **told})

    def scores(self) -> dict[int, dict[str, Any]]:
        """What was measured on samples, by step; of a step that was done again the last."""
        return {each["step"]: each for each in self._lines(SCORES, 0)[0]}

    def curve(self, start: int = 0) -> tuple[list[dict[str, Any]], int]:
        """The points from a byte of the file on, and where to go on reading."""
        return self._lines(CURVE, start)

    def notices(self, start: int = 0) -> tuple[list[dict[str, Any]], int]:
        """The notices from a byte of the file on, and where to go on reading."""
        return self._lines(NOTICES, start)

    def cut(self, step: int) -> None:
        """Forget what was measured after a step, from which the run goes on."""
        kept = [point for point in self.curve()[0] if point["step"] <= step]
        aside = self.path / f"{CURVE}.part"
        aside.write_text("".join(json.dumps(each) + "\n" for each in kept), encoding="utf-8")
        aside.replace(self.path / CURVE)

    def samples(self) -> Iterator[tuple[int, int, Path]]:
        """Step, number of the prompt, and file of each sample, in that order."""
        for file in sorted((self.path / SAMPLES).glob("*.webp")):
            step, _, number = file.stem.partition("-")
            if step.isdigit() and number.isdigit():
                yield int(step), int(number), file

    def sample_path(self, step: int, number: int) -> Path:
        """Where a sample goes."""
        return self.path / SAMPLES / f"{step:08}-{number:02}.webp"

    def _add(self, name: str, told: dict[str, Any]) -> None:
        with (self.path / name).open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(told) + "\n")

    def _lines(self, name: str, start: int) -> tuple[list[dict[str, Any]], int]:
        found: list[dict[str, Any]] = []
        try:
            with (self.path / name).open("rb") as stream:
                stream.seek(start)
                for line in stream:
                    if not line.endswith(b"\n"):
                        break  # it is being written, or a kill has cut it off
                    start += len(line)
                    try:
                        found.append(json.loads(line))
                    except ValueError:
                        continue
        except OSError:
            pass
        return found, start
