"""Pipelines of random weights, one of each family, as folders."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import torch
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    T5Config,
    T5EncoderModel,
    T5Tokenizer,
)

T5_WIDTH = 64
"""Features of the tiny T5 encoder; as wide as both tiny CLIPs together, or wider."""
_LETTERS = "abcdefghijklmnopqrstuvwxyz,.-'0123456789"
_WORDS = ("a", "blue", "red", "car", "cat", "with", "hat", "the", "of", "and", "green", "in")


def tiny_model(family: str, folder: Path, tokenizer: Path) -> None:
    """A pipeline of a family by its key, as a folder; tokenizer: CLIP's, as a folder."""
    torch.manual_seed(0)
    FAMILIES[family](CLIPTokenizer.from_pretrained(tokenizer)).save_pretrained(folder)


def _clip(words: Any, width: int, *, projected: int = 0, act: str = "quick_gelu") -> Any:
    config = CLIPTextConfig(
        vocab_size=len(words),
        intermediate_size=37,
        num_hidden_layers=4,
        num_attention_heads=4,
        bos_token_id=words.bos_token_id,
        eos_token_id=words.eos_token_id,
        pad_token_id=words.pad_token_id,
        hidden_size=width,
        projection_dim=projected or width,
        hidden_act=act,
    )
    return (CLIPTextModelWithProjection if projected else CLIPTextModel)(config)


def _t5() -> tuple[Any, Any]:
    """A tokenizer of letters and a few words, and an encoder."""
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0)]
    pieces += [(letter, -5.0) for letter in _LETTERS] + [(f"▁{word}", -3.0) for word in _WORDS]
    tokenizer = T5Tokenizer(vocab=pieces, extra_ids=0, model_max_length=512)
    config = T5Config(
        vocab_size=len(tokenizer),
        d_model=T5_WIDTH,
        d_kv=8,
        d_ff=37,
        num_layers=2,
        num_heads=4,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    return tokenizer, T5EncoderModel(config)


def _unet(**fields: Any) -> Any:
    return diffusers.UNet2DConditionModel(
        **{
            "sample_size": 32,
            "block_out_channels": (32, 64),
            "layers_per_block": 1,
            "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
            "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
            "attention_head_dim": (2, 4),
            "norm_num_groups": 8,
            **fields,
        }
    )


def _vae(channels: int = 4, **fields: Any) -> Any:
    return diffusers.AutoencoderKL(
        block_out_channels=(16, 32),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        norm_num_groups=8,
        sample_size=64,
        latent_channels=channels,
        **fields,
    )


def _diffusion(scheduler: str, **fields: Any) -> Any:
    betas = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
    return getattr(diffusers, scheduler)(**betas, steps_offset=1, **fields)


def _stable_diffusion(words: Any, width: int, channels: int, kind: str) -> Any:
    pipeline = "StableDiffusionInpaintPipeline" if channels == 9 else "StableDiffusionPipeline"
    return getattr(diffusers, pipeline)(
        vae=_vae(),
        text_encoder=_clip(words, width),
        tokenizer=words,
        unet=_unet(cross_attention_dim=width, in_channels=channels),
        scheduler=_diffusion("DDIMScheduler", clip_sample=False, prediction_type=kind),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def _xl(words: Any, pipeline: str, *, first: bool = True, channels: int = 4) -> Any:
    sizes = 6 if first else 5
    second = _clip(words, 48, projected=24, act="gelu")
    return getattr(diffusers, pipeline)(
        vae=_vae(scaling_factor=0.13025),
        text_encoder=_clip(words, 32) if first else None,
        text_encoder_2=second,
        tokenizer=words if first else None,
        tokenizer_2=words,
        unet=_unet(
            in_channels=channels,
            use_linear_projection=True,
            addition_embed_type="text_time",
            addition_time_embed_dim=8,
            transformer_layers_per_block=(1, 1),
            projection_class_embeddings_input_dim=sizes * 8 + 24,
            cross_attention_dim=(32 if first else 0) + 48,
        ),
        scheduler=_diffusion("EulerDiscreteScheduler"),
        **({} if first else {"requires_aesthetics_score": True}),
    )


def _sd3(words: Any) -> Any:
    tokenizer, t5 = _t5()
    return diffusers.StableDiffusion3Pipeline(
        transformer=diffusers.SD3Transformer2DModel(
            sample_size=32,
            patch_size=2,
            in_channels=16,
            out_channels=16,
            num_layers=2,
            attention_head_dim=8,
            num_attention_heads=4,
            joint_attention_dim=T5_WIDTH,
            caption_projection_dim=32,
            pooled_projection_dim=20 + 24,
            pos_embed_max_size=48,
            qk_norm="rms_norm",
        ),
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0),
        vae=_vae(16, scaling_factor=1.5305, shift_factor=0.0609, use_quant_conv=False),
        text_encoder=_clip(words, 24, projected=20),
        tokenizer=words,
        text_encoder_2=_clip(words, 32, projected=24, act="gelu"),
        tokenizer_2=words,
        text_encoder_3=t5,
        tokenizer_3=tokenizer,
    )


def _flux(words: Any, *, guided: bool) -> Any:
    tokenizer, t5 = _t5()
    return diffusers.FluxPipeline(
        transformer=diffusers.FluxTransformer2DModel(
            in_channels=64,
            num_layers=1,
            num_single_layers=1,
            attention_head_dim=16,
            num_attention_heads=2,
            joint_attention_dim=T5_WIDTH,
            pooled_projection_dim=32,
            guidance_embeds=guided,
            axes_dims_rope=(4, 4, 8),
        ),
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(
            shift=3.0 if guided else 1.0, use_dynamic_shifting=guided
        ),
        vae=_vae(16, scaling_factor=0.3611, shift_factor=0.1159, use_quant_conv=False),
        text_encoder=_clip(words, 32),
        tokenizer=words,
        text_encoder_2=t5,
        tokenizer_2=tokenizer,
    )


FAMILIES: dict[str, Callable[[Any], Any]] = {
    "sd1": lambda words: _stable_diffusion(words, 768, 4, "epsilon"),
    "sd1-inpaint": lambda words: _stable_diffusion(words, 768, 9, "epsilon"),
    "sd2": lambda words: _stable_diffusion(words, 1024, 4, "v_prediction"),
    "sd2-inpaint": lambda words: _stable_diffusion(words, 1024, 9, "epsilon"),
    "sd": lambda words: _stable_diffusion(words, 32, 4, "v_prediction"),
    "sd-inpaint": lambda words: _stable_diffusion(words, 32, 9, "v_prediction"),
    "sdxl": lambda words: _xl(words, "StableDiffusionXLPipeline"),
    "sdxl-inpaint": lambda words: _xl(words, "StableDiffusionXLInpaintPipeline", channels=9),
    "sdxl-refiner": lambda words: _xl(words, "StableDiffusionXLImg2ImgPipeline", first=False),
    "sd3": _sd3,
    "flux-dev": lambda words: _flux(words, guided=True),
    "flux-schnell": lambda words: _flux(words, guided=False),
}
