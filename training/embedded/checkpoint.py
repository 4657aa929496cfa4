"""Checkpoints that a kill cannot spoil: written aside, then renamed over the last one."""

import os
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

Tensors = dict[str, torch.Tensor]


def save(path: Path, tensors: Tensors, step: int) -> None:
    """Write tensors and the step so that either the old or the new file is whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_suffix(".part")
    save_file({k: v.contiguous() for k, v in tensors.items()}, aside, metadata={"step": str(step)})
    with aside.open("rb") as stream:
        os.fsync(stream.fileno())
    aside.replace(path)


def load(path: Path) -> tuple[Tensors, int]:
    """The tensors and the step of a checkpoint; an empty dict and 0 where there is none."""
    if not path.is_file():
        return {}, 0
    with safe_open(path, "pt") as stored:
        tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
        return tensors, int(stored.metadata()["step"])


def pick(tensors: Tensors, prefix: str) -> Tensors:
    """The tensors below a prefix, without it."""
    start = prefix + "."
    return {name.removeprefix(start): t for name, t in tensors.items() if name.startswith(start)}


def put(prefix: str, tensors: Tensors) -> Tensors:
    """The tensors with a prefix before their names."""
    return {f"{prefix}.{name}": tensor for name, tensor in tensors.items()}


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> Tensors:
    """An optimizer's state as flat tensors: parameter number and name of the state."""
    state = optimizer.state_dict()["state"]
    return {
        f"{number}.{name}": torch.as_tensor(value)
        for number, values in state.items()
        for name, value in values.items()
    }


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: Tensors) -> None:
    """Put back what `optimizer_tensors` gave; learning rates stay those of the optimizer.

    Each tensor is laid out in memory as its weight is: fused steps walk both in memory's order.
    """
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    state: dict[int, Tensors] = {}
    for key, tensor in tensors.items():
        number, _, name = key.partition(".")
        weight = weights[int(number)]
        if tensor.shape == weight.shape:
            tensor = torch.empty_like(weight).copy_(tensor)
        state.setdefault(int(number), {})[name] = tensor
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})


class Mean:
    """An exponential mean of a module's parameters.

    Its memory grows with the steps, so that early weights do not linger: the decay of step n is
    min(decay, (1 + n) / (10 + n)).
    """

    def __init__(self, module: nn.Module, decay: float):
        self.decay = decay
        self.tensors = {k: v.detach().clone() for k, v in module.state_dict().items()}

    @torch.no_grad()
    def update(self, module: nn.Module, step: int) -> None:
        """Take the module's weights after `step` steps into the mean."""
        share = 1 - min(self.decay, (1 + step) / (10 + step))
        for name, value in module.state_dict().items():
            if value.is_floating_point():
                self.tensors[name].lerp_(value, share)

    def restore(self, tensors: Tensors) -> None:
        """Put back the mean of a checkpoint."""
        for name, value in tensors.items():
            self.tensors[name].copy_(value)
