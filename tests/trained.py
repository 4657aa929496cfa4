"""Tiny pipelines with an adapter that looks trained, and what is known of their training."""

from pathlib import Path
from typing import Any

import diffusers
import torch
from peft import LoraConfig
from tiny_models import FAMILIES
from transformers import CLIPTokenizer

from studio.context import Worn
from studio.models.adapters import Lora, dress
from studio.models.catalogue import Catalogue
from studio.models.headers import read_header
from studio.models.lora_facts import lora_facts
from studio.training.export.facts import Facts
from studio.training_requests import TrainRequest

NAME = "mine"
ATTENTION = ("to_q", "to_k", "to_v", "to_out.0", "add_q_proj", "proj_mlp", "ff.net.0.proj")
CONVOLUTIONS = (
    "conv1",
    "conv2",
    "conv_shortcut",
    "conv_in",
    "downsamplers.0.conv",
    "upsamplers.0.conv",
    "proj_in",
    "proj_out",
    "time_emb_proj",
)
TEXT = ("q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2")
PATTERNS: dict[str, Any] = {
    "rank_pattern": {"to_k": 3, "to_out.0": 2},
    "alpha_pattern": {"to_q": 7.0, "to_v": 1.0},
}
"""Layers of other ranks and alphas than the rest, in every family."""


def asked(**fields: Any) -> TrainRequest:
    """A request with what training would have derived."""
    given = {"name": NAME, "pictures": "dogs", "learning_rate": 1e-4, "steps": 10}
    return TrainRequest(**(given | fields))


def facts(family: str, **fields: Any) -> Facts:
    """Of a training of a dog."""
    given: dict[str, Any] = {"pictures": 5, "step": 10, "steps": 10, "triggers": ("sks dog",)}
    return Facts(asked(), family, **(given | {"started": 1.7e9, "finished": 1.7e9 + 60} | fields))


def denoiser_of(pipe: Any) -> str:
    """Its place in a pipeline."""
    return "transformer" if hasattr(pipe, "transformer") else "unet"


def encoders_of(pipe: Any) -> list[str]:
    """The places of CLIPs in a pipeline."""
    names = ("text_encoder", "text_encoder_2")
    return [n for n in names if type(getattr(pipe, n, None)).__name__.startswith("CLIP")]


def train(pipe: Any, *, text: bool = True, wide: bool = True, **config: Any) -> Any:
    """Put a random adapter beside a pipeline's layers, rank 4 and alpha 10 (2 of texts)."""
    torch.manual_seed(1)
    denoiser = denoiser_of(pipe)
    targets = [*ATTENTION, *(CONVOLUTIONS if wide and denoiser == "unet" else ())]
    there = {name for name, _ in getattr(pipe, denoiser).named_modules()}
    targets = [each for each in targets if any(name.endswith(each) for name in there)]
    made = LoraConfig(r=4, lora_alpha=10, target_modules=targets, **(PATTERNS | config))
    getattr(pipe, denoiser).add_adapter(made, adapter_name=NAME)
    parts = [denoiser]
    for part in encoders_of(pipe) if text else ():
        made = LoraConfig(r=4, lora_alpha=2, target_modules=list(TEXT), **config)
        getattr(pipe, part).add_adapter(made, adapter_name=NAME)
        parts.append(part)
    for part in parts:
        for name, weight in getattr(pipe, part).named_parameters():
            if "lora_magnitude" in name:
                weight.data *= 1 + 0.1 * torch.rand_like(weight)
            elif "lora_" in name:
                torch.nn.init.normal_(weight, std=0.1)
    return pipe


def untrained(family: str) -> Any:
    """A tiny pipeline, the same each time, or the model that ships."""
    entry = Catalogue(Path("/nonexistent")).get("")
    if family == "embedded":
        return diffusers.StableDiffusionPipeline.from_pretrained(entry.path)
    torch.manual_seed(0)
    return FAMILIES[family](CLIPTokenizer.from_pretrained(entry.path / "tokenizer"))


def trained(family: str, **config: Any) -> Any:
    """A tiny pipeline with such an adapter."""
    return train(untrained(family), **config)


def lora_at(path: Path) -> Lora:
    """A file as the shelf of LoRAs has it."""
    return Lora(path.stem, path, lora_facts(read_header(path)), path.stat().st_size)


def wear(pipe: Any, *paths: Path, strength: float = 1.0) -> Any:
    """A pipeline with files on."""
    dress(pipe, [(Worn(path.stem, strength, strength), lora_at(path)) for path in paths])
    return pipe


def outputs(pipe: Any, family: str) -> dict[str, torch.Tensor]:
    """What a denoiser predicts for fixed noise, and the states of a text."""
    noise = torch.Generator().manual_seed(5)

    def randn(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=noise)

    found = {}
    with torch.no_grad():
        for part in encoders_of(pipe):
            words = getattr(pipe, part.replace("text_encoder", "tokenizer"))
            ids = words("a dog", padding="max_length", truncation=True, return_tensors="pt")
            out = getattr(pipe, part)(ids.input_ids, output_hidden_states=True)
            found[part] = out.hidden_states[-1]
        network, time = getattr(pipe, denoiser_of(pipe)), torch.tensor([500.0])
        config = network.config
        if family.startswith("flux"):
            more = {"guidance": torch.tensor([3.5])} if config.guidance_embeds else {}
            found["denoiser"] = network(
                hidden_states=randn(1, 16, config.in_channels),
                encoder_hidden_states=randn(1, 7, config.joint_attention_dim),
                pooled_projections=randn(1, config.pooled_projection_dim),
                timestep=time / 1000,
                img_ids=torch.zeros(16, 3),
                txt_ids=torch.zeros(7, 3),
                return_dict=False,
                **more,
            )[0]
        elif family == "sd3":
            found["denoiser"] = network(
                hidden_states=randn(1, config.in_channels, 8, 8),
                encoder_hidden_states=randn(1, 7, config.joint_attention_dim),
                pooled_projections=randn(1, config.pooled_projection_dim),
                timestep=time,
                return_dict=False,
            )[0]
        else:
            more = {}
            if config.addition_embed_type == "text_time":
                sizes = 6 * config.addition_time_embed_dim
                width = config.projection_class_embeddings_input_dim - sizes
                more = {"text_embeds": randn(1, width), "time_ids": torch.ones(1, 6)}
            found["denoiser"] = network(
                randn(1, config.in_channels, 16, 16),
                time,
                randn(1, 7, config.cross_attention_dim),
                added_cond_kwargs=more or None,
                return_dict=False,
            )[0]
    return found


def worst(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    """The largest difference of any number."""
    assert one.keys() == other.keys()
    return max(float((one[name] - other[name]).abs().max()) for name in one)
