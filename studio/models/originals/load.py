"""Builds a pipeline from files in the layouts of their first authors.

Names of tensors are translated by diffusers' own converters, but for FLUX, whose converter knows
one width only.
"""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from accelerate import init_empty_weights
from diffusers.loaders import single_file_utils
from safetensors import safe_open

from studio.models.families import Texts
from studio.models.originals.layout import Original, Part

Weights = dict[str, torch.Tensor]
_UNET, _VAE = "model.diffusion_model.", "first_stage_model."
_CLIP = "conditioner.embedders.1.model."
"""Prefixes that diffusers' converters look for."""


class IncompleteError(ValueError):
    """A file has no numbers for some of a network; the message names the first of them."""


def build(
    original: Original,
    sources: list[tuple[Part, Path]],
    tokenizers: Mapping[str, Path],
    dtype: torch.dtype,
) -> Any:
    """The family's text-to-image pipeline, on the CPU, in evaluation mode.

    sources: all networks, each with the file that holds it. tokenizers: folders by place.
    Raises IncompleteError, and whatever safetensors and torch say of damaged files.
    """
    family = original.family
    pipeline = getattr(diffusers, family.pipeline)
    kind, noise = original.scheduler
    components: dict[str, Any] = {"scheduler": getattr(diffusers, kind)(**noise)}
    for (tokenizer, encoder), stem in zip(family.encoders, family.stems, strict=True):
        if encoder == "text_encoder_3" and not any(part.name == encoder for part, _ in sources):
            components |= {tokenizer: None, encoder: None}  # a model without T5 runs as well
        else:
            components[tokenizer] = _tokenizer(tokenizers[tokenizer], stem)
    for part, path in sources:
        projected = family.texts is Texts.SD3 or part.name == "text_encoder_2"
        components[part.name] = _network(part, path, dtype, projected=projected)
    return pipeline(**components, **_rest(family.pipeline))


def _rest(pipeline: str) -> dict[str, Any]:
    """What some pipelines have besides: a censor that this studio does not use, and flags."""
    if pipeline.startswith("StableDiffusionXL"):
        refines = pipeline == "StableDiffusionXLImg2ImgPipeline"
        extra = {"requires_aesthetics_score": True} if refines else {}
        return {"tokenizer": None, "text_encoder": None, **extra} if refines else {}
    if pipeline in ("StableDiffusionPipeline", "StableDiffusionInpaintPipeline"):
        return {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
    return {}


def _tokenizer(folder: Path, stem: str) -> Any:
    if stem == "t5xxl":
        return transformers.T5Tokenizer.from_pretrained(folder)
    # OpenCLIP was trained with zeros after the end of a text, and zero is this token.
    padding = "<|endoftext|>" if stem == "clip_l" else "!"
    return transformers.CLIPTokenizer.from_pretrained(folder, pad_token=padding)


def _network(part: Part, path: Path, dtype: torch.dtype, *, projected: bool) -> Any:
    weights = _read(path, part)
    with init_empty_weights():
        network, translate = empty_network(part, projected=projected)
    if part.kind == "clip" and projected:
        weights |= _projection(path, part, network)
    return filled(network, translate(weights).items(), dtype)


def empty_network(part: Part, *, projected: bool) -> tuple[Any, Callable[[Weights], Weights]]:
    """A part's network, and what translates the names of its weights, its prefix taken off.

    projected: whether a CLIP has a last layer. Without memory for its numbers when it is made
    within accelerate's init_empty_weights.
    """
    config = dict(part.config)
    if part.kind in ("clip", "open_clip"):
        kind = "CLIPTextModelWithProjection" if projected else "CLIPTextModel"
        network = getattr(transformers, kind)(transformers.CLIPTextConfig(**config))
        return network, lambda weights: _clip(network, part.kind, weights)
    if part.kind == "t5":
        network = transformers.T5EncoderModel(transformers.T5Config(**config))
        return network, lambda weights: weights
    network = getattr(diffusers, config["_class_name"]).from_config(config)
    translate: dict[str, Callable[[Weights], Weights]] = {
        "unet": lambda weights: single_file_utils.convert_ldm_unet_checkpoint(
            _under(_UNET, weights), config
        ),
        "vae": lambda weights: single_file_utils.convert_ldm_vae_checkpoint(
            _under(_VAE, weights), config
        ),
        "sd3": single_file_utils.convert_sd3_transformer_checkpoint_to_diffusers,
        "flux": flux_names,
    }
    return network, translate[part.kind]


def _read(path: Path, part: Part) -> Weights:
    with safe_open(path, framework="pt") as file:
        return {
            name[len(part.prefix) :]: file.get_tensor(name)
            for name in file.keys()  # noqa: SIM118
            if part.holds(name)
        }


def _under(prefix: str, weights: Weights) -> Weights:
    return {prefix + name: tensor for name, tensor in weights.items()}


def _clip(network: Any, kind: str, weights: Weights) -> Weights:
    """CLIP's weights in the names of a network, which may stand below "text_model." or not."""
    if kind == "open_clip":
        weights = single_file_utils.convert_open_clip_checkpoint(
            network, _under(_CLIP, weights), prefix=_CLIP
        )
    inner = "text_model." if hasattr(network, "text_model") else ""
    own = "text_projection.weight"
    return {
        name if name == own else inner + name.removeprefix("text_model."): tensor
        for name, tensor in weights.items()
    }


def _projection(path: Path, part: Part, network: Any) -> Weights:
    """A CLIP's last layer, which stands beside its network; none at all for the first CLIP."""
    name = "text_projection.weight"
    if part.name == "text_encoder":
        return {name: torch.eye(network.config.hidden_size)}
    beside = part.prefix.removesuffix("text_model.") + name
    with safe_open(path, framework="pt") as file:
        return {name: file.get_tensor(beside)}


def flux_names(weights: Weights) -> Weights:
    """FLUX.1's weights in diffusers' names (black-forest-labs/flux, src/flux/model.py)."""
    out: Weights = {}
    for name, tensor in weights.items():
        stem, _, leaf = name.rpartition(".")
        block, _, rest = stem.partition(".")
        number, _, layer = rest.partition(".")
        if block == "double_blocks":
            to = f"transformer_blocks.{number}."
            if layer in _DOUBLE_QKV:
                parts = tensor.chunk(3)
                for target, piece in zip(_DOUBLE_QKV[layer], parts, strict=True):
                    out[f"{to}attn.{target}.{leaf}"] = piece
            else:
                out[to + _DOUBLE[layer] + "." + _leaf(leaf)] = tensor
        elif block == "single_blocks":
            to = f"single_transformer_blocks.{number}."
            if layer == "linear1":
                width = tensor.shape[0] // 7  # query, key, value, and four times that for the MLP
                parts = tensor.split((width, width, width, tensor.shape[0] - 3 * width))
                for target, piece in zip(_SINGLE_IN, parts, strict=True):
                    out[f"{to}{target}.{leaf}"] = piece
            else:
                out[to + _SINGLE[layer] + "." + _leaf(leaf)] = tensor
        elif stem == "final_layer.adaLN_modulation.1":
            shift, scale = tensor.chunk(2)  # diffusers has them the other way round
            out[f"norm_out.linear.{leaf}"] = torch.cat([scale, shift])
        else:
            out[f"{_OUTER[stem]}.{leaf}"] = tensor
    return out


def _leaf(leaf: str) -> str:
    return "weight" if leaf == "scale" else leaf


_DOUBLE_QKV = {
    "img_attn.qkv": ("to_q", "to_k", "to_v"),
    "txt_attn.qkv": ("add_q_proj", "add_k_proj", "add_v_proj"),
}
_DOUBLE = {
    "img_mod.lin": "norm1.linear",
    "txt_mod.lin": "norm1_context.linear",
    "img_attn.norm.query_norm": "attn.norm_q",
    "img_attn.norm.key_norm": "attn.norm_k",
    "txt_attn.norm.query_norm": "attn.norm_added_q",
    "txt_attn.norm.key_norm": "attn.norm_added_k",
    "img_attn.proj": "attn.to_out.0",
    "txt_attn.proj": "attn.to_add_out",
    "img_mlp.0": "ff.net.0.proj",
    "img_mlp.2": "ff.net.2",
    "txt_mlp.0": "ff_context.net.0.proj",
    "txt_mlp.2": "ff_context.net.2",
}
_SINGLE_IN = ("attn.to_q", "attn.to_k", "attn.to_v", "proj_mlp")
_SINGLE = {
    "modulation.lin": "norm.linear",
    "norm.query_norm": "attn.norm_q",
    "norm.key_norm": "attn.norm_k",
    "linear2": "proj_out",
}
_OUTER = {
    "img_in": "x_embedder",
    "txt_in": "context_embedder",
    "time_in.in_layer": "time_text_embed.timestep_embedder.linear_1",
    "time_in.out_layer": "time_text_embed.timestep_embedder.linear_2",
    "vector_in.in_layer": "time_text_embed.text_embedder.linear_1",
    "vector_in.out_layer": "time_text_embed.text_embedder.linear_2",
    "guidance_in.in_layer": "time_text_embed.guidance_embedder.linear_1",
    "guidance_in.out_layer": "time_text_embed.guidance_embedder.linear_2",
    "final_layer.linear": "proj_out",
}


def filled(network: Any, weights: Iterable[tuple[str, torch.Tensor]], dtype: torch.dtype) -> Any:
    """The network with its numbers, taken one by one; float16 leaves those that would overflow.

    Raises IncompleteError when some are missing.
    """
    kept = network._keep_in_fp32_modules or () if dtype is torch.float16 else ()
    cast = {
        name: tensor.to(torch.float32 if set(kept) & set(name.split(".")) else dtype)
        for name, tensor in weights
    }
    missing, _ = network.load_state_dict(cast, strict=False, assign=True)
    if isinstance(network, transformers.PreTrainedModel):
        network.tie_weights()
    empty = [name for name, tensor in network.state_dict().items() if tensor.is_meta]
    if empty:
        raise IncompleteError(f"has no numbers for {empty[0]} and {len(missing) - 1} more")
    return network.eval()
