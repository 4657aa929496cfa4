"""Where the stages keep what they make, and how they say how far they are."""

import os
import time
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def workshop() -> Path:
    """The folder of all stages: EMBEDDED_WORKSHOP, or var/embedded, which git ignores."""
    folder = Path(os.environ.get("EMBEDDED_WORKSHOP") or ROOT / "var" / "embedded")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def autocast() -> AbstractContextManager:
    """bfloat16 where the processor has instructions for it; elsewhere that is 20 times slower."""
    import torch

    fast = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return torch.autocast("cpu", torch.bfloat16, enabled=fast)


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
