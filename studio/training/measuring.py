"""Measures what a run will cost: three steps, a sample and a picture encoded."""

import math
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psutil
import torch

from studio.models.devices import Device, free_memory
from studio.training.assembly import Parts, assembled
from studio.training.beat import Beat
from studio.training.cost import KEPT_CHECKPOINTS, Cost, steady
from studio.training.loop import Loop
from studio.training.run_folder import Phase, RunFolder
from studio.training.task import Task

STEPS = 3
_LOOK_SECONDS = 0.05
_SAMPLE_BYTES = 60_000


class _Silent:
    """Nobody looks at a measurement on the way, but what had to be changed is remembered."""

    def __init__(self, beat: Beat | None) -> None:
        self.said: list[str] = []
        self._beat = beat

    def began(self, step: int, steps: int) -> None:
        """Nothing is told."""

    def stepped(self, step: int, seconds_left: float | None) -> None:
        """Tell which step is done."""
        if self._beat is not None:
            self._beat.set(step=step, seconds_left=seconds_left)

    def measured(self, step: int, values: dict[str, float]) -> None:
        """There are no curves."""

    def looked(self, step: int) -> dict[str, float]:
        """There are no samples."""
        return {}

    def compared(self, step: int) -> dict[str, float]:
        """Nothing is held out."""
        return {}

    def saved(self, step: int) -> None:
        """There are no checkpoints."""

    def noticed(self, text: str) -> None:
        """Remember what had to be changed."""
        self.said.append(text)

    def wished(self) -> bool:
        """A measurement is short."""
        return False


def measure(task: Task, folder: RunFolder, beat: Beat | None, ending: threading.Event) -> bool:
    """Take a few steps of a run and write down what all of it will cost; always to its end."""
    parts = assembled(task, folder)
    device = parts.accelerator.device
    free = free_memory(Device(str(device), str(device), "float32")) + _own(device)
    if beat is not None:
        beat.set(phase=Phase.CACHING, step=0, steps=STEPS)
    done = 0

    def on_done(number: int, total: int) -> None:
        nonlocal done
        done = total

    began = time.monotonic()
    parts.cache(range(STEPS), on_done)
    encoding = (time.monotonic() - began) / max(1, done)
    silent = _Silent(beat)
    with _peak(device) as peak:
        loop = parts.loop(parts.learner(), silent)
        if beat is not None:
            beat.set(phase=Phase.TRAINING)
        seconds = loop.tried(STEPS)
        sampling = _sampling(parts, loop)
    if parts.accelerator.is_main_process:
        times = _Times(steady(seconds), encoding, sampling)
        _cost(parts, loop, times, peak[0], free, silent.said).write(folder.path)
    return True


@dataclass(frozen=True)
class _Times:
    """Seconds of a step, of a picture or text encoded, and of a sample."""

    step: float
    encoding: float
    sampling: float


def _cost(parts: Parts, loop: Loop, times: _Times, peak: int, free: int, said: list[str]) -> Cost:
    request = parts.request
    assert request.steps
    looks = request.steps // request.sample_every + 2 if request.sample_every else 0
    samples = looks * len(request.sample_prompts)
    pictures = parts.lessons.pictures()
    # Of each latent the mean and the deviation are kept, in float32.
    a_pixel = parts.pipe.vae.config.latent_channels * 8 / parts.entry.factor**2
    latents = int(sum(math.prod(placed.bucket) * a_pixel for placed, _ in pictures))
    whole = parts.request.trains_weights
    result = sum(each.numel() * 4 for each in parts.changed.weights.values())
    disk = loop.size() * KEPT_CHECKPOINTS + result * (2 if whole else 1)
    return Cost(
        seconds=(
            request.steps * times.step + samples * times.sampling + len(pictures) * times.encoding
        ),
        seconds_a_step=times.step,
        pictures_a_second=request.batch_size / times.step,
        memory=peak,
        free=free,
        disk=disk + samples * _SAMPLE_BYTES + latents,
        disk_free=shutil.disk_usage(parts.folder.path).free,
        micro_batch=loop.state.micro_batch or request.micro_batch or request.batch_size,
        checkpointing=loop.recomputes,
        way=tuple(said),
    )


def _sampling(parts: Parts, loop: Loop) -> float:
    """Seconds that a sample takes, 0 when none are made."""
    requests = parts.sampler.requests() if parts.request.sample_every else []
    if not requests:
        return 0.0
    began = time.monotonic()
    with loop.at_rest(), torch.no_grad():
        parts.sampler.paint(requests[0])
    return time.monotonic() - began


def _own(device: torch.device) -> int:
    """Bytes that this process holds already, which a run may use as well."""
    if device.type == "cuda":
        return torch.cuda.memory_allocated(device)
    return int(psutil.Process().memory_info().rss)


@contextmanager
def _peak(device: torch.device) -> Iterator[list[int]]:
    """The most memory in bytes that a block takes, in a list that is filled at its end."""
    most = [0]
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        yield most
        most[0] = torch.cuda.max_memory_reserved(device)
        return
    process, over = psutil.Process(), threading.Event()

    def look() -> None:
        while not over.wait(_LOOK_SECONDS):
            most[0] = max(most[0], process.memory_info().rss)

    looker = threading.Thread(target=look, daemon=True)
    looker.start()
    try:
        yield most
    finally:
        over.set()
        looker.join()
        most[0] = max(most[0], process.memory_info().rss)
