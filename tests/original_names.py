"""Names of tensors in the layouts of models' first authors, from diffusers' names.

The other way than the studio's loader and diffusers' converters go: the two together must give
back the same model.
"""

from collections.abc import Callable, Iterable
from typing import Any

import diffusers
import torch
from transformers import T5EncoderModel

Weights = dict[str, torch.Tensor]


def renamed(pipe: Any, name: str, network: Any) -> Weights:
    """A network's weights in its authors' names, below the prefix that it has in a single file."""
    if name == "vae":
        later = hasattr(pipe, "transformer")
        return _under("vae." if later else "first_stage_model.", vae_names(network))
    if name == "unet":
        return _under("model.diffusion_model.", _unet_names(network))
    if name == "transformer":
        flux = isinstance(network, diffusers.FluxTransformer2DModel)
        names = _flux_names(network) if flux else _sd3_names(network)
        return names if flux else _under("model.diffusion_model.", names)
    return _encoder_names(pipe, name, network)


def _encoder_names(pipe: Any, name: str, network: Any) -> Weights:
    state = network.state_dict()
    if isinstance(network, T5EncoderModel):
        state = {k: t for k, t in state.items() if "embed_tokens" not in k}
        return _under("text_encoders.t5xxl.transformer.", state)
    if hasattr(pipe, "transformer"):
        stem = "clip_l" if name == "text_encoder" else "clip_g"
        names = transformers_names(state)
        if stem == "clip_l":
            names.pop("text_projection.weight", None)
        return _under(f"text_encoders.{stem}.transformer.", names)
    if name == "text_encoder_2":
        number = 0 if pipe.text_encoder is None else 1
        return _under(f"conditioner.embedders.{number}.model.", _open_clip_names(state))
    if getattr(pipe, "text_encoder_2", None) is not None:
        return _under("conditioner.embedders.0.transformer.", transformers_names(state))
    if network.config.hidden_act == "gelu":
        names = _open_clip_names(state)
        last = network.config.num_hidden_layers
        more = {
            k.replace("resblocks.0.", f"resblocks.{last}."): torch.randn_like(t)
            for k, t in names.items()
            if "resblocks.0." in k
        }
        return _under("cond_stage_model.model.", names | more)
    return _under("cond_stage_model.transformer.", transformers_names(state))


def _under(prefix: str, weights: Weights) -> Weights:
    return {prefix + name: tensor for name, tensor in weights.items()}


def transformers_names(state: Weights) -> Weights:
    """CLIP's weights below "text_model.", but for the projection."""
    plain = {k.removeprefix("text_model."): t for k, t in state.items()}
    return {
        k if k.startswith("text_projection") else f"text_model.{k}": t for k, t in plain.items()
    }


def _replaced(name: str, pairs: Iterable[tuple[str, str]]) -> str:
    for old, new in pairs:
        name = name.replace(old, new)
    return name


def _open_clip_names(state: Weights) -> Weights:
    plain = {k.removeprefix("text_model."): t for k, t in state.items()}
    out: Weights = {
        "token_embedding.weight": plain.pop("embeddings.token_embedding.weight"),
        "positional_embedding": plain.pop("embeddings.position_embedding.weight"),
        "ln_final.weight": plain.pop("final_layer_norm.weight"),
        "ln_final.bias": plain.pop("final_layer_norm.bias"),
    }
    if "text_projection.weight" in plain:
        out["text_projection"] = plain.pop("text_projection.weight").T
    pairs = (
        ("encoder.layers.", "transformer.resblocks."),
        ("layer_norm", "ln_"),
        ("mlp.fc1", "mlp.c_fc"),
        ("mlp.fc2", "mlp.c_proj"),
        ("self_attn.out_proj", "attn.out_proj"),
    )
    for name, tensor in plain.items():
        if ".q_proj." in name:
            fused = torch.cat([plain[name.replace("q_proj", f"{x}_proj")] for x in "qkv"])
            stem, _, leaf = _replaced(name, pairs).partition("self_attn.q_proj.")
            out[f"{stem}attn.in_proj_{leaf}"] = fused
        elif ".k_proj." not in name and ".v_proj." not in name:
            out[_replaced(name, pairs)] = tensor
    return out


_RESNET = (
    ("norm1", "in_layers.0"),
    ("conv1", "in_layers.2"),
    ("norm2", "out_layers.0"),
    ("conv2", "out_layers.3"),
    ("time_emb_proj", "emb_layers.1"),
    ("conv_shortcut", "skip_connection"),
)


def _unet_names(unet: Any) -> Weights:
    per_level = unet.config.layers_per_block + 1
    ups = len(unet.config.up_block_types)
    outer = (
        ("time_embedding.linear_1", "time_embed.0"),
        ("time_embedding.linear_2", "time_embed.2"),
        ("add_embedding.linear_1", "label_emb.0.0"),
        ("add_embedding.linear_2", "label_emb.0.2"),
        ("conv_in", "input_blocks.0.0"),
        ("conv_norm_out", "out.0"),
        ("conv_out", "out.2"),
    )

    def place(name: str) -> str:
        block, _, rest = name.partition(".")
        if block == "mid_block":
            sort, number, leaf = rest.split(".", 2)
            at = 1 if sort == "attentions" else 2 * int(number)
            return f"middle_block.{at}.{_replaced(leaf, _RESNET) if at != 1 else leaf}"
        if block not in ("down_blocks", "up_blocks"):
            return _replaced(name, outer)
        level, sort, number, leaf = rest.split(".", 3)
        down = block == "down_blocks"
        side = "input_blocks" if down else "output_blocks"
        first = int(level) * per_level + down
        if sort == "downsamplers":
            return f"{side}.{first + per_level - 1}.0.{leaf.replace('conv', 'op')}"
        if sort == "upsamplers":
            attends = "CrossAttn" in unet.config.up_block_types[int(level)]
            return f"{side}.{first + per_level - 1}.{2 if attends else 1}.{leaf}"
        at = f"{side}.{first + int(number)}"
        return f"{at}.0.{_replaced(leaf, _RESNET)}" if sort == "resnets" else f"{at}.1.{leaf}"

    assert ups == len(unet.config.down_block_types)
    return {place(name): tensor for name, tensor in unet.state_dict().items()}


def vae_names(vae: Any) -> Weights:
    last = len(vae.config.up_block_types) - 1
    attention = (
        ("group_norm", "norm"),
        ("to_q", "q"),
        ("to_k", "k"),
        ("to_v", "v"),
        ("to_out.0", "proj_out"),
    )
    out: Weights = {}
    for name, tensor in vae.state_dict().items():
        if ".mid_block.attentions.0." in name:
            name = _replaced(name.replace("mid_block.attentions.0", "mid.attn_1"), attention)
            out[name] = tensor[..., None, None] if tensor.dim() == 2 else tensor
            continue
        for number in range(2):
            name = name.replace(f"mid_block.resnets.{number}", f"mid.block_{number + 1}")
        if ".up_blocks." in name:
            head, _, rest = name.partition("up_blocks.")
            level, _, rest = rest.partition(".")
            name = f"{head}up.{last - int(level)}.{rest}"
        pairs = (
            ("down_blocks.", "down."),
            ("resnets.", "block."),
            ("downsamplers.0", "downsample"),
            ("upsamplers.0", "upsample"),
            ("conv_shortcut", "nin_shortcut"),
            ("conv_norm_out", "norm_out"),
        )
        out[_replaced(name, pairs)] = tensor
    return out


def _swapped(tensor: torch.Tensor) -> torch.Tensor:
    scale, shift = tensor.chunk(2)
    return torch.cat([shift, scale])


def _sd3_names(network: Any) -> Weights:
    state = network.state_dict()
    last = network.config.num_layers - 1
    outer = (
        ("pos_embed.pos_embed", "pos_embed"),
        ("pos_embed.proj", "x_embedder.proj"),
        ("time_text_embed.timestep_embedder.linear_1", "t_embedder.mlp.0"),
        ("time_text_embed.timestep_embedder.linear_2", "t_embedder.mlp.2"),
        ("time_text_embed.text_embedder.linear_1", "y_embedder.mlp.0"),
        ("time_text_embed.text_embedder.linear_2", "y_embedder.mlp.2"),
        ("norm_out.linear", "final_layer.adaLN_modulation.1"),
        ("proj_out", "final_layer.linear"),
    )
    inner = (
        ("norm1_context.linear", "context_block.adaLN_modulation.1"),
        ("norm1.linear", "x_block.adaLN_modulation.1"),
        ("ff_context.net.0.proj", "context_block.mlp.fc1"),
        ("ff_context.net.2", "context_block.mlp.fc2"),
        ("ff.net.0.proj", "x_block.mlp.fc1"),
        ("ff.net.2", "x_block.mlp.fc2"),
        ("attn.norm_added_q", "context_block.attn.ln_q"),
        ("attn.norm_added_k", "context_block.attn.ln_k"),
        ("attn.to_add_out", "context_block.attn.proj"),
        ("attn.add_q_proj", "context_block.attn.qkv"),
        *(
            (f"{attn}.{old}", f"x_block.{attn}.{new}")
            for attn in ("attn", "attn2")
            for old, new in (
                ("norm_q", "ln_q"),
                ("norm_k", "ln_k"),
                ("to_out.0", "proj"),
                ("to_q", "qkv"),
            )
        ),
    )
    return _fused(state, outer, inner, "transformer_blocks.", "joint_blocks.", last=last)


def _fused(
    state: Weights,
    outer: Iterable[tuple[str, str]],
    inner: Iterable[tuple[str, str]],
    old: str,
    new: str,
    *,
    last: int = -1,
) -> Weights:
    out: Weights = {}
    for name, tensor in state.items():
        if not name.startswith(old):
            to = next((b + name[len(a) :] for a, b in outer if name.startswith(a)), name)
            out[to] = _swapped(tensor) if name.startswith("norm_out") else tensor
            continue
        number, _, rest = name[len(old) :].partition(".")
        if any(x in rest for x in ("to_k.", "to_v.", "add_k_proj", "add_v_proj")):
            continue
        for x in ("to_{}.", "add_{}_proj."):
            if x.format("q") in rest:
                tensor = torch.cat([state[name.replace(x.format("q"), x.format(y))] for y in "qkv"])
        if int(number) == last and rest.startswith("norm1_context"):
            tensor = _swapped(tensor)
        to = next((b + rest[len(a) :] for a, b in inner if rest.startswith(a + ".")), None)
        assert to is not None, name
        out[f"{new}{number}.{to}"] = tensor
    return out


def _flux_names(network: Any) -> Weights:
    state = network.state_dict()
    outer = (
        ("time_text_embed.timestep_embedder.linear_1", "time_in.in_layer"),
        ("time_text_embed.timestep_embedder.linear_2", "time_in.out_layer"),
        ("time_text_embed.text_embedder.linear_1", "vector_in.in_layer"),
        ("time_text_embed.text_embedder.linear_2", "vector_in.out_layer"),
        ("time_text_embed.guidance_embedder.linear_1", "guidance_in.in_layer"),
        ("time_text_embed.guidance_embedder.linear_2", "guidance_in.out_layer"),
        ("context_embedder", "txt_in"),
        ("x_embedder", "img_in"),
        ("norm_out.linear", "final_layer.adaLN_modulation.1"),
        ("proj_out", "final_layer.linear"),
    )
    inner = (
        ("norm1.linear", "img_mod.lin"),
        ("norm1_context.linear", "txt_mod.lin"),
        ("attn.norm_q", "img_attn.norm.query_norm"),
        ("attn.norm_k", "img_attn.norm.key_norm"),
        ("attn.norm_added_q", "txt_attn.norm.query_norm"),
        ("attn.norm_added_k", "txt_attn.norm.key_norm"),
        ("attn.to_out.0", "img_attn.proj"),
        ("attn.to_add_out", "txt_attn.proj"),
        ("attn.to_q", "img_attn.qkv"),
        ("attn.add_q_proj", "txt_attn.qkv"),
        ("ff.net.0.proj", "img_mlp.0"),
        ("ff.net.2", "img_mlp.2"),
        ("ff_context.net.0.proj", "txt_mlp.0"),
        ("ff_context.net.2", "txt_mlp.2"),
    )
    double = {k: t for k, t in state.items() if not k.startswith("single_transformer_blocks.")}
    single = {k: t for k, t in state.items() if k.startswith("single_transformer_blocks.")}
    out = _fused(double, outer, inner, "transformer_blocks.", "double_blocks.")
    for name, tensor in single.items():
        _, number, rest = name.split(".", 2)
        to = f"single_blocks.{number}."
        if rest.startswith("attn.to_q."):
            names = ("attn.to_q", "attn.to_k", "attn.to_v", "proj_mlp")
            pieces = [single[name.replace("attn.to_q", each)] for each in names]
            out[f"{to}linear1.{rest.rpartition('.')[2]}"] = torch.cat(pieces)
        elif not rest.startswith(("attn.to_", "proj_mlp")):
            pairs = (
                ("norm.linear", "modulation.lin"),
                ("attn.norm_q", "norm.query_norm"),
                ("attn.norm_k", "norm.key_norm"),
                ("proj_out", "linear2"),
            )
            out[to + _replaced(rest, pairs)] = tensor
    return {
        name.replace("norm.weight", "norm.scale") if "_norm." in name else name: tensor
        for name, tensor in out.items()
    }


NAMES: dict[str, Callable[[Any], Weights]] = {
    "unet": _unet_names,
    "vae": vae_names,
    "sd3": _sd3_names,
    "flux": _flux_names,
}
"""By the kind of network, for tests that need names and shapes only."""
