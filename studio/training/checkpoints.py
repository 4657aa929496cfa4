"""Checkpoints of a run: whole or not there, checked before they are used, the last ones kept."""

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from studio.errors import StorageError, from_os_error
from studio.store.writing import write_folder

if TYPE_CHECKING:
    import torch

KEPT = 2
"""Of the newest; the best one stays besides."""
_MANIFEST, _STATE = "manifest.json", "state.json"
_SPARE = 100_000_000
"""Bytes that a disk keeps free besides a checkpoint."""


@dataclass(frozen=True)
class State:
    """Where a run is.

    step: steps done. best, best_step: the lowest held-out loss so far, and when. rate: what the
    learning rates are multiplied by, less than 1 after the loss has gone astray. micro_batch: what
    has been found to fit, 0 for what was asked. data: name of what is learnt from, for with other
    pictures the run could not go on.
    """

    step: int = 0
    best: float | None = None
    best_step: int = 0
    rate: float = 1.0
    micro_batch: int = 0
    data: str = ""


@dataclass(frozen=True)
class Saved:
    """What a checkpoint holds: tensors by the file that they are in, and what is no tensor."""

    tensors: Mapping[str, Mapping[str, "torch.Tensor"]]
    told: Mapping[str, object]


class Checkpoints:
    """The checkpoints in a run's folder."""

    def __init__(self, run: Path):
        self.folder = run / "checkpoints"

    def all(self) -> list[Path]:
        """Those that seem whole, oldest first."""
        return sorted(self.folder.glob("step-*[0-9]")) if self.folder.is_dir() else []

    def newest(self) -> Path | None:
        """The newest one that is as it was written; what is damaged is passed over."""
        return next((each for each in reversed(self.all()) if is_whole(each)), None)

    def of(self, step: int) -> Path:
        """Where the one of a step lies."""
        return self.folder / f"step-{step:08}"

    def write(self, state: State, saved: Saved) -> Path:
        """Write one and remove all but the last and the best.

        Raises StorageError when there is no room or the disk refuses; what was there stays.
        """
        from safetensors.torch import save_file

        needed = sum(
            each.numel() * each.element_size()
            for tensors in saved.tensors.values()
            for each in tensors.values()
        )
        self._check_room(needed)

        def fill(folder: Path) -> None:
            for name, tensors in saved.tensors.items():
                whole = {key: each.detach().cpu().contiguous() for key, each in tensors.items()}
                save_file(whole, folder / f"{name}.safetensors")
            told = {"state": asdict(state), **saved.told}
            (folder / _STATE).write_text(json.dumps(told), encoding="utf-8")
            sums = {each.name: _sha256(each) for each in sorted(folder.iterdir())}
            (folder / _MANIFEST).write_text(json.dumps(sums, indent=2), encoding="utf-8")

        place = self.of(state.step)
        write_folder(place, fill)
        keep = {*self.all()[-KEPT:], self.of(state.best_step)}
        for old in self.all():
            if old not in keep:
                shutil.rmtree(old, ignore_errors=True)
        return place

    def _check_room(self, needed: int) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            free = shutil.disk_usage(self.folder).free
        except OSError as error:
            raise from_os_error(error, f"write a checkpoint to {self.folder}") from None
        if needed + _SPARE > free:
            raise StorageError(
                f"A checkpoint needs {needed / 1e9:,.2f} GB, but only {free / 1e9:,.2f} GB are "
                f"free in {self.folder}; free some space and let the run go on from its last one."
            )


def read(folder: Path) -> tuple[State, Saved]:
    """What a checkpoint holds."""
    from safetensors.torch import load_file

    told = json.loads((folder / _STATE).read_text(encoding="utf-8"))
    tensors = {file.stem: load_file(file) for file in sorted(folder.glob("*.safetensors"))}
    return State(**told.pop("state")), Saved(tensors, told)


def is_whole(folder: Path) -> bool:
    """Whether all files are those that the manifest names, to the last byte."""
    try:
        sums = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))
        return all(_sha256(folder / name) == told for name, told in sums.items()) and bool(sums)
    except (OSError, ValueError, AttributeError):
        return False


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
