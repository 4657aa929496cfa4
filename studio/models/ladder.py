"""The ladder: how a loaded pipeline does with less memory, each rung put on and taken off again.

Source: the optimisations of diffusers' pipelines, put on here one by one, for those of the
pipelines cannot be combined, nor be tried where there is no accelerator.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from studio.context import Rung
from studio.models.devices import Device
from studio.models.families import denoiser_of

if TYPE_CHECKING:
    import torch

OFFLOADING = frozenset({Rung.MODEL_OFFLOAD, Rung.SEQUENTIAL_OFFLOAD})
"""Rungs that leave most weights in main memory."""
_WEIGHTS = OFFLOADING | {Rung.ENCODERS_OFF}


def place(pipe: Any, rungs: Sequence[Rung], device: Device) -> None:
    """Bring a pipeline without rungs to the device, on these rungs."""
    denoiser = _denoiser(pipe)
    if Rung.ATTENTION_SLICING in rungs:
        denoiser.set_attention_slice("max")
    if Rung.VAE_SLICING in rungs:
        pipe.vae.enable_slicing()
    if Rung.VAE_TILING in rungs:
        pipe.vae.enable_tiling()
    if Rung.SEQUENTIAL_OFFLOAD in rungs:
        _by_layers(pipe, device.name)
    elif Rung.MODEL_OFFLOAD in rungs:
        _as_guests(_networks(pipe), _networks(pipe), device.name)
    elif Rung.ENCODERS_OFF in rungs:
        encoders = [each for each in _networks(pipe) if each not in (denoiser, pipe.vae)]
        for network in (denoiser, pipe.vae):
            network.to(device.name)
        _as_guests(encoders, [*encoders, denoiser], device.name)
    else:
        pipe.to(device.name)


def take_off(pipe: Any) -> None:
    """Take all rungs off; the weights stay where they are just then."""
    from accelerate.hooks import remove_hook_from_module

    for network in _networks(pipe):
        if hasattr(network, "_hf_hook"):
            remove_hook_from_module(network, recurse=True)
    if _is_sliced(pipe):
        _denoiser(pipe).set_attention_slice(None)
    pipe.vae.disable_slicing()
    pipe.vae.disable_tiling()


def working_device(network: Any) -> "torch.device":
    """Where a network computes, which need not be where its weights are meanwhile."""
    import torch

    if hasattr(network, "_hf_hook"):
        for module in network.modules():
            device = getattr(getattr(module, "_hf_hook", None), "execution_device", None)
            if device is not None:
                return torch.device(device)
    device = next(network.parameters()).device
    assert isinstance(device, torch.device)
    return device


def fits_rung(rung: Rung, device: Device, *, sliceable: bool) -> bool:
    """Whether a rung means anything on a device; sliceable: the denoiser's attention can be."""
    if rung in _WEIGHTS:
        return device.sort in ("cuda", "xpu")
    return rung is not Rung.ATTENTION_SLICING or sliceable


def _networks(pipe: Any) -> list[Any]:
    import torch

    return [part for part in pipe.components.values() if isinstance(part, torch.nn.Module)]


def _denoiser(pipe: Any) -> Any:
    return getattr(pipe, denoiser_of(type(pipe).__name__) or "unet")


def _is_sliced(pipe: Any) -> bool:
    processors = getattr(_denoiser(pipe), "attn_processors", {})
    return any("Sliced" in type(each).__name__ for each in processors.values())


def _by_layers(pipe: Any, device: str) -> None:
    """Keep weights in main memory and bring each layer's to the device while it works."""
    from accelerate import cpu_offload

    pipe.to("cpu")
    for network in _networks(pipe):
        # As diffusers does: parameters of the topmost module are read without its forward.
        cpu_offload(network, device, offload_buffers=len(network._parameters) > 0)


def _as_guests(guests: Sequence[Any], callers: Sequence[Any], device: str) -> None:
    """Keep guests in main memory; when a caller works, it comes and all other guests leave."""
    from accelerate.hooks import ModelHook, add_hook_to_module
    from accelerate.utils import send_to_device

    class Visit(ModelHook):
        execution_device = device

        def pre_forward(self, module: Any, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
            for guest in guests:
                if guest is not module and _elsewhere(guest, "cpu"):
                    guest.to("cpu")
            if _elsewhere(module, device):
                module.to(device)
            return send_to_device(args, device), send_to_device(kwargs, device)

    for guest in guests:
        guest.to("cpu")
    for caller in callers:
        add_hook_to_module(caller, Visit())


def _elsewhere(module: Any, device: str) -> bool:
    import torch

    return bool(next(module.parameters()).device != torch.device(device))
