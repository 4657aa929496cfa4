"""Where the stages keep what they make, and how they say how far they are."""

import os
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from filelock import FileLock, Timeout

from studio.models.devices import cpu_has_bfloat16, faster_cpu_dtype

ROOT = Path(__file__).resolve().parents[2]


def workshop() -> Path:
    """The folder of all stages: EMBEDDED_WORKSHOP, or var/embedded, which git ignores."""
    folder = Path(os.environ.get("EMBEDDED_WORKSHOP") or ROOT / "var" / "embedded")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def alone(name: str) -> Iterator[None]:
    """Nobody else trains the run meanwhile: two would write their checkpoints over each other.

    SystemExit when another process does.
    """
    folder = workshop() / "runs"
    folder.mkdir(exist_ok=True)
    lock = FileLock(folder / f"{name}.lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise SystemExit(
            f"The run '{name}' is being trained by another process: wait for it or stop it."
        ) from None
    try:
        yield
    finally:
        lock.release()


@cache
def bfloat16_pays() -> bool:
    """Whether this processor computes faster in bfloat16, by a race.

    Without instructions for it that is 20 times slower than float32; with AVX-512's it was twice as
    fast on one processor and half as fast on another.
    """
    return cpu_has_bfloat16() and faster_cpu_dtype() == "bfloat16"


def autocast() -> AbstractContextManager:
    """bfloat16 where that is faster."""
    import torch

    return torch.autocast("cpu", torch.bfloat16, enabled=bfloat16_pays())


@dataclass
class Progress:
    """One printed line each `every` seconds: steps, pace and the minutes that are left.

    total: of steps; 0 where a run ends by the clock and says so itself.
    """

    total: int
    done: int = 0
    every: float = 20.0

    def __post_init__(self) -> None:
        self._began = self._said = time.monotonic()
        self._start = self.done

    def step(self, **figures: float) -> None:
        """Count a step and, now and then, print where the stage is."""
        self.done += 1
        now = time.monotonic()
        if now - self._said < self.every and self.done != self.total:
            return
        self._said = now
        pace = (self.done - self._start) / (now - self._began)
        words = " ".join(f"{name} {value:.4g}" for name, value in figures.items())
        if self.total:
            words = f"of {self.total}, {(self.total - self.done) / pace / 60:.1f} min left {words}"
        print(f"step {self.done} {words} ({pace:.2f} steps/s)", flush=True)
