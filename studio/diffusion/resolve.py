"""What a generation request leaves open, filled in at submission; free of torch.

What is stored is then all that the pixels depend on, and every refusal comes before the queue.
"""

import random
from typing import TypeVar

from studio.diffusion.prompt import parse_weights, plan
from studio.diffusion.samplers import check_schedule, check_steps
from studio.errors import PromptError, RequestError
from studio.models.catalogue import Catalogue, ModelEntry
from studio.requests import (
    SEED_LIMIT,
    Curve,
    EditRequest,
    GenerationRequest,
    MaskedContent,
    PictureRequest,
)
from studio.store.inputs import InputStore

_DRAWN_SEEDS = 2**32
"""Drawn seeds stay in the range that all of the field's tools take."""


def resolve_generation(request: GenerationRequest, catalogue: Catalogue) -> GenerationRequest:
    """The request with model, size, CFG scale and seeds set.

    Raises RequestError (with the field at fault) or ModelError when it cannot be done.
    """
    entry = catalogue.usable(request.model)
    size = {"width": request.width or entry.width, "height": request.height or entry.height}
    for field, value in size.items():
        _check_multiple(field, value, entry)
    return _resolved(request, entry).model_copy(update=size)


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
            _check_multiple(field, value, entry)
    resolved = _resolved(request, entry)
    # What cannot be done is refused now, not when the job's turn comes. Filling the hole takes
    # long on large pictures and can refuse nothing.
    from studio.diffusion.editing.canvas import prepare

    trial = resolved.model_copy(update={"masked_content": MaskedContent.ORIGINAL})
    mask = inputs.open(request.mask) if request.mask else None
    prepare(trial, inputs.open(request.source), mask, entry)
    return resolved


_Asked = TypeVar("_Asked", bound=PictureRequest)


def _resolved(request: _Asked, entry: ModelEntry) -> _Asked:
    check_schedule(request.sampler, request.schedule)
    check_steps(request.sampler, request.steps)
    _check_prompt("prompt", request)
    _check_prompt("negative_prompt", request)
    return request.model_copy(
        update={
            "model": entry.id,
            "cfg_scale": entry.cfg_scale if request.cfg_scale is None else request.cfg_scale,
            "seed": _drawn(request.seed),
            "variation_seed": _drawn(request.variation_seed),
        }
    )


def of_one_picture(request: _Asked, seed: int, variation: int) -> _Asked:
    """The request that makes just one picture of a resolved job again."""
    return request.model_copy(
        update={"seed": seed, "variation_seed": variation, "batch_size": 1, "batch_count": 1}
    )


def _check_prompt(field: str, request: PictureRequest) -> None:
    composable = field == "prompt"
    try:
        for text in plan(getattr(request, field), request.steps, composable=composable).texts():
            parse_weights(text)
    except PromptError as error:
        raise PromptError(str(error), field=field) from None


def _drawn(seed: int) -> int:
    return random.SystemRandom().randrange(_DRAWN_SEEDS) if seed == -1 else min(seed, SEED_LIMIT)


def _check_multiple(field: str, value: int, entry: ModelEntry) -> None:
    if value % entry.factor:
        nearest = max(entry.factor, round(value / entry.factor) * entry.factor)
        raise RequestError(
            f"{field.capitalize()} is {value}, but {entry.title} needs a multiple of "
            f"{entry.factor}; the nearest is {nearest}.",
            field=field,
        )
