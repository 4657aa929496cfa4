"""LoRA: small matrices beside a model's weights, through peft."""

from typing import Any

import torch

from studio.errors import RequestError
from studio.models.families import Family
from studio.training.methods.trained import ADAPTER, Trained, clip_encoders
from studio.training_requests import Layers, TrainRequest

_OF_TEXT = ("add_q_proj", "add_k_proj", "add_v_proj", "to_add_out")
_ATTENTION = ("to_q", "to_k", "to_v", "to_out.0", *_OF_TEXT)
_TEXT = ("q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2")
_BLOCKS = ("attentions.", "transformer_blocks.")
_CONVOLVED = ("ResnetBlock2D", "Downsample2D", "Upsample2D")


def trained_lora(request: TrainRequest, pipe: Any, family: Family) -> Trained:
    """Adapters on the denoiser, and on the CLIP text encoders where these learn too."""
    denoiser = getattr(pipe, family.denoiser)
    linear = linear_layers(denoiser, request.layers)
    convolutions = convolution_layers(denoiser) if request.conv_rank else []
    if request.conv_rank and not convolutions:
        raise RequestError(
            f"Conv rank is {request.conv_rank}, but {family.name} has no convolutions between its "
            "blocks; set it to 0.",
            "conv_rank",
        )
    _add(denoiser, request, linear, convolutions)
    encoders = clip_encoders(pipe, family) if request.text_encoder else {}
    for encoder in encoders.values():
        names = [name for name, _ in encoder.named_modules() if name.endswith(_TEXT)]
        _add(encoder, request, names, [])
    weights, text = {}, set()
    for place, module in ({family.denoiser: denoiser} | encoders).items():
        for name, weight in module.named_parameters():
            if weight.requires_grad:
                weight.data = weight.data.float()  # halves lose what a small rate adds
                weights[f"{place}.{name}"] = weight
                if place in encoders:
                    text.add(f"{place}.{name}")
    return Trained(
        weights,
        frozenset(text),
        reads=bool(encoders),
        modules=[denoiser, *encoders.values()],
    )


def linear_layers(denoiser: Any, layers: Layers) -> list[str]:
    """The names of the linear layers, and convolutions of one pixel, that get matrices."""
    found = []
    for name, module in denoiser.named_modules():
        point = isinstance(module, torch.nn.Conv2d) and module.kernel_size == (1, 1)
        if not isinstance(module, torch.nn.Linear) and not point:
            continue
        inside = any(part in f"{name}." for part in _BLOCKS)
        match layers:
            case Layers.ATTENTION:
                wanted = inside and name.endswith(_ATTENTION)
            case Layers.BLOCKS:
                wanted = inside
            case Layers.ALL:
                wanted = True
        if wanted:
            found.append(name)
    return found


def convolution_layers(denoiser: Any) -> list[str]:
    """The names of the 3x3 convolutions that LoCon is beside."""
    return [
        f"{name}.{inner}" if inner else name
        for name, module in denoiser.named_modules()
        if type(module).__name__ in _CONVOLVED
        for inner, each in module.named_modules()
        if isinstance(each, torch.nn.Conv2d) and each.kernel_size == (3, 3)
    ]


def _add(network: Any, request: TrainRequest, linear: list[str], convolutions: list[str]) -> None:
    from peft import LoraConfig

    alpha = request.alpha or float(request.rank)
    conv_alpha = request.conv_alpha or float(request.conv_rank)
    network.add_adapter(
        LoraConfig(
            r=request.rank,
            lora_alpha=alpha,  # type: ignore[arg-type]
            target_modules=[*linear, *convolutions],
            rank_pattern=dict.fromkeys(convolutions, request.conv_rank),
            alpha_pattern=dict.fromkeys(convolutions, conv_alpha),
            lora_dropout=request.dropout,
            use_dora=request.dora,
            use_rslora=request.rslora,
        ),
        adapter_name=ADAPTER,
    )
