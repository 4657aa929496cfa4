"""Checkpoints that a kill cannot spoil: written aside, flushed to the disk, then renamed."""

import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio.store.writing import write_folder

if TYPE_CHECKING:
    import torch
    from torch import nn

_KEPT = 2
_WEIGHTS, _OPTIMISER, _STATE = "model.safetensors", "optimiser.safetensors", "state.json"


@dataclass(frozen=True)
class State:
    """Where a run is: steps done, the best score so far with its step, and the loss scale.

    data: name of the windows that it learns from, for with others it could not go on. Their order,
    the rates and the dropout masks follow from the step alone.
    """

    step: int = 0
    best: float | None = None
    best_step: int = 0
    scale: dict[str, Any] | None = None
    data: str = ""


class Checkpoints:
    """The checkpoints in a run's folder; the last two are kept."""

    def __init__(self, run: Path):
        self._folder = run / "checkpoints"

    def all(self) -> list[Path]:
        """Whole ones, oldest first."""
        return sorted(self._folder.glob("step-*[0-9]")) if self._folder.is_dir() else []

    def state(self) -> State:
        """The state of the newest one, or that of a beginning."""
        found = self.all()
        if not found:
            return State()
        return State(**json.loads((found[-1] / _STATE).read_text(encoding="utf-8")))

    def load_weights(self, model: "nn.Module") -> None:
        """Put the newest one's weights into the model, when there is one."""
        from safetensors.torch import load_model

        if self.all():
            load_model(model, self.all()[-1] / _WEIGHTS)

    def load_optimiser(self, optimiser: "torch.optim.Optimizer") -> None:
        """Put the newest one's moments into the optimiser, when there is one."""
        from safetensors.torch import load_file

        if self.all():
            tensors = load_file(self.all()[-1] / _OPTIMISER)
            state: dict[int, dict[str, torch.Tensor]] = {}
            for key, tensor in tensors.items():
                number, _, name = key.partition(".")
                state.setdefault(int(number), {})[name] = tensor
            optimiser.load_state_dict({**optimiser.state_dict(), "state": state})

    def save(self, model: "nn.Module", optimiser: "torch.optim.Optimizer", state: State) -> None:
        """Write one and remove all but the last two; StorageError when the disk refuses."""
        import torch
        from safetensors.torch import save_file, save_model

        moments = {
            f"{number}.{name}": torch.as_tensor(value).contiguous()
            for number, values in optimiser.state_dict()["state"].items()
            for name, value in values.items()
        }

        def fill(folder: Path) -> None:
            save_model(model, str(folder / _WEIGHTS))
            save_file(moments, folder / _OPTIMISER)
            (folder / _STATE).write_text(json.dumps(asdict(state)), encoding="utf-8")

        write_folder(self._folder / f"step-{state.step:08}", fill)
        for old in self.all()[:-_KEPT]:
            shutil.rmtree(old, ignore_errors=True)
