"""LoRA files of random weights for any pipeline, in diffusers' format and in kohya's."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model_state_dict
from safetensors.torch import load_file, save_file

RANK = 4
TARGETS = ("to_q", "to_k", "to_v", "to_out.0", "add_k_proj", "add_v_proj", "add_q_proj")
CONVOLUTIONS = ("conv1", "conv2", "conv_shortcut", "proj_in", "proj_out")
"""What a LoCon has beside the layers of attention."""
TEXT_TARGETS = ("q_proj", "k_proj", "v_proj", "out_proj")


def lora_file(
    pipe: Any,
    path: Path,
    seed: int = 0,
    *,
    text: bool = False,
    size: float = 0.3,
    targets: Sequence[str] = TARGETS,
) -> None:
    """A LoRA for a pipeline's denoiser, and for its first text encoder too; pipe is spoiled."""
    torch.manual_seed(seed)
    denoiser = "transformer" if hasattr(pipe, "transformer") else "unet"
    parts = {denoiser: tuple(targets)} | ({"text_encoder": TEXT_TARGETS} if text else {})
    layers = {}
    for part, layers_of_part in parts.items():
        network = getattr(pipe, part)
        config = LoraConfig(r=RANK, lora_alpha=RANK, target_modules=list(layers_of_part))
        network.add_adapter(config, adapter_name="default")
        for name, weight in network.named_parameters():
            if "lora_" in name:
                torch.nn.init.normal_(weight, std=size)
        layers[f"{part}_lora_layers"] = get_peft_model_state_dict(network)
    path.parent.mkdir(parents=True, exist_ok=True)
    pipe.save_lora_weights(path.parent, weight_name=path.name, **layers)


def as_kohya(source: Path, target: Path, metadata: dict[str, str] | None = None) -> None:
    """The same LoRA as kohya's scripts name it, for a UNet and one text encoder."""
    out = {}
    for name, tensor in load_file(source).items():
        stem, _, leaf = name.rpartition(".lora_")
        part, _, stem = stem.partition(".")
        head = {"unet": "lora_unet_", "text_encoder": "lora_te_text_model_"}[part]
        key = head + stem.removeprefix("text_model.").replace(".", "_")
        side = "lora_down.weight" if leaf.startswith("A") else "lora_up.weight"
        out[f"{key}.{side}"] = tensor
        out[f"{key}.alpha"] = torch.tensor(float(RANK))
    save_file(out, target, metadata=metadata)
