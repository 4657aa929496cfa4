"""Tiny models as single files in the layouts of their first authors."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import diffusers
import torch
from original_names import Weights, renamed, transformers_names, vae_names
from safetensors.torch import save_file
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    T5Config,
    T5EncoderModel,
    T5Tokenizer,
)

ASSETS = Path(__file__).resolve().parents[1] / "assets"
CLIP_WIDTH, SECOND_WIDTH, T5_WIDTH = 64, 128, 192
KEYS = (
    "sd1",
    "sd1-inpaint",
    "sd2",
    "sd2-inpaint",
    "sdxl",
    "sdxl-inpaint",
    "sdxl-refiner",
    "sd3",
    "flux-dev",
    "flux-schnell",
)


def tiny_pipeline(key: str) -> Any:
    """A pipeline of random weights whose shapes follow the published models' proportions."""
    torch.manual_seed(0)
    if key.startswith("flux"):
        return _flux(guided=key == "flux-dev")
    if key == "sd3":
        return _sd3()
    if key.startswith("sdxl"):
        return _xl(key)
    return _stable_diffusion(key)


def single_file(pipe: Any, path: Path, *, parts: Iterable[str] = (), **extra: Any) -> None:
    """All of a pipeline's networks in one file, or only some; extra: further tensors by name."""
    weights: Weights = {}
    for name, network in pipe.components.items():
        if isinstance(network, torch.nn.Module) and (not parts or name in parts):
            weights |= renamed(pipe, name, network)
    save_file({k: t.contiguous().clone() for k, t in (weights | extra).items()}, path)


def text_encoder_file(network: Any, path: Path) -> None:
    """A text encoder alone, in transformers' names, as the field hands them round."""
    state = network.state_dict()
    if isinstance(network, CLIPTextModel | CLIPTextModelWithProjection):
        state = transformers_names(state)
    save_file({k: t.contiguous().clone() for k, t in state.items()}, path)


def vae_file(vae: Any, path: Path) -> None:
    """An autoencoder alone."""
    save_file({k: t.contiguous().clone() for k, t in vae_names(vae).items()}, path)


# --- tiny pipelines -------------------------------------------------------------------------------


def _clip_tokenizer(pad: str = "<|endoftext|>") -> Any:
    return CLIPTokenizer.from_pretrained(ASSETS / "tokenizers" / "clip", pad_token=pad)


def _clip(width: int, act: str, *, projected: bool = False) -> Any:
    config = CLIPTextConfig(
        vocab_size=49408,
        hidden_size=width,
        intermediate_size=4 * width,
        num_hidden_layers=3,
        num_attention_heads=width // 64,
        projection_dim=width,
        hidden_act=act,
        bos_token_id=49406,
        eos_token_id=49407,
    )
    return (CLIPTextModelWithProjection if projected else CLIPTextModel)(config)


def _t5() -> tuple[Any, Any]:
    config = T5Config(
        vocab_size=32128,
        d_model=T5_WIDTH,
        d_kv=64,
        d_ff=80,
        num_layers=2,
        num_heads=2,
        feed_forward_proj="gated-gelu",
        tie_word_embeddings=False,
    )
    return T5Tokenizer.from_pretrained(ASSETS / "tokenizers" / "t5"), T5EncoderModel(config)


def _vae(channels: int = 4, **fields: Any) -> Any:
    return diffusers.AutoencoderKL(
        block_out_channels=(32, 64),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=channels,
        sample_size=64,
        **fields,
    )


def _noise(kind: str = "epsilon") -> Any:
    return diffusers.DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        steps_offset=1,
        clip_sample=False,
        prediction_type=kind,
    )


def _stable_diffusion(key: str) -> Any:
    second, hole = key.startswith("sd2"), key.endswith("inpaint")
    # What tells the two families apart is the width of their text encoders.
    width = 1024 if second else 768
    unet = diffusers.UNet2DConditionModel(
        sample_size=64,
        in_channels=9 if hole else 4,
        block_out_channels=(64, 64, 128, 128) if second else (32, 32, 64, 64),
        layers_per_block=2,
        down_block_types=("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
        up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
        attention_head_dim=(1, 1, 2, 2) if second else 8,
        use_linear_projection=second,
        cross_attention_dim=width,
    )
    pipeline = "StableDiffusionInpaintPipeline" if hole else "StableDiffusionPipeline"
    return getattr(diffusers, pipeline)(
        vae=_vae(),
        text_encoder=_narrow_clip(width, "gelu" if second else "quick_gelu"),
        tokenizer=_clip_tokenizer("!" if second else "<|endoftext|>"),
        unet=unet,
        scheduler=_noise(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def _narrow_clip(width: int, act: str) -> Any:
    """As wide as the published ones, for that is what tells families apart, but shallow."""
    config = CLIPTextConfig(
        vocab_size=49408,
        hidden_size=width,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=width // 64,
        projection_dim=width,
        hidden_act=act,
        bos_token_id=49406,
        eos_token_id=49407,
    )
    return CLIPTextModel(config)


def _xl(key: str) -> Any:
    refines, hole = key == "sdxl-refiner", key == "sdxl-inpaint"
    unet = diffusers.UNet2DConditionModel(
        sample_size=128,
        in_channels=9 if hole else 4,
        block_out_channels=(64, 64, 128, 128) if refines else (64, 128, 128),
        layers_per_block=2,
        down_block_types=("DownBlock2D",)
        + ("CrossAttnDownBlock2D",) * 2
        + ("DownBlock2D",) * refines,
        up_block_types=("UpBlock2D",) * refines + ("CrossAttnUpBlock2D",) * 2 + ("UpBlock2D",),
        attention_head_dim=(1, 1, 2, 2) if refines else (1, 2, 2),
        transformer_layers_per_block=(1, 2, 2, 2) if refines else (1, 1, 2),
        use_linear_projection=True,
        cross_attention_dim=SECOND_WIDTH + (0 if refines else CLIP_WIDTH),
        addition_embed_type="text_time",
        addition_time_embed_dim=256,
        projection_class_embeddings_input_dim=(5 if refines else 6) * 256 + SECOND_WIDTH,
    )
    pipeline = {
        "sdxl": "StableDiffusionXLPipeline",
        "sdxl-inpaint": "StableDiffusionXLInpaintPipeline",
        "sdxl-refiner": "StableDiffusionXLImg2ImgPipeline",
    }[key]
    return getattr(diffusers, pipeline)(
        vae=_vae(scaling_factor=0.13025),
        text_encoder=None if refines else _clip(CLIP_WIDTH, "quick_gelu"),
        tokenizer=None if refines else _clip_tokenizer(),
        text_encoder_2=_clip(SECOND_WIDTH, "gelu", projected=True),
        tokenizer_2=_clip_tokenizer("!"),
        unet=unet,
        scheduler=_noise(),
        **({"requires_aesthetics_score": True} if refines else {}),
    )


def _sd3() -> Any:
    tokenizer, t5 = _t5()
    first = _clip(CLIP_WIDTH, "quick_gelu", projected=True)
    with torch.no_grad():  # the first CLIP's pooled state is not projected
        first.text_projection.weight.copy_(torch.eye(CLIP_WIDTH))
    return diffusers.StableDiffusion3Pipeline(
        transformer=diffusers.SD3Transformer2DModel(
            sample_size=128,
            patch_size=2,
            in_channels=16,
            out_channels=16,
            num_layers=3,
            attention_head_dim=64,
            num_attention_heads=1,
            joint_attention_dim=T5_WIDTH,
            caption_projection_dim=64,
            pooled_projection_dim=CLIP_WIDTH + SECOND_WIDTH,
            pos_embed_max_size=48,
            qk_norm="rms_norm",
            dual_attention_layers=(0, 1),
        ),
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0),
        vae=_vae(
            16,
            scaling_factor=1.5305,
            shift_factor=0.0609,
            use_quant_conv=False,
            use_post_quant_conv=False,
        ),
        text_encoder=first,
        tokenizer=_clip_tokenizer(),
        text_encoder_2=_clip(SECOND_WIDTH, "gelu", projected=True),
        tokenizer_2=_clip_tokenizer("!"),
        text_encoder_3=t5,
        tokenizer_3=tokenizer,
    )


def _flux(*, guided: bool) -> Any:
    tokenizer, t5 = _t5()
    return diffusers.FluxPipeline(
        transformer=diffusers.FluxTransformer2DModel(
            in_channels=64,
            num_layers=2,
            num_single_layers=2,
            attention_head_dim=128,
            num_attention_heads=1,
            joint_attention_dim=T5_WIDTH,
            pooled_projection_dim=CLIP_WIDTH,
            guidance_embeds=guided,
        ),
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(
            shift=3.0 if guided else 1.0, use_dynamic_shifting=guided
        ),
        vae=_vae(
            16,
            scaling_factor=0.3611,
            shift_factor=0.1159,
            use_quant_conv=False,
            use_post_quant_conv=False,
        ),
        text_encoder=_clip(CLIP_WIDTH, "quick_gelu"),
        tokenizer=_clip_tokenizer(),
        text_encoder_2=t5,
        tokenizer_2=tokenizer,
    )
