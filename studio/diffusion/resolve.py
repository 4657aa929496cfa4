"""What a generation request leaves open, filled in at submission; free of torch.

What is stored is then all that the pixels depend on, and every refusal comes before the queue.
"""

import random

from studio.diffusion.prompt import parse_weights, plan
from studio.diffusion.samplers import check_schedule, check_steps
from studio.errors import PromptError, RequestError
from studio.models.catalogue import Catalogue, ModelEntry
from studio.requests import SEED_LIMIT, GenerationRequest

_DRAWN_SEEDS = 2**32
"""Drawn seeds stay in the range that all of the field's tools take."""


def resolve_generation(request: GenerationRequest, catalogue: Catalogue) -> GenerationRequest:
    """The request with model, size, CFG scale and seeds set.

    Raises RequestError (with the field at fault) or ModelError when it cannot be done.
    """
    entry = catalogue.usable(request.model)
    check_schedule(request.sampler, request.schedule)
    check_steps(request.sampler, request.steps)
    _check_prompt("prompt", request)
    _check_prompt("negative_prompt", request)
    size = {"width": request.width or entry.width, "height": request.height or entry.height}
    for field, value in size.items():
        _check_multiple(field, value, entry)
    return request.model_copy(
        update={
            "model": entry.id,
            "cfg_scale": entry.cfg_scale if request.cfg_scale is None else request.cfg_scale,
            "seed": _drawn(request.seed),
            "variation_seed": _drawn(request.variation_seed),
            **size,
        }
    )


def of_one_picture(request: GenerationRequest, seed: int, variation: int) -> GenerationRequest:
    """The request that makes just one picture of a resolved job again."""
    return request.model_copy(
        update={"seed": seed, "variation_seed": variation, "batch_size": 1, "batch_count": 1}
    )


def _check_prompt(field: str, request: GenerationRequest) -> None:
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
