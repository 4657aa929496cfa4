"""Switching between models: what it costs beside the copying, and what it leaves in memory."""

import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from benchmarks.figure import Figure
from studio.context import ModelSpec, Rung
from studio.models.catalogue import Catalogue
from studio.models.devices import Device
from studio.models.diffusion_loader import DiffusionLoader
from studio.models.manager import ModelManager
from studio.requests import GenerationRequest
from studio.services import Services, build_services
from studio.settings import Settings

_ROUNDS = 12
_SWITCHES = 30
_OTHER = "other"


def measure() -> list[Figure]:
    """The cost of a switch, bytes read by a second request, and memory after many switches."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        shipped = Catalogue(Path("/nonexistent")).get("")
        shutil.copytree(shipped.path, root / "models" / _OTHER)
        return [*_moving(root, shipped.id), *_again(root), *_memory(root, shipped.id)]


class _Copying(DiffusionLoader):
    """A stand-in for a device with its own memory: every move copies all tensors."""

    def rest(self, model: Any) -> None:
        super().rest(model)
        copy(model)

    def wake(self, model: Any, rungs: tuple[Rung, ...]) -> None:
        super().wake(model, rungs)
        copy(model)


def copy(pipe: Any) -> None:
    """Put a copy in the place of every tensor, as a move to another memory does."""
    import torch

    for part in pipe.components.values():
        if isinstance(part, torch.nn.Module):
            for tensor in (*part.parameters(), *part.buffers()):
                tensor.data = tensor.data.clone()


def _moving(root: Path, shipped: str) -> list[Figure]:
    """The manager's switch against the bare moves of the same two models, in turn."""
    catalogue = Catalogue(root / "models")
    loader = _Copying(catalogue, lambda: Device("cpu", "CPU", "float32"), "sdpa")
    size = int(loader.estimate(shipped).most * 1.2)
    manager = ModelManager({"diffusion": loader}, lambda: size, resting=lambda: 2 * size)
    names = (shipped, _OTHER)
    pipes = []
    for name in names:
        with manager.borrow(ModelSpec("diffusion", name)) as pipe:
            pipes.append(pipe)

    def switch(to: int) -> None:
        with manager.borrow(ModelSpec("diffusion", names[to])):
            pass

    def move(to: int) -> None:
        for pipe in (pipes[1 - to], pipes[to]):
            pipe.to("cpu")
            copy(pipe)

    managed, bare = [], []
    for number in range(_ROUNDS):
        managed.append(_seconds(lambda to=number % 2: switch(to)))  # type: ignore[misc]
        bare.append(_seconds(lambda to=number % 2: move(to)))  # type: ignore[misc]
    ratio = statistics.median(managed) / statistics.median(bare)
    note = f"medians of {_ROUNDS}, in turn; moves stand for those to a device with its own memory"
    return [Figure("a switch of models, by its moves alone", ratio, "x", 1.1, note)]


def _again(root: Path) -> list[Figure]:
    """What a second request on a loaded model reads, loads and makes anew."""
    services = build_services(Settings(data_dir=root, device="cpu", dtype="float32"))
    try:
        _paint(services, "", 1)
        views: list[str] = []
        loader = services.engine.models._loaders["diffusion"]
        real = loader.view
        loader.view = lambda model, task: (views.append(task), real(model, task))[1]  # type: ignore[method-assign]
        before = psutil.Process().io_counters().read_bytes, _loads(services)
        _paint(services, "", 2)
        after = psutil.Process().io_counters().read_bytes, _loads(services)
    finally:
        services.stop()
    return [
        Figure("bytes read from disk by a second request", after[0] - before[0], "bytes", 0),
        Figure("models loaded by a second request", after[1] - before[1], "", 0),
        Figure("pipelines made by a second request", len(views), "", 0),
    ]


def _memory(root: Path, shipped: str) -> list[Figure]:
    """Resident memory after many switches, by that after the second."""
    budget = int(
        DiffusionLoader(Catalogue(root / "models"), lambda: Device("cpu", "CPU", "float32"), "sdpa")
        .estimate(shipped)
        .most
        * 1.3
    )
    settings = Settings(data_dir=root, device="cpu", dtype="float32", memory_budget=budget)
    services = build_services(settings)
    resident = []
    try:
        for number in range(_SWITCHES):
            _paint(services, (shipped, _OTHER)[number % 2], number)
            resident.append(psutil.Process().memory_info().rss)
        assert _loads(services) == _SWITCHES
    finally:
        services.stop()
    growth = 100 * (max(resident[-2:]) / max(resident[1:3]) - 1)
    return [Figure(f"memory growth over {_SWITCHES} switches of models", growth, "%", 3)]


def _paint(services: Services, model: str, seed: int) -> None:
    services.run_now(GenerationRequest(prompt="a red apple", model=model, seed=seed, steps=4))


def _loads(services: Services) -> float:
    labels = {"event": "load"}
    return services.metrics.get_sample_value("atelier_broker_events_total", labels) or 0.0


def _seconds(work: Callable[[], None]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
