"""A workshop on a folder of models, and what its jobs tell."""

from collections.abc import Callable
from pathlib import Path
from shutil import copytree
from typing import Any

import torch
from loading import catalogue_of
from safetensors.torch import load_file, save_file

from studio.context import Signal
from studio.events import Event, Notice, Progress
from studio.model_requests import BakeRequest, ExtractRequest, MergeRequest, ResizeRequest
from studio.models.merging.workshop import Workshop
from studio.requests import validated

Tensors = dict[str, torch.Tensor]


class Listener:
    """A context that keeps what it is told; on_check: called with each check's number."""

    job_id = "making"

    def __init__(self, on_check: Callable[[int], object] = lambda number: None):
        self.events: list[Event] = []
        self.checks = 0
        self._on_check = on_check

    @property
    def progress(self) -> list[Progress]:
        return [event for event in self.events if isinstance(event, Progress)]

    @property
    def notices(self) -> list[str]:
        return [event.text for event in self.events if isinstance(event, Notice)]

    def borrow(self, spec: Any) -> Any:
        raise AssertionError("making a model needs none in memory")

    def emit(self, event: Event) -> None:
        self.events.append(event)

    def check(self) -> Signal:
        self.checks += 1
        self._on_check(self.checks)
        return Signal.GO_ON

    def save(self, artifact: Any) -> int:
        raise AssertionError("making a model makes no picture")


class Bench:
    """Requests in, files out, as the queue does it: resolved first, then done."""

    def __init__(self, root: Path):
        self.root = root
        self.catalogue = catalogue_of(root)
        self.workshop = Workshop(self.catalogue, root)

    def merge(self, listener: Listener | None = None, **fields: Any) -> Listener:
        listener = listener or Listener()
        request = self.workshop.resolve_merge(validated(MergeRequest, {"name": "new", **fields}))
        self.workshop.merge(request, listener)
        return listener

    def extract(self, listener: Listener | None = None, **fields: Any) -> Listener:
        listener = listener or Listener()
        given = validated(ExtractRequest, {"name": "new", **fields})
        self.workshop.extract(self.workshop.resolve_extract(given), listener)
        return listener

    def bake(self, listener: Listener | None = None, **fields: Any) -> Listener:
        listener = listener or Listener()
        request = self.workshop.resolve_bake(validated(BakeRequest, {"name": "new", **fields}))
        self.workshop.bake(request, listener)
        return listener

    def resize(self, listener: Listener | None = None, **fields: Any) -> Listener:
        listener = listener or Listener()
        request = self.workshop.resolve_resize(validated(ResizeRequest, {"name": "new", **fields}))
        self.workshop.resize(request, listener)
        return listener

    def place(self, name: str) -> Path:
        """A model's folder or file."""
        return self.catalogue.get(name).path

    def left(self) -> set[str]:
        """All that lies in the models folder, below it too."""
        return {path.relative_to(self.root).as_posix() for path in self.root.rglob("*")}


def tensors(path: Path) -> Tensors:
    """All of a model's tensors, of a folder by component and name."""
    if path.is_file():
        return load_file(path)
    return {
        f"{file.parent.name}/{name}": tensor
        for file in sorted(path.glob("*/*.safetensors"))
        for name, tensor in load_file(file).items()
    }


def changed(source: Path, target: Path, change: Callable[[str, torch.Tensor], Any]) -> None:
    """A copy of a model whose tensors are others; change: by name, None to leave a tensor out."""
    if source.is_dir():
        copytree(source, target)
    pairs = [(source, target)] if source.is_file() else []
    pairs += [(path, path) for path in target.glob("*/*.safetensors")]
    for old, new in pairs:
        made = {name: change(name, tensor) for name, tensor in load_file(old).items()}
        kept = {name: each.contiguous() for name, each in made.items() if each is not None}
        save_file(kept, new, metadata={"format": "pt"})


def sibling(source: Path, target: Path, seed: int, size: float = 0.05) -> None:
    """A copy of a model with some noise on all of its numbers."""
    noise = torch.Generator().manual_seed(seed)

    def noisy(_: str, tensor: torch.Tensor) -> torch.Tensor:
        if not tensor.is_floating_point():
            return tensor
        return tensor + size * torch.randn(tensor.shape, generator=noise).to(tensor.dtype)

    changed(source, target, noisy)
