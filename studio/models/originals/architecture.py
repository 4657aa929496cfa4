"""A network's configuration, as diffusers and transformers write it, from its tensors' shapes.

Each function takes the shapes under a part's prefix, in the layout of the first authors:
Stable Diffusion's UNet and autoencoder (CompVis/latent-diffusion), OpenCLIP, CLIP and T5 as in
transformers, Stable Diffusion 3's and FLUX's transformers (Stability AI, Black Forest Labs).
What no shape tells (heads, scaling factors) is what all published models of the layout have.
Raises LookupError or TypeError where shapes are missing: the file is of another layout.
"""

import math
from typing import Any

from studio.models.headers import Shapes

Config = dict[str, Any]
_HEAD = 64
"""Channels of an attention head, in all networks but Stable Diffusion 1's UNet and FLUX."""
_HEADS = 8
"""Heads of Stable Diffusion 1's UNet."""
_BEGIN, _END = 49406, 49407
"""CLIP's border tokens."""


def unet(shapes: Shapes, side: int) -> Config:
    """Of a UNet; side: native size in latent pixels."""
    channels, depths, layers = _levels(shapes)
    linear = any(name.endswith("proj_in.weight") and len(shapes[name]) == 2 for name in shapes)
    into = "attn2.to_k.weight"
    context = next(shapes[name][1] for name in shapes if name.endswith(into))
    first = shapes["input_blocks.0.0.weight"]
    middle = shapes.count("middle_block.1.transformer_blocks.")
    # The middle block has the depth of the last level, and its own where that one has none.
    depth = [each or 1 for each in depths[:-1]] + [depths[-1] or middle]
    config: Config = {
        "_class_name": "UNet2DConditionModel",
        "sample_size": side,
        "in_channels": first[1],
        "out_channels": shapes["out.2.weight"][0],
        "block_out_channels": channels,
        "layers_per_block": layers,
        "down_block_types": [("CrossAttn" if d else "") + "DownBlock2D" for d in depths],
        "up_block_types": [("CrossAttn" if d else "") + "UpBlock2D" for d in reversed(depths)],
        "transformer_layers_per_block": depth,
        "cross_attention_dim": context,
        # diffusers' name for the number of heads.
        "attention_head_dim": [c // _HEAD for c in channels] if linear else _HEADS,
        "use_linear_projection": linear,
    }
    if "label_emb.0.0.weight" in shapes:
        config |= {
            "addition_embed_type": "text_time",
            "addition_time_embed_dim": 256,
            "projection_class_embeddings_input_dim": shapes["label_emb.0.0.weight"][1],
        }
    return config


def _levels(shapes: Shapes) -> tuple[list[int], list[int], int]:
    """Of each resolution its channels and its transformer's depth; how many layers it has."""
    channels, depths, blocks = [], [], 0
    for number in range(1, shapes.count("input_blocks.")):
        block = shapes.within(f"input_blocks.{number}.")
        if "0.op.weight" in block:
            continue
        blocks += 1
        # A level begins at the first block and after each halving of the size.
        if number == 1 or f"input_blocks.{number - 1}.0.op.weight" in shapes:
            channels.append(block["0.out_layers.3.weight"][0])
            depths.append(block.count("1.transformer_blocks."))
    return channels, depths, blocks // len(channels)


def vae(shapes: Shapes, scaling: float, shift: float | None) -> Config:
    """Of an autoencoder; scaling, shift: from its latents to those of the denoiser."""
    levels = range(shapes.count("encoder.down."))
    channels = [shapes[f"encoder.down.{level}.block.0.conv1.weight"][0] for level in levels]
    return {
        "_class_name": "AutoencoderKL",
        "block_out_channels": channels,
        "down_block_types": ["DownEncoderBlock2D"] * len(channels),
        "up_block_types": ["UpDecoderBlock2D"] * len(channels),
        "layers_per_block": shapes.count("encoder.down.0.block."),
        "latent_channels": shapes["decoder.conv_in.weight"][1],
        "use_quant_conv": "quant_conv.weight" in shapes,
        "use_post_quant_conv": "post_quant_conv.weight" in shapes,
        "sample_size": 1024,
        "scaling_factor": scaling,
        "shift_factor": shift,
    }


def clip(shapes: Shapes, *, act: str) -> Config:
    """Of CLIP's text encoder in transformers' names, below "text_model."."""
    vocabulary, width = shapes["embeddings.token_embedding.weight"]
    return _clip(
        vocabulary=vocabulary,
        width=width,
        positions=shapes["embeddings.position_embedding.weight"][0],
        inner=shapes["encoder.layers.0.mlp.fc1.weight"][0],
        layers=shapes.count("encoder.layers."),
        projected=width,
        act=act,
    )


def open_clip(shapes: Shapes, *, whole: bool) -> Config:
    """Of OpenCLIP's text encoder; whole: with its last layer, which Stable Diffusion 2 leaves."""
    vocabulary, width = shapes["token_embedding.weight"]
    return _clip(
        vocabulary=vocabulary,
        width=width,
        positions=shapes["positional_embedding"][0],
        inner=shapes["transformer.resblocks.0.mlp.c_fc.weight"][0],
        layers=shapes.count("transformer.resblocks.") - (not whole),
        projected=shapes["text_projection"][1] if "text_projection" in shapes else width,
        act="gelu",
    )


def _clip(
    *,
    vocabulary: int,
    width: int,
    positions: int,
    inner: int,
    layers: int,
    projected: int,
    act: str,
) -> Config:
    return {
        "vocab_size": vocabulary,
        "hidden_size": width,
        "max_position_embeddings": positions,
        "intermediate_size": inner,
        "num_hidden_layers": layers,
        "num_attention_heads": width // _HEAD,
        "projection_dim": projected,
        "hidden_act": act,
        "bos_token_id": _BEGIN,
        "eos_token_id": _END,
        "pad_token_id": _END,
    }


def t5(shapes: Shapes) -> Config:
    """Of T5's encoder, version 1.1 (Raffel et al. 2020, arXiv 1910.10683; gated activations)."""
    vocabulary, width = shapes["shared.weight"]
    block = shapes.within("encoder.block.0.layer.")
    buckets, heads = block["0.SelfAttention.relative_attention_bias.weight"]
    return {
        "vocab_size": vocabulary,
        "d_model": width,
        "d_kv": block["0.SelfAttention.q.weight"][0] // heads,
        "d_ff": block["1.DenseReluDense.wi_0.weight"][0],
        "num_layers": shapes.count("encoder.block."),
        "num_heads": heads,
        "relative_attention_num_buckets": buckets,
        "feed_forward_proj": "gated-gelu",
        "pad_token_id": 0,
        "eos_token_id": 1,
    }


def sd3(shapes: Shapes) -> Config:
    """Of Stable Diffusion 3's transformer (Esser et al. 2024, arXiv 2403.03206)."""
    width, channels, patch, _ = shapes["x_embedder.proj.weight"]
    blocks = shapes.count("joint_blocks.")
    normed = "joint_blocks.0.x_block.attn.ln_q.weight" in shapes
    second = [i for i in range(blocks) if shapes.has(f"joint_blocks.{i}.x_block.attn2.")]
    return {
        "_class_name": "SD3Transformer2DModel",
        "sample_size": 128,
        "patch_size": patch,
        "in_channels": channels,
        "out_channels": shapes["final_layer.linear.weight"][0] // patch**2,
        "num_layers": blocks,
        "attention_head_dim": _HEAD,
        "num_attention_heads": width // _HEAD,
        "joint_attention_dim": shapes["context_embedder.weight"][1],
        "caption_projection_dim": width,
        "pooled_projection_dim": shapes["y_embedder.mlp.0.weight"][1],
        "pos_embed_max_size": math.isqrt(shapes["pos_embed"][1]),
        "qk_norm": "rms_norm" if normed else None,
        "dual_attention_layers": second,
    }


def flux(shapes: Shapes) -> Config:
    """Of FLUX.1's transformer."""
    width, channels = shapes["img_in.weight"]
    (head,) = shapes["double_blocks.0.img_attn.norm.key_norm.scale"]
    return {
        "_class_name": "FluxTransformer2DModel",
        "in_channels": channels,
        "out_channels": shapes["final_layer.linear.weight"][0],
        "patch_size": 1,
        "num_layers": shapes.count("double_blocks."),
        "num_single_layers": shapes.count("single_blocks."),
        "attention_head_dim": head,
        "num_attention_heads": width // head,
        "joint_attention_dim": shapes["txt_in.weight"][1],
        "pooled_projection_dim": shapes["vector_in.in_layer.weight"][1],
        "guidance_embeds": "guidance_in.in_layer.weight" in shapes,
    }
