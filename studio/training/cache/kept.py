"""Tensors by name, on the disk for ever and in memory as far as there is room."""

import hashlib
import os
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from studio.errors import from_os_error
from studio.models.entry import ModelEntry

Tensors = dict[str, torch.Tensor]


class Kept:
    """Tensors that are made when they are first asked for.

    folder: a file for each name. budget: bytes that stay in memory besides.
    """

    def __init__(self, folder: Path, budget: int = 1 << 30):
        self._folder = folder
        self._budget = budget
        self._held: OrderedDict[str, Tensors] = OrderedDict()
        self._bytes = 0

    def has(self, name: str) -> bool:
        """Whether nothing needs to be made for a name."""
        return name in self._held or self._path(name).is_file()

    def get(self, name: str, make: Callable[[], Tensors]) -> Tensors:
        """The tensors of a name, on the CPU; StorageError when they cannot be written."""
        if name in self._held:
            self._held.move_to_end(name)
            return self._held[name]
        tensors = self._read(name)
        if tensors is None:
            tensors = {key: each.detach().cpu().contiguous() for key, each in make().items()}
            self._write(name, tensors)
        self._hold(name, tensors)
        return tensors

    def _path(self, name: str) -> Path:
        # Many files in one folder are slow on some systems.
        digest = hashlib.sha256(name.encode()).hexdigest()
        return self._folder / digest[:2] / f"{digest[2:40]}.safetensors"

    def _read(self, name: str) -> Tensors | None:
        try:
            return load_file(self._path(name))
        except (OSError, SafetensorError):
            return None  # it is not there, or was cut off by a kill: it is made again

    def _write(self, name: str, tensors: Tensors) -> None:
        path = self._path(name)
        aside = path.with_suffix(f".{os.getpid()}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            save_file(tensors, aside)
            aside.replace(path)
        except OSError as error:
            aside.unlink(missing_ok=True)
            raise from_os_error(error, f"keep what was computed in {self._folder}") from None

    def _hold(self, name: str, tensors: Tensors) -> None:
        self._held[name] = tensors
        self._bytes += _size(tensors)
        while self._bytes > self._budget and len(self._held) > 1:
            self._bytes -= _size(self._held.popitem(last=False)[1])


def fingerprint(entry: ModelEntry) -> str:
    """A word that changes as soon as a file of a model does."""
    if entry.original is None:
        files = sorted((*entry.path.glob("*"), *entry.path.glob("*/*")))
    else:
        files = sorted({entry.path, *(path for _, path in entry.sources)})
    told = [f"{each} {each.stat().st_size} {each.stat().st_mtime_ns}" for each in files]
    return hashlib.sha256("\n".join(told).encode()).hexdigest()[:24]


def _size(tensors: Tensors) -> int:
    return sum(each.numel() * each.element_size() for each in tensors.values())
