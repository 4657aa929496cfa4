"""Families of diffusion models: what distinguishes them, one entry each.

The key is the pipeline class that a model folder names in model_index.json.
"""

from dataclasses import dataclass

from studio.requests import Sampler


@dataclass(frozen=True)
class Family:
    """What the studio knows of a family.

    encoders: pairs of component names (tokenizer, text encoder), in the order of their states.
    denoiser: component that predicts. cfg_scale, sampler, steps: defaults where a model has none.
    """

    name: str
    pipeline: str
    encoders: tuple[tuple[str, str], ...]
    denoiser: str
    cfg_scale: float = 7.0
    sampler: Sampler = Sampler.DPMPP_2M
    steps: int = 20


FAMILIES: dict[str, Family] = {
    family.pipeline: family
    for family in (
        Family(
            name="Stable Diffusion",
            pipeline="StableDiffusionPipeline",
            encoders=(("tokenizer", "text_encoder"),),
            denoiser="unet",
        ),
        Family(
            name="Stable Diffusion (inpainting)",
            pipeline="StableDiffusionInpaintPipeline",
            encoders=(("tokenizer", "text_encoder"),),
            denoiser="unet",
        ),
        Family(
            name="Stable Diffusion XL",
            pipeline="StableDiffusionXLPipeline",
            encoders=(("tokenizer", "text_encoder"), ("tokenizer_2", "text_encoder_2")),
            denoiser="unet",
            cfg_scale=6.0,
            steps=25,
        ),
    )
}
