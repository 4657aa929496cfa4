"""What a single file is, found out from its header: which parts it holds, and of which family."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from studio.models.families import Family, recognised
from studio.models.headers import Header, Shapes
from studio.models.originals import architecture
from studio.models.originals.architecture import Config

_NONSENSE = (LookupError, TypeError, ValueError, ArithmeticError, StopIteration)
_DENOISER = "model.diffusion_model."
_VAE = ("first_stage_model.", "vae.")
_ONE = "cond_stage_model."
_MANY = "conditioner.embedders."
_LATER = "text_encoders."
_BESIDE = (*_VAE, _ONE, _MANY, _LATER)
"""What stands beside a network whose own names have no prefix."""
_INNER = "text_model."
_T5 = "t5xxl"
_BETAS = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "steps_offset": 1,
}
"""The published models' noise; where they name no spacing of steps, each sampler has its own."""
_QUANTISED = ("scaled_fp8", ".scale_weight", ".weight_scale", ".absmax", ".quant_map")
"""Tensors beside weights that mean nothing without them: ComfyUI's float8, bitsandbytes."""
_INPUTS = {4: "", 9: "inpaint"}
"""Channels that a UNet reads: a latent picture, or also a hole and what is around it."""


@dataclass(frozen=True)
class Part:
    """One network of a model.

    name: its place in the pipeline. kind: how its weights are named (see `load`). prefix: what its
    tensors' names begin with. config: see architecture.
    """

    name: str
    kind: str
    prefix: str
    config: Config

    def holds(self, name: str) -> bool:
        """Whether a tensor of this name in its file is one of the network's."""
        return name.startswith(self.prefix) if self.prefix else not name.startswith(_BESIDE)


@dataclass(frozen=True)
class Original:
    """A single file's model: its family, what it holds, and what must come from elsewhere.

    scheduler: class and configuration of the noise that it was trained with.
    wanted: the field's names of the parts that the file lacks ("clip_l", "vae"), by their place.
    """

    family: Family
    denoiser: Part
    parts: tuple[Part, ...]
    wanted: Mapping[str, str]
    scheduler: tuple[str, Mapping[str, Any]]

    @property
    def vae(self) -> Config | None:
        """The autoencoder's configuration, None when the file has none."""
        return next((part.config for part in self.parts if part.name == "vae"), None)


class LayoutError(ValueError):
    """A file holds a denoiser that this studio does not run; the message follows its name."""


def read_layout(header: Header, velocity: Callable[[str], bool]) -> Original | None:
    """The model in a file; None for a file without a denoiser that is known.

    velocity: whether a denoiser with this tensor was trained to predict velocity; asked only where
    no shape tells.
    Raises LayoutError for a denoiser of a family that is not run.
    """
    shapes = Shapes(header.shapes)
    prefix = _DENOISER if shapes.has(_DENOISER) else ""
    inner = shapes.within(prefix)
    reader: Callable[[Shapes, str, Callable[[str], bool]], Original]
    if "img_in.weight" in inner and inner.has("double_blocks."):
        reader = _flux
    elif "x_embedder.proj.weight" in inner and inner.has("joint_blocks."):
        reader = _sd3
    elif "input_blocks.0.0.weight" in inner and "time_embed.0.weight" in inner:
        reader = _unet
    else:
        return None
    if any(name.endswith(_QUANTISED) for name in shapes):
        raise LayoutError(
            "holds weights of few bits with scales of their own, which this studio does not read; "
            "take a version in float16, bfloat16 or plain float8"
        )
    try:
        return reader(shapes, prefix, velocity)
    except _NONSENSE as error:
        if isinstance(error, LayoutError):
            raise
        raise LayoutError(f"lacks parts of its denoiser ({error})") from error


def encoder_kind(shapes: Shapes) -> tuple[str, str] | None:
    """The kind and prefix of a file that is a text encoder alone; None for any other."""
    for kind, prefix, mark in (
        ("clip", _INNER, "embeddings.token_embedding.weight"),
        ("open_clip", "", "transformer.resblocks.0.mlp.c_fc.weight"),
        ("t5", "", "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight"),
    ):
        if prefix + mark in shapes:
            return kind, prefix
    return None


def is_vae(shapes: Shapes) -> bool:
    """Whether a file is an autoencoder alone, in the layout of its first authors."""
    return "decoder.conv_in.weight" in shapes and shapes.has("encoder.down.")


def vae_part(shapes: Shapes, prefix: str, family: Family) -> Part:
    """An autoencoder for a family, from a file's shapes."""
    config = architecture.vae(shapes.within(prefix), family.scaling, family.shift)
    return Part("vae", "vae", prefix, config)


def encoder_part(shapes: Shapes, family: Family, place: str, kind: str, prefix: str) -> Part:
    """A text encoder in its place in a family's pipeline."""
    inner = shapes.within(prefix)
    if kind == "t5":
        return Part(place, kind, prefix, architecture.t5(inner))
    if kind == "open_clip":
        whole = family.stems != ("clip_h",)
        return Part(place, kind, prefix, architecture.open_clip(inner, whole=whole))
    # Of the two that larger models read, the second came from OpenCLIP.
    act = "quick_gelu" if place == "text_encoder" else "gelu"
    return Part(place, kind, prefix, architecture.clip(inner, act=act))


def _unet(shapes: Shapes, prefix: str, velocity: Callable[[str], bool]) -> Original:
    inner = shapes.within(prefix)
    large = "label_emb.0.0.weight" in inner
    config = architecture.unet(inner, side=128 if large else 64)
    if config["in_channels"] not in _INPUTS:
        raise LayoutError(
            f"has a UNet for {config['in_channels']} channels, which this studio does not run; "
            "it runs those for 4 (text) and 9 (inpainting)"
        )
    hole = bool(_INPUTS[config["in_channels"]])
    encoders: dict[str, tuple[str, str]] = {}
    if shapes.has(_ONE + "model."):
        encoders["text_encoder"] = "open_clip", _ONE + "model."
    elif shapes.has(_ONE + "transformer."):
        encoders["text_encoder"] = "clip", _ONE + "transformer." + _INNER
    elif shapes.has(_MANY + "1.model."):
        encoders["text_encoder"] = "clip", _MANY + "0.transformer." + _INNER
        encoders["text_encoder_2"] = "open_clip", _MANY + "1.model."
    elif shapes.has(_MANY + "0.model."):
        encoders["text_encoder_2"] = "open_clip", _MANY + "0.model."
    refines = large and (list(encoders) == ["text_encoder_2"])
    pipeline = _pipeline(large=large, refines=refines, hole=hole)
    family = recognised(pipeline, config)
    assert family is not None
    second = family.key.startswith("sd2")
    if second:
        config["upcast_attention"] = True  # in float16 its attention would overflow
    kind = "epsilon"
    if "v_pred" in shapes or (second and not hole and velocity(prefix + _TELLS)):
        kind = "v_prediction"
        config["sample_size"] = 96 if second else config["sample_size"]
    noise: dict[str, Any] = {**_BETAS, "prediction_type": kind}
    if large:
        noise["timestep_spacing"] = "leading"
    if "ztsnr" in shapes:
        noise |= {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}
    denoiser = Part("unet", "unet", prefix, config)
    return _original(shapes, family, denoiser, encoders, ("EulerDiscreteScheduler", noise))


_TELLS = "output_blocks.11.1.transformer_blocks.0.norm1.bias"
"""Wide in models of Stable Diffusion 2 that predict velocity, narrow in those that predict noise;
found by ComfyUI (comfy/supported_models.py, class SD20)."""


def _pipeline(*, large: bool, refines: bool, hole: bool) -> str:
    if refines:
        return "StableDiffusionXLImg2ImgPipeline"
    return f"StableDiffusion{'XL' * large}{'Inpaint' * hole}Pipeline"


def _sd3(shapes: Shapes, prefix: str, _: Callable[[str], bool]) -> Original:
    config = architecture.sd3(shapes.within(prefix))
    family = recognised("StableDiffusion3Pipeline", config)
    assert family is not None
    scheduler = "FlowMatchEulerDiscreteScheduler", {"shift": 3.0}
    denoiser = Part("transformer", "sd3", prefix, config)
    return _original(shapes, family, denoiser, _later(shapes, family), scheduler)


def _flux(shapes: Shapes, prefix: str, _: Callable[[str], bool]) -> Original:
    config = architecture.flux(shapes.within(prefix))
    if config["in_channels"] != 64:
        raise LayoutError(
            f"has a FLUX transformer for {config['in_channels']} channels, a variant (Fill, Depth, "
            "Canny) that this studio does not run"
        )
    if shapes.within(prefix).has("distilled_guidance_layer."):
        raise LayoutError("is Chroma, which this studio does not run")
    family = recognised("FluxPipeline", config)
    assert family is not None
    guided = config["guidance_embeds"]
    scheduler = (
        "FlowMatchEulerDiscreteScheduler",
        {"shift": 3.0 if guided else 1.0, "use_dynamic_shifting": guided},
    )
    denoiser = Part("transformer", "flux", prefix, config)
    return _original(shapes, family, denoiser, _later(shapes, family), scheduler)


def _later(shapes: Shapes, family: Family) -> dict[str, tuple[str, str]]:
    """Text encoders below "text_encoders.", as Stable Diffusion 3 began it."""
    found = {}
    for (_, place), stem in zip(family.encoders, family.stems, strict=True):
        prefix = f"{_LATER}{stem}.transformer."
        if shapes.has(prefix):
            kind = "t5" if stem == _T5 else "clip"
            found[place] = kind, prefix + ("" if kind == "t5" else _INNER)
    return found


def _original(
    shapes: Shapes,
    family: Family,
    denoiser: Part,
    encoders: Mapping[str, tuple[str, str]],
    scheduler: tuple[str, Mapping[str, Any]],
) -> Original:
    parts = [
        encoder_part(shapes, family, place, kind, prefix)
        for place, (kind, prefix) in encoders.items()
    ]
    prefix = next((each for each in _VAE if shapes.has(each)), None)
    if prefix is not None:
        parts.append(vae_part(shapes, prefix, family))
    there = {part.name for part in parts}
    wanted = {
        place: stem
        for (_, place), stem in zip(family.encoders, family.stems, strict=True)
        if place not in there
    }
    if "vae" not in there:
        wanted["vae"] = "vae"
    return Original(family, denoiser, tuple(parts), wanted, scheduler)
