"""Families of diffusion models: what distinguishes them, one entry each.

Everything that the studio decides by family stands in this table; the code that knows a kind of
text encoding or a kind of network is named by it and found in studio/diffusion.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from studio.requests import Sampler


class Texts(StrEnum):
    """How a family's texts become states; see studio/diffusion/texts.py."""

    CLIP = "clip"
    SD3 = "sd3"
    FLUX = "flux"


class Network(StrEnum):
    """How a family's denoiser is asked; see studio/diffusion/networks.py."""

    UNET = "unet"
    SD3 = "sd3"
    FLUX = "flux"


@dataclass(frozen=True)
class Family:
    """What the studio knows of a family.

    key: its short name. pipeline: the class that a model folder names in model_index.json.
    marks: values in the denoiser's configuration that tell it from others of the same class.
    image, inpaint: classes that do those tasks with the same weights.
    encoders: pairs of component names (tokenizer, text encoder), in the order of their states.
    counted: the tokenizer whose chunks people count. t5_tokens: in a chunk of its T5 encoder, 0 for
    families without one. denoiser: component that predicts.
    flow: trained by flow matching, not as a diffusion; this decides which samplers fit.
    trailing: its Automatic schedule ends at a step's width instead of the last noise level.
    stems: the field's names of its text encoders, in the same order; what single files call them.
    context: features of the text states that the denoiser of the published models attends to; what
    adapters of the family can be known by.
    scaling, shift: from the autoencoder's latents to the denoiser's: (latents - shift) * scaling.
    patch: sides of latents must be multiples of it. side: native size in pixels, 0 where the
    denoiser's configuration names it. cfg_scale, distilled_cfg_scale (None for models that take
    none), sampler, steps: defaults where a model has none.
    """

    key: str
    name: str
    pipeline: str
    image: str
    inpaint: str
    encoders: tuple[tuple[str, str], ...]
    texts: Texts
    network: Network
    stems: tuple[str, ...] = ("clip_l",)
    denoiser: str = "unet"
    marks: Mapping[str, object] = field(default_factory=dict)
    counted: str = "tokenizer"
    t5_tokens: int = 0
    flow: bool = False
    trailing: bool = False
    context: int = 0
    scaling: float = 0.18215
    shift: float | None = None
    patch: int = 1
    side: int = 0
    cfg_scale: float = 7.0
    distilled_cfg_scale: float | None = None
    sampler: Sampler = Sampler.DPMPP_2M
    steps: int = 20


_CLIP = ("tokenizer", "text_encoder")
_SECOND = ("tokenizer_2", "text_encoder_2")
_THIRD = ("tokenizer_3", "text_encoder_3")


def _stable_diffusion(
    key: str, name: str, stem: str, marks: Mapping[str, object]
) -> tuple[Family, Family]:
    """The family for texts and the one whose UNet also reads the hole."""
    shared: dict[str, Any] = {
        "image": "StableDiffusionImg2ImgPipeline",
        "inpaint": "StableDiffusionInpaintPipeline",
        "encoders": (_CLIP,),
        "texts": Texts.CLIP,
        "network": Network.UNET,
        "stems": (stem,),
        "context": marks.get("cross_attention_dim", 0),
        "marks": marks,
    }
    return (
        Family(key=key, name=name, pipeline="StableDiffusionPipeline", **shared),
        Family(
            key=f"{key}-inpaint",
            name=f"{name} (inpainting)",
            pipeline="StableDiffusionInpaintPipeline",
            **shared,
        ),
    )


def _xl(key: str, name: str, pipeline: str, encoders: tuple[tuple[str, str], ...]) -> Family:
    stems = ("clip_l", "clip_g")
    return Family(
        key=key,
        name=name,
        pipeline=pipeline,
        image="StableDiffusionXLImg2ImgPipeline",
        inpaint="StableDiffusionXLInpaintPipeline",
        encoders=encoders,
        texts=Texts.CLIP,
        network=Network.UNET,
        stems=stems[-len(encoders) :],
        context=2048 if len(encoders) == 2 else 1280,
        scaling=0.13025,
        counted=encoders[0][0],
        cfg_scale=6.0,
        steps=25,
    )


def _flux(key: str, name: str, *, guided: bool, t5_tokens: int, steps: int) -> Family:
    return Family(
        key=key,
        name=name,
        pipeline="FluxPipeline",
        image="FluxImg2ImgPipeline",
        inpaint="FluxInpaintPipeline",
        encoders=(_CLIP, _SECOND),
        texts=Texts.FLUX,
        network=Network.FLUX,
        stems=("clip_l", "t5xxl"),
        denoiser="transformer",
        marks={"guidance_embeds": True} if guided else {},
        counted="tokenizer_2",
        t5_tokens=t5_tokens,
        flow=True,
        trailing=True,
        scaling=0.3611,
        shift=0.1159,
        patch=2,
        side=1024,
        cfg_scale=1.0,
        distilled_cfg_scale=3.5 if guided else None,
        sampler=Sampler.EULER,
        steps=steps,
    )


FAMILIES: tuple[Family, ...] = (
    *_stable_diffusion("sd1", "Stable Diffusion 1", "clip_l", {"cross_attention_dim": 768}),
    *_stable_diffusion("sd2", "Stable Diffusion 2", "clip_h", {"cross_attention_dim": 1024}),
    *_stable_diffusion("sd", "Stable Diffusion", "clip_l", {}),
    _xl("sdxl", "Stable Diffusion XL", "StableDiffusionXLPipeline", (_CLIP, _SECOND)),
    _xl(
        "sdxl-inpaint",
        "Stable Diffusion XL (inpainting)",
        "StableDiffusionXLInpaintPipeline",
        (_CLIP, _SECOND),
    ),
    _xl(
        "sdxl-refiner",
        "Stable Diffusion XL (refiner)",
        "StableDiffusionXLImg2ImgPipeline",
        (_SECOND,),
    ),
    Family(
        key="sd3",
        name="Stable Diffusion 3",
        pipeline="StableDiffusion3Pipeline",
        image="StableDiffusion3Img2ImgPipeline",
        inpaint="StableDiffusion3InpaintPipeline",
        encoders=(_CLIP, _SECOND, _THIRD),
        texts=Texts.SD3,
        network=Network.SD3,
        stems=("clip_l", "clip_g", "t5xxl"),
        scaling=1.5305,
        shift=0.0609,
        t5_tokens=256,
        denoiser="transformer",
        flow=True,
        patch=2,
        cfg_scale=4.5,
        sampler=Sampler.EULER,
        steps=28,
    ),
    _flux("flux-dev", "FLUX.1 dev", guided=True, t5_tokens=512, steps=28),
    _flux("flux-schnell", "FLUX.1 schnell", guided=False, t5_tokens=256, steps=4),
)
"""Of several that fit, the first is a model's family."""


@dataclass(frozen=True)
class Distilled:
    """Models that were trained to need few steps, told by a word in their name.

    sampler: None for the family's own, which those trained by flow matching always have.
    """

    word: str
    sampler: Sampler | None
    steps: int
    cfg_scale: float


DISTILLED = (
    Distilled("turbo", Sampler.EULER_A, 4, 1.0),
    Distilled("lightning", Sampler.EULER, 4, 1.0),
    Distilled("hyper", Sampler.EULER, 8, 1.0),
    Distilled("lcm", Sampler.LCM, 6, 1.5),
)
"""Sauer et al. 2023 (arXiv 2311.17042), Lin et al. 2024 (2402.13929), Ren et al. 2024 (2404.13686),
Luo et al. 2023 (2310.04378). All of them end at a step's width (timestep spacing "trailing")."""


def distilled(name: str) -> Distilled | None:
    """What a model's name says of its steps; a number in it, as in "4step", is theirs."""
    words = re.split(r"[^a-z0-9]+", name.lower())
    for entry in DISTILLED:
        if any(word.startswith(entry.word) or word.endswith(entry.word) for word in words):
            told = re.search(r"(\d+)[ _-]?steps?", name.lower())
            return replace(entry, steps=int(told[1])) if told else entry
    return None


def pipelines() -> tuple[str, ...]:
    """The pipeline classes that some family has, each once."""
    return tuple(dict.fromkeys(family.pipeline for family in FAMILIES))


def denoiser_of(pipeline: str) -> str | None:
    """The component that predicts in a pipeline class; None for a class of no family."""
    return next((each.denoiser for each in FAMILIES if each.pipeline == pipeline), None)


def recognised(pipeline: str, denoiser: Mapping[str, object]) -> Family | None:
    """The family of a pipeline class and its denoiser's configuration, None for an unknown one."""
    for family in FAMILIES:
        marks = family.marks.items()
        if family.pipeline == pipeline and all(denoiser.get(k) == v for k, v in marks):
            return family
    return None
