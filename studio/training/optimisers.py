"""Optimisers by name, from the libraries that keep them, and their state as tensors and JSON.

AdamW is torch's, Adafactor transformers' (torch's own always scales its rate by the size of the
weights, which a LoRA's begin as zeros), AdamW 8-bit that of bitsandbytes; Prodigy, Lion and
schedule-free AdamW are those of pytorch-optimizer.
"""

import contextlib
from collections.abc import Iterator
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from studio.errors import DataError, RequestError
from studio.training_requests import Optimiser

if TYPE_CHECKING:
    import torch

_LIBRARIES = {
    Optimiser.ADAMW_8BIT: "bitsandbytes",
    Optimiser.PRODIGY: "pytorch_optimizer",
    Optimiser.LION: "pytorch_optimizer",
    Optimiser.SCHEDULE_FREE: "pytorch_optimizer",
}
"""Modules that are no part of every installation."""
_BETAS = {Optimiser.LION: (0.9, 0.99)}
_USUAL_BETAS = (0.9, 0.999)
_TENSOR, _TUPLE, _PAIRS = "tensor", "tuple", "pairs"


def offered() -> tuple[Optimiser, ...]:
    """Those whose library is installed; nothing is imported."""
    return tuple(each for each in Optimiser if not _missing(each))


def build(
    optimiser: Optimiser,
    groups: list[dict[str, Any]],
    weight_decay: float,
    betas: tuple[float, float] | None = None,
) -> "torch.optim.Optimizer":
    """An optimiser for groups of parameters, each `{"params": [...], "lr": its highest rate}`.

    betas: None for what the optimiser's authors take. Prodigy gives all groups the first one's
    rate. Schedule-free wants a constant rate after its warm-up, and `evaluating` around all that
    looks at the weights. Raises RequestError when the library is not installed.
    """
    if library := _missing(optimiser):
        raise RequestError(
            f"Optimiser {optimiser.value} needs the library {library.replace('_', '-')}, which is "
            f"not installed; install it, or take one of {', '.join(offered())}.",
            field="optimiser",
        )
    both = betas or _BETAS.get(optimiser, _USUAL_BETAS)
    match optimiser:
        case Optimiser.ADAMW:
            import torch

            # One kernel for all weights; float64 and other sorts of devices have none.
            tensors = [tensor for group in groups for tensor in group["params"]]
            fused = all(tensor.is_floating_point() for tensor in tensors) and all(
                tensor.device.type in ("cpu", "cuda", "mps", "xpu") for tensor in tensors
            )
            return torch.optim.AdamW(groups, betas=both, weight_decay=weight_decay, fused=fused)
        case Optimiser.ADAMW_8BIT:
            import bitsandbytes

            return bitsandbytes.optim.AdamW8bit(groups, betas=both, weight_decay=weight_decay)
        case Optimiser.ADAFACTOR:
            from transformers.optimization import Adafactor

            return Adafactor(
                groups, weight_decay=weight_decay, scale_parameter=False, relative_step=False
            )
    import pytorch_optimizer as kept

    match optimiser:
        case Optimiser.LION:
            return kept.Lion(groups, betas=both, weight_decay=weight_decay)
        case Optimiser.SCHEDULE_FREE:
            return kept.ScheduleFreeAdamW(groups, betas=both, weight_decay=weight_decay)
        case Optimiser.PRODIGY:
            # As its authors advise for diffusion models (https://github.com/konstmish/prodigy).
            return kept.Prodigy(
                groups,
                betas=both,
                weight_decay=weight_decay,
                bias_correction=True,
                safeguard_warmup=True,
            )


@contextlib.contextmanager
def evaluating(built: "torch.optim.Optimizer") -> Iterator[None]:
    """Have the weights be those that are meant to be used, for samples, scores and export.

    Only schedule-free keeps others while it trains (Defazio et al. 2024, arXiv 2405.15682). They
    come back to the bit; its own way back is an interpolation, which does not.
    """
    if not hasattr(built, "eval") or not hasattr(built, "train"):
        yield
        return
    import torch

    parameters = [tensor for group in built.param_groups for tensor in group["params"]]
    kept = [tensor.detach().clone() for tensor in parameters]
    built.eval()
    try:
        yield
    finally:
        built.train()
        with torch.no_grad():
            for tensor, own in zip(parameters, kept, strict=True):
                tensor.copy_(own)


def state_tensors(built: "torch.optim.Optimizer") -> tuple[dict[str, "torch.Tensor"], Any]:
    """All that an optimiser has gathered: tensors for a safetensors file, and the rest for JSON.

    What several parameters share is there once.
    """
    state = built.state_dict()
    tensors, rest = _packed({"state": state["state"], "param_groups": state["param_groups"]})
    return tensors, {"optimiser": type(built).__name__, "gathered": rest}


def load_state(
    built: "torch.optim.Optimizer", tensors: dict[str, "torch.Tensor"], rest: Any
) -> None:
    """Put back what `state_tensors` gave, to the bit, into an optimiser that is built the same way.

    Raises DataError when it is another optimiser's, or of other parameters.
    """
    import torch

    try:
        kind = rest["optimiser"]
        state = _unpacked(rest["gathered"], tensors)
        shapes = [len(group["params"]) for group in state["param_groups"]]
    except (LookupError, TypeError, ValueError, AttributeError):
        raise DataError(
            "The optimiser's state in the checkpoint cannot be read; go on from another checkpoint."
        ) from None
    if kind != type(built).__name__:
        raise DataError(
            f"The optimiser's state in the checkpoint is {kind}'s, not {type(built).__name__}'s; "
            "choose the optimiser that the run began with."
        )
    if shapes != [len(group["params"]) for group in built.param_groups]:
        raise DataError(
            "The optimiser's state in the checkpoint is of other parameters; begin the run again."
        )
    built.load_state_dict(state)
    # torch makes floats of what it puts back into the parameter's format, which need not be the
    # format that they are kept in.
    numbers = (number for group in state["param_groups"] for number in group["params"])
    parameters = (tensor for group in built.param_groups for tensor in group["params"])
    for number, parameter in zip(numbers, parameters, strict=True):
        for name, saved in state["state"].get(number, {}).items():
            placed = built.state[parameter].get(name)
            both = isinstance(saved, torch.Tensor) and isinstance(placed, torch.Tensor)
            if both and placed.dtype != saved.dtype:
                built.state[parameter][name] = saved.to(placed.device)


def _missing(optimiser: Optimiser) -> str:
    """The module that an optimiser lacks, "" when it has all."""
    library = _LIBRARIES.get(optimiser, "")
    return library if library and find_spec(library) is None else ""


def _packed(value: Any) -> tuple[dict[str, "torch.Tensor"], Any]:
    """Tensors by number, and the rest with their numbers in their places."""
    import torch

    tensors: dict[str, torch.Tensor] = {}
    seen: dict[tuple[Any, ...], str] = {}

    def pack(each: Any) -> Any:
        if isinstance(each, torch.Tensor):
            shared = (each.data_ptr(), each.dtype, tuple(each.shape), each.stride())
            key = seen.get(shared) if each.numel() else None
            if key is None:
                key = seen[shared] = str(len(tensors))
                # An own copy, as a file of safetensors holds no two views of one memory.
                tensors[key] = each.detach().clone(memory_format=torch.contiguous_format)
            return {_TENSOR: key}
        if isinstance(each, dict):
            return {_PAIRS: [[pack(key), pack(inner)] for key, inner in each.items()]}
        if isinstance(each, tuple):
            return {_TUPLE: [pack(inner) for inner in each]}
        if isinstance(each, list):
            return [pack(inner) for inner in each]
        if each is None or isinstance(each, bool | int | float | str):
            return each
        raise TypeError(f"the state of an optimiser holds a {type(each).__name__}")

    rest = pack(value)
    return tensors, rest


def _unpacked(rest: Any, tensors: dict[str, "torch.Tensor"]) -> Any:
    if isinstance(rest, list):
        return [_unpacked(inner, tensors) for inner in rest]
    if isinstance(rest, dict):
        ((kind, value),) = rest.items()
        if kind == _TENSOR:
            return tensors[value]
        if kind == _TUPLE:
            return tuple(_unpacked(value, tensors))
        return {_unpacked(key, tensors): _unpacked(inner, tensors) for key, inner in value}
    return rest
