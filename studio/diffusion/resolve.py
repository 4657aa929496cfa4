"""What a generation request leaves open, filled in at submission; free of torch.

What is stored is then all that the pixels depend on, and every refusal comes before the queue.
"""

import random
from typing import TypeVar

from studio.diffusion.networks_called import check_loras, loras_of
from studio.diffusion.prompt import parse_weights, plan
from studio.diffusion.samplers import check_sampler, check_steps
from studio.diffusion.sizes import check_multiple, check_side, enlarged_size, multiple_below
from studio.diffusion.upscaling.choices import check_upscaler
from studio.errors import PromptError, RequestError
from studio.models.adapters import LoraShelf
from studio.models.catalogue import Catalogue
from studio.models.entry import ModelEntry
from studio.models.speedups import QUANTISED, check_speedups, loader_of, title_of
from studio.models.upscalers import UpscalerShelf
from studio.requests import (
    SEED_LIMIT,
    Curve,
    EditRequest,
    GenerationRequest,
    MaskedContent,
    PictureRequest,
    Schedule,
    Speedup,
    TimingRequest,
    UpscaleRequest,
)
from studio.store.inputs import InputStore
from studio.store.intake import MAX_PIXELS

_DRAWN_SEEDS = 2**32
"""Drawn seeds stay in the range that all of the field's tools take."""


HIRES_SIDE_LIMIT = 4096
UPSCALE_SIDE_LIMIT = 16384


def resolve_generation(
    request: GenerationRequest, catalogue: Catalogue, shelf: UpscalerShelf
) -> GenerationRequest:
    """The request with model, size, CFG scale and seeds set.

    Raises RequestError (with the field at fault) or ModelError when it cannot be done.
    """
    entry = catalogue.usable(request.model)
    size = {"width": request.width or entry.width, "height": request.height or entry.height}
    for field, value in size.items():
        check_multiple(field, value, entry)
        check_side(field, value, entry)
    resolved = _resolved(request, entry, catalogue.loras).model_copy(update=size)
    if request.hires_scale > 1:
        _check_second_pass(resolved, max(size.values()), entry, shelf)
    return resolved


def _check_second_pass(
    request: GenerationRequest, side: int, entry: ModelEntry, shelf: UpscalerShelf
) -> None:
    check_upscaler("hires_upscaler", request.hires_upscaler, shelf, latent=True)
    if request.hires_sampler:
        assert entry.family is not None
        check_sampler(
            request.hires_sampler,
            Schedule.AUTOMATIC,
            flow=entry.family.flow,
            field="hires_sampler",
        )
    if side * request.hires_scale > HIRES_SIDE_LIMIT:
        raise RequestError(
            f"The second pass would be {side * request.hires_scale:,.0f} pixels long, but at most "
            f"{HIRES_SIDE_LIMIT:,} are possible; choose a smaller scale, or upscale the finished "
            "picture in tiles.",
            field="hires_scale",
        )
    check_side("hires_scale", round(side * request.hires_scale), entry)
    sampler, steps = request.hires_sampler or request.sampler, request.hires_steps or request.steps
    check_steps(sampler, steps, "hires_steps" if request.hires_steps else "steps")
    for field in ("hires_prompt", "hires_negative_prompt"):
        _check_prompt(field, request, steps)


def resolve_upscale(
    request: UpscaleRequest, catalogue: Catalogue, inputs: InputStore, shelf: UpscalerShelf
) -> UpscaleRequest:
    """The request with model, tiles, CFG scale and seeds set, as far as it redraws.

    Raises RequestError (with the field at fault), NotFound or ModelError when it cannot be done.
    """
    if not request.source:
        raise RequestError("There is no picture to enlarge; drop or send one first.", "source")
    check_upscaler("upscaler", request.upscaler, shelf)
    size = inputs.size(request.source)
    width, height = enlarged_size(size, request.scale)
    if width * height > MAX_PIXELS or max(width, height) > UPSCALE_SIDE_LIMIT:
        raise RequestError(
            f"The picture would be {width:,}x{height:,}, but at most {MAX_PIXELS // 10**6} million "
            f"pixels and {UPSCALE_SIDE_LIMIT:,} a side are possible; choose a smaller scale.",
            field="scale",
        )
    request = request.model_copy(update={"batch_size": 1, "batch_count": 1})
    if request.strength == 0:
        return request
    entry = catalogue.usable(request.model)
    tile = request.tile or multiple_below(min(entry.width, entry.height), entry.multiple)
    check_multiple("tile", tile, entry)
    check_side("tile", tile, entry)
    if tile < 8 * entry.factor:
        raise RequestError(
            f"Tile is {tile}, but {entry.title} needs at least {8 * entry.factor} pixels to see "
            "anything; choose a larger one, or 0 for the model's own size.",
            field="tile",
        )
    return _resolved(request, entry, catalogue.loras).model_copy(update={"tile": tile})


def resolve_edit(request: EditRequest, catalogue: Catalogue, inputs: InputStore) -> EditRequest:
    """The request with model, CFG scale and seeds set; its source and mask are here and fit.

    Raises RequestError (with the field at fault), NotFound or ModelError when it cannot be done.
    """
    if not request.source:
        raise RequestError("There is no picture to change; drop or send one first.", "source")
    if (request.curve is Curve.POINTS) != bool(request.curve_points):
        raise RequestError(
            "Curve 'points' needs curve points, and no other curve takes them.", "curve_points"
        )
    entry = catalogue.usable(request.model)
    for field in ("width", "height"):
        if value := getattr(request, field):
            check_multiple(field, value, entry)
    resolved = _resolved(request, entry, catalogue.loras)
    # What cannot be done is refused now, not when the job's turn comes. Filling the hole takes
    # long on large pictures and can refuse nothing.
    from studio.diffusion.editing.canvas import prepare

    trial = resolved.model_copy(update={"masked_content": MaskedContent.ORIGINAL})
    mask = inputs.open(request.mask) if request.mask else None
    prepare(trial, inputs.open(request.source), mask, entry)
    return resolved


def resolve_timing(request: TimingRequest, catalogue: Catalogue) -> TimingRequest:
    """The request with model, size and steps set.

    Raises RequestError (with the field at fault) or ModelError when it cannot be done.
    """
    entry = catalogue.usable(request.model)
    size = {"width": request.width or entry.width, "height": request.height or entry.height}
    for field, value in size.items():
        check_multiple(field, value, entry)
        check_side(field, value, entry)
    steps = request.steps or entry.steps
    check_steps(entry.sampler, steps)
    return request.model_copy(update={"model": entry.id, "steps": steps, **size})


_Asked = TypeVar("_Asked", bound=PictureRequest)


def _resolved(request: _Asked, entry: ModelEntry, loras: LoraShelf) -> _Asked:
    own = {"sampler": entry.sampler, "steps": entry.steps}
    request = request.model_copy(
        update={name: own[name] for name in own if name not in request.model_fields_set}
    )
    assert entry.family is not None
    check_sampler(request.sampler, request.schedule, flow=entry.family.flow)
    check_steps(request.sampler, request.steps)
    for field in ("prompt", "negative_prompt"):
        _check_prompt(field, request, request.steps)
    check_loras(request.prompt, entry, loras)
    check_speedups(request.speedups, entry, tiled=isinstance(request, UpscaleRequest))
    if loader_of(request.speedups) == QUANTISED and loras_of(request.prompt, loras):
        raise RequestError(
            "A model of 8-bit weights cannot wear LoRA files; leave out the LoRAs or the speed-up "
            f"{title_of(Speedup.INT8)!r}.",
            field="speedups",
        )
    return request.model_copy(
        update={
            "model": entry.id,
            "cfg_scale": entry.cfg_scale if request.cfg_scale is None else request.cfg_scale,
            "distilled_cfg_scale": _distilled(request, entry),
            "seed": _drawn(request.seed),
            "variation_seed": _drawn(request.variation_seed),
        }
    )


def _distilled(request: PictureRequest, entry: ModelEntry) -> float | None:
    """None for a model that takes none: whoever changes the model need not clear the field."""
    if entry.distilled_cfg_scale is None or request.distilled_cfg_scale is None:
        return entry.distilled_cfg_scale
    return request.distilled_cfg_scale


def of_one_picture(request: _Asked, seed: int, variation: int) -> _Asked:
    """The request that makes just one picture of a resolved job again."""
    return request.model_copy(
        update={"seed": seed, "variation_seed": variation, "batch_size": 1, "batch_count": 1}
    )


def _check_prompt(field: str, request: PictureRequest, steps: int) -> None:
    composable = "negative" not in field
    try:
        for text in plan(getattr(request, field), steps, composable=composable).texts():
            parse_weights(text)
    except PromptError as error:
        raise PromptError(str(error), field=field) from None


def _drawn(seed: int) -> int:
    return random.SystemRandom().randrange(_DRAWN_SEEDS) if seed == -1 else min(seed, SEED_LIMIT)
