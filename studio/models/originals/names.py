"""From diffusers' and transformers' names of weights to those of single files: the way back.

`load` builds a pipeline from the layout of Stable Diffusion's first authors; here its UNet,
autoencoder and CLIPs are named as that layout names them. Sources: CompVis/latent-diffusion
(ldm/modules/diffusionmodules/openaimodel.py, model.py), OpenCLIP (open_clip/transformer.py).
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

Weights = dict[str, "Tensor"]
_TEXT = "text_model."
_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
_OUTER = {
    "conv_in": "input_blocks.0.0",
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}
_ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}
_OPEN_CLIP = {
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
    "self_attn.out_proj": "attn.out_proj",
}


def unet_name(name: str, config: Mapping[str, Any]) -> str:
    """A UNet's weight or layer as the first authors name it; KeyError for one that they lack.

    name: dotted, as diffusers has it, with or without its last ".weight". config: the UNet's, of
    which layers_per_block and up_block_types count.
    """
    block, _, rest = name.partition(".")
    levels = int(config["layers_per_block"]) + 1
    if block == "mid_block":
        sort, number, leaf = rest.split(".", 2)
        if sort == "attentions":
            return f"middle_block.1.{leaf}"
        return f"middle_block.{2 * int(number)}.{_leaf(leaf, _RESNET)}"
    if block not in ("down_blocks", "up_blocks"):
        return _leaf(name, _OUTER)
    level, sort, number, leaf = rest.split(".", 3)
    first = int(level) * levels
    if sort == "downsamplers":
        return f"input_blocks.{first + levels}.0.{leaf.replace('conv', 'op', 1)}"
    if sort == "upsamplers":
        place = 2 if "CrossAttn" in config["up_block_types"][int(level)] else 1
        return f"output_blocks.{first + levels - 1}.{place}.{leaf}"
    # The first of the input blocks is the convolution before all levels.
    at = f"input_blocks.{first + 1 + int(number)}"
    if block == "up_blocks":
        at = f"output_blocks.{first + int(number)}"
    return f"{at}.0.{_leaf(leaf, _RESNET)}" if sort == "resnets" else f"{at}.1.{leaf}"


def unet(weights: Weights, config: Mapping[str, Any]) -> Weights:
    """A UNet's weights under their authors' names."""
    return {unet_name(name, config): tensor for name, tensor in weights.items()}


def vae(weights: Weights, config: Mapping[str, Any]) -> Weights:
    """An autoencoder's; its attention is made of convolutions of one pixel."""
    last = len(config["block_out_channels"]) - 1
    out = {}
    for name, tensor in weights.items():
        side, _, rest = name.partition(".")
        if side not in ("encoder", "decoder"):
            out[name] = tensor
            continue
        to = _vae_name(rest, last)
        is_matrix = to.startswith("mid.attn_1.") and tensor.dim() == 2
        out[f"{side}.{to}"] = tensor[..., None, None] if is_matrix else tensor
    return out


def _vae_name(name: str, last: int) -> str:
    block, _, rest = name.partition(".")
    if block == "mid_block":
        sort, number, leaf = rest.split(".", 2)
        if sort == "attentions":
            return f"mid.attn_1.{_leaf(leaf, _ATTENTION)}"
        return f"mid.block_{int(number) + 1}.{leaf.replace('conv_shortcut', 'nin_shortcut')}"
    if block in ("down_blocks", "up_blocks"):
        level, sort, number, leaf = rest.split(".", 3)
        at = f"down.{level}" if block == "down_blocks" else f"up.{last - int(level)}"
        if sort == "resnets":
            return f"{at}.block.{number}.{leaf.replace('conv_shortcut', 'nin_shortcut')}"
        return f"{at}.{'downsample' if sort == 'downsamplers' else 'upsample'}.{leaf}"
    return name.replace("conv_norm_out", "norm_out")


def clip(weights: Weights) -> Weights:
    """A CLIP's as transformers has published it: below "text_model.", its projection beside it."""
    plain = {name.removeprefix(_TEXT): tensor for name, tensor in weights.items()}
    return {
        name if name.startswith("text_projection") else _TEXT + name: tensor
        for name, tensor in plain.items()
    }


def open_clip(weights: Weights, *, unused: bool) -> Weights:
    """A CLIP's as OpenCLIP names them, with its three projections of attention as one.

    unused: with a further layer, which Stable Diffusion 2 never asks; it hands on what it gets.
    """
    import torch

    plain = {name.removeprefix(_TEXT): tensor for name, tensor in weights.items()}
    out = {
        "token_embedding.weight": plain.pop("embeddings.token_embedding.weight"),
        "positional_embedding": plain.pop("embeddings.position_embedding.weight"),
        "ln_final.weight": plain.pop("final_layer_norm.weight"),
        "ln_final.bias": plain.pop("final_layer_norm.bias"),
    }
    if "text_projection.weight" in plain:
        out["text_projection"] = plain.pop("text_projection.weight").T
    layers = 0
    for name, tensor in plain.items():
        number, _, leaf = name.removeprefix("encoder.layers.").partition(".")
        layers = max(layers, int(number) + 1)
        at = f"transformer.resblocks.{number}."
        if leaf.startswith("self_attn.q_proj."):
            all_three = [plain[name.replace("q_proj", f"{each}_proj")] for each in "qkv"]
            out[f"{at}attn.in_proj_{leaf.rpartition('.')[2]}"] = torch.cat(all_three)
        elif not leaf.startswith(("self_attn.k_proj.", "self_attn.v_proj.")):
            out[at + _leaf(leaf, _OPEN_CLIP)] = tensor
    if unused:
        first, last = "transformer.resblocks.0.", f"transformer.resblocks.{layers}."
        out |= {
            last + name.removeprefix(first): torch.zeros_like(tensor)
            for name, tensor in out.items()
            if name.startswith(first)
        }
    return out


def _leaf(name: str, names: Mapping[str, str]) -> str:
    """A name whose beginning has another one; KeyError when it has none."""
    for old, new in names.items():
        if name == old or name.startswith(f"{old}."):
            return new + name[len(old) :]
    raise KeyError(name)
