"""How each kind of denoiser is asked for a prediction.

All of them take and give latents as (b, c, h, w), so that masks, tiles and previews need not know
which one it is.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from studio.diffusion.guidance import Conditions, Predict
from studio.diffusion.step_cache import StepCache
from studio.models.families import Network
from studio.models.ladder import working_device

_TRAIN_STEPS = 1000
_AESTHETIC_SCORES = (2.5, 6.0)
"""What the refiner is told of the negative prompt's picture and of the wanted one."""


@dataclass(frozen=True)
class Seen:
    """What a denoiser is told in every step beside latents, time and texts.

    size: width and height in pixels. beside: channels (1, c, h, w) that a model for inpainting
    reads next to the latents. distilled_cfg_scale: for models that were distilled from guidance.
    time_ids: (b, 6), for XL, of pictures whose sizes and crops are known; None for a picture to be.
    """

    size: tuple[int, int]
    beside: torch.Tensor | None = None
    distilled_cfg_scale: float | None = None
    time_ids: torch.Tensor | None = None


def predictor(network: Network, pipe: Any, seen: Seen) -> Predict:
    """The denoiser of a loaded pipeline as a function of latents, time and text states.

    For the steps of one pass: a step cache forgets what was before it.

    Its predictions are float32: schedulers add up many small steps.
    """
    return _PREDICTORS[network](pipe, seen)


def _unet(pipe: Any, seen: Seen) -> Predict:
    """The UNet of Stable Diffusion 1, 2 or XL; XL is told the picture's size as well."""
    weight = pipe.unet.dtype
    time_ids = _time_ids(pipe, seen.size).to(weight)

    def predict(latents: torch.Tensor, t: torch.Tensor, conditions: Conditions) -> torch.Tensor:
        embeds, pooled = _repeated(conditions, len(latents))
        added = None
        if pooled is not None:
            # Without guidance only the wanted half is asked for.
            count = len(conditions.embeds)
            told = time_ids[[0, *[1] * (count - 1)] if count > 1 else [1]]
            repeats = len(latents) // count
            own = told.repeat_interleave(repeats, dim=0)
            if seen.time_ids is not None:
                own = seen.time_ids.to(own)
            added = {"text_embeds": pooled, "time_ids": own}
        if seen.beside is not None:
            latents = torch.cat([latents, seen.beside.expand(len(latents), -1, -1, -1)], dim=1)
        prediction = pipe.unet(
            latents.to(weight),
            t,
            encoder_hidden_states=embeds,
            added_cond_kwargs=added,
            return_dict=False,
        )[0]
        return prediction.float()

    return predict


def _time_ids(pipe: Any, size: tuple[int, int]) -> torch.Tensor:
    """(2, 5 or 6): for the negative prompt and for the parts of the prompt.

    Source: Podell et al. 2023 (arXiv 2307.01952), section 2.2, for sizes and crops; the refiner is
    told an aesthetic score instead of the wanted size.
    """
    told = [size[1], size[0], 0, 0]
    if pipe.config.get("requires_aesthetics_score"):
        rows = [[*told, score] for score in _AESTHETIC_SCORES]
    else:
        rows = [[*told, size[1], size[0]]] * 2
    return torch.tensor(rows, device=working_device(pipe.unet))


def _sd3(pipe: Any, seen: Seen) -> Predict:
    """The transformer of Stable Diffusion 3 (Esser et al. 2024, arXiv 2403.03206)."""
    weight = pipe.transformer.dtype

    def predict(latents: torch.Tensor, t: torch.Tensor, conditions: Conditions) -> torch.Tensor:
        embeds, pooled = _repeated(conditions, len(latents))
        prediction = pipe.transformer(
            hidden_states=latents.to(weight),
            timestep=t.expand(len(latents)),
            encoder_hidden_states=embeds,
            pooled_projections=pooled,
            return_dict=False,
        )[0]
        return prediction.float()

    return predict


def _flux(pipe: Any, seen: Seen) -> Predict:
    """The transformer of FLUX.1, which reads patches of two by two latents in one row."""
    weight = pipe.transformer.dtype
    cache = StepCache(pipe.transformer)
    distilled = None
    if pipe.transformer.config.guidance_embeds:
        distilled = torch.tensor([seen.distilled_cfg_scale or 0.0])
        distilled = distilled.to(working_device(pipe.transformer))

    def predict(latents: torch.Tensor, t: torch.Tensor, conditions: Conditions) -> torch.Tensor:
        embeds, pooled = _repeated(conditions, len(latents))
        height, width = latents.shape[-2:]
        with cache.step(conditions.embeds):
            prediction = pipe.transformer(
                hidden_states=packed(latents).to(weight),
                timestep=t.expand(len(latents)) / _TRAIN_STEPS,
                guidance=None if distilled is None else distilled.expand(len(latents)),
                pooled_projections=pooled,
                encoder_hidden_states=embeds,
                txt_ids=torch.zeros(embeds.shape[1], 3, device=latents.device),
                img_ids=_places(height // 2, width // 2).to(latents.device),
                return_dict=False,
            )[0]
        return unpacked(prediction.float(), height, width)

    return predict


def packed(latents: torch.Tensor) -> torch.Tensor:
    """Latents (b, c, h, w) as a row of patches (b, h / 2 * w / 2, 4 c)."""
    count, channels, height, width = latents.shape
    patches = latents.view(count, channels, height // 2, 2, width // 2, 2)
    return patches.permute(0, 2, 4, 1, 3, 5).reshape(count, -1, channels * 4)


def unpacked(row: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """The inverse of `packed`, for latents of that height and width."""
    patches = row.view(len(row), height // 2, width // 2, -1, 2, 2)
    return patches.permute(0, 3, 1, 4, 2, 5).reshape(len(row), -1, height, width)


def _places(rows: int, columns: int) -> torch.Tensor:
    """(rows * columns, 3): zero, and each patch's row and column."""
    grid = torch.cartesian_prod(torch.arange(rows), torch.arange(columns)).float()
    return torch.nn.functional.pad(grid, (1, 0))


def _repeated(conditions: Conditions, count: int) -> tuple[torch.Tensor, Any]:
    """The text states and the pooled ones, each as often as there are pictures of it."""
    repeats = count // len(conditions.embeds)
    pooled = conditions.pooled
    return (
        conditions.embeds.repeat_interleave(repeats, dim=0),
        None if pooled is None else pooled.repeat_interleave(repeats, dim=0),
    )


_PREDICTORS: dict[Network, Callable[[Any, Seen], Predict]] = {
    Network.UNET: _unet,
    Network.SD3: _sd3,
    Network.FLUX: _flux,
}
