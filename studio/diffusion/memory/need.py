"""What a job takes of the device beside the weights, found by running its networks on "meta".

Only the shapes of tensors exist there, so that the answer for any size comes in a moment and
without memory, and is what the code that paints really allocates.
"""

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from types import SimpleNamespace
from typing import Any

import torch

from studio.context import Rung
from studio.diffusion.decode import pixels_of
from studio.diffusion.guidance import Conditions
from studio.diffusion.memory.allocations import most_bytes
from studio.diffusion.networks import Seen, predictor
from studio.models.blueprint import Blueprint, blueprint
from studio.models.devices import Device
from studio.models.entry import ModelEntry
from studio.models.families import Network
from studio.models.ladder import fits_rung

_MARGIN = 1.2
"""Room for what kernels take beside their results, and for gaps between blocks."""
_PLENTY = 16_384
"""Bytes a pixel that no network here comes near; where they are free nothing needs counting."""
_GAIN = 0.98
"""A rung is taken when it lowers the need at least to this share."""
_PROMPT_TOKENS = 77
_DECODED = 3 * 4 * 3
"""Bytes a pixel of decoded tiles and of the picture that they are put together to."""
_counting = threading.Lock()


@dataclass(frozen=True)
class Shape:
    """What a job paints at its largest: size in pixels, pictures at once, and prompts for each.

    prompts: the negative one counts. encodes: whether pixels become latents as well.
    """

    size: tuple[int, int]
    pictures: int = 1
    prompts: int = 2
    encodes: bool = False


@dataclass(frozen=True)
class Need:
    """Rungs of the ladder, and bytes beside the weights that a job takes on them; 0 for little."""

    rungs: tuple[Rung, ...]
    work: int


def needs(entry: ModelEntry, shape: Shape, device: Device, free: int) -> Iterator[Need]:
    """The ways to do a job, from none of the rungs to all that help.

    free: bytes of the device; where these are plenty the first need is not counted.
    """
    fused = device.sort != "mps"  # whose attention holds all scores
    area = shape.size[0] * shape.size[1] * shape.pictures
    rungs: tuple[Rung, ...] = ()
    if fused and area * _PLENTY < free:
        yield Need((), 0)
        work = work_bytes(entry, shape, device.dtype, rungs, fused)
    else:
        work = work_bytes(entry, shape, device.dtype, rungs, fused)
        yield Need((), work)
    assert entry.family is not None
    sliceable = entry.family.network is Network.UNET
    # Twice: what was no help while another stage took the most may be one once that takes less.
    for rung in (*Rung, *Rung):
        if rung in rungs or not fits_rung(rung, device, sliceable=sliceable):
            continue
        more = tuple(each for each in Rung if each in rungs or each is rung)
        less = work_bytes(entry, shape, device.dtype, more, fused)
        if less < work * _GAIN or rung in _OF_WEIGHTS:
            rungs, work = more, less
            yield Need(rungs, work)


_OF_WEIGHTS = (Rung.ENCODERS_OFF, Rung.MODEL_OFFLOAD, Rung.SEQUENTIAL_OFFLOAD)


def work_bytes(
    entry: ModelEntry, shape: Shape, dtype: str, rungs: Sequence[Rung], fused: bool = True
) -> int:
    """Bytes beside the weights at the worst moment of a job."""
    with _counting:
        networks = blueprint(entry, dtype, sliced=Rung.ATTENTION_SLICING in rungs)
        plan = _Plan(entry, networks, fused)
        if Rung.ONE_BY_ONE in rungs:
            shape = replace(shape, pictures=1)
        decoded = 1 if Rung.VAE_SLICING in rungs else shape.pictures
        tile = int(networks.vae.config.sample_size) if Rung.VAE_TILING in rungs else 0
        stages = [
            _denoising(plan, shape.size, shape.pictures, shape.prompts),
            _coding(plan, shape.size, decoded, tile, decodes=True),
        ]
        if shape.encodes:
            stages.append(_coding(plan, shape.size, 1, tile, decodes=False))
    return int(max(stages) * _MARGIN)


@dataclass(frozen=True)
class _Plan:
    """What is counted; two models of the same networks share the answers."""

    entry: ModelEntry = field(compare=False)
    networks: Blueprint
    fused: bool


@lru_cache(maxsize=256)
def _denoising(plan: _Plan, size: tuple[int, int], pictures: int, prompts: int) -> int:
    family, denoiser = plan.entry.family, plan.networks.denoiser
    assert family is not None
    channels = int(plan.networks.vae.config.latent_channels)
    latents = _empty(prompts * pictures, channels, *_latent(plan.entry, size))
    beside = None
    if family.network is Network.UNET and denoiser.config.in_channels > channels:
        others = denoiser.config.in_channels - channels
        beside = _empty(1, others, *_latent(plan.entry, size))
    pipe = _as_pipe(plan)
    predict = predictor(family.network, pipe, Seen(size, beside, 1.0))
    conditions = _conditions(plan, prompts)
    return most_bytes(lambda: predict(latents, _empty(), conditions), fused=plan.fused)


@lru_cache(maxsize=256)
def _coding(plan: _Plan, size: tuple[int, int], pictures: int, tile: int, *, decodes: bool) -> int:
    """Decoding or encoding; tile: side in pixels of the parts that are taken one by one, or 0."""
    vae, area = plan.networks.vae, size[0] * size[1] * pictures
    if tile and max(size) > tile:
        part = (min(size[0], tile), min(size[1], tile))
        return _coding(plan, part, pictures, 0, decodes=decodes) + area * _DECODED
    if decodes:
        latents = _empty(pictures, int(vae.config.latent_channels), *_latent(plan.entry, size))
        return most_bytes(lambda: pixels_of(vae, latents), fused=plan.fused)
    pixels = _empty(pictures, 3, size[1], size[0]).to(next(vae.parameters()).dtype)
    return most_bytes(lambda: vae.encode(pixels).latent_dist.mode(), fused=plan.fused)


def _as_pipe(plan: _Plan) -> Any:
    """What predictors ask of a pipeline; a refiner is told one number less."""
    assert plan.entry.family is not None
    config = {"requires_aesthetics_score": plan.entry.family.key == "sdxl-refiner"}
    denoiser = plan.networks.denoiser
    return SimpleNamespace(
        config=config, vae=plan.networks.vae, unet=denoiser, transformer=denoiser
    )


def _conditions(plan: _Plan, prompts: int) -> Conditions:
    """Text states of the shape that the denoiser attends to."""
    assert plan.entry.family is not None
    denoiser, network = plan.networks.denoiser, plan.entry.family.network
    tokens = plan.entry.family.t5_tokens or _PROMPT_TOKENS
    dtype = next(denoiser.parameters()).dtype
    if network is Network.UNET:
        width, pooled = int(denoiser.config.cross_attention_dim), 0
        if denoiser.config.addition_embed_type == "text_time":
            told = 5 if plan.entry.family.key == "sdxl-refiner" else 6
            whole = int(denoiser.config.projection_class_embeddings_input_dim)
            pooled = whole - told * int(denoiser.config.addition_time_embed_dim)
    else:
        width = int(denoiser.config.joint_attention_dim)
        pooled = int(denoiser.config.pooled_projection_dim)
    return Conditions(
        _empty(prompts, tokens, width).to(dtype),
        _empty(prompts, pooled).to(dtype) if pooled else None,
        (1.0,) * max(1, prompts - 1),
    )


def _latent(entry: ModelEntry, size: tuple[int, int]) -> tuple[int, int]:
    return size[1] // entry.factor, size[0] // entry.factor


def _empty(*shape: int) -> torch.Tensor:
    return torch.zeros(shape, device="meta")
