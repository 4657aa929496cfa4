"""The denoising loop: noise in, latents out."""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from studio.diffusion.guidance import Conditions, Predict, guided


@dataclass(frozen=True)
class Step:
    """What the loop tells after each evaluation; `clean` computes the predicted clean latents."""

    index: int
    count: int
    clean: Callable[[], torch.Tensor]


def denoise(
    predict: Predict,
    scheduler: Any,
    noise: torch.Tensor,
    conditions: Callable[[float], Conditions],
    cfg_scale: float,
    generators: Sequence[torch.Generator],
    on_step: Callable[[Step], bool],
) -> torch.Tensor | None:
    """Latents (b, c, h, w) from unit noise of that shape, or None when `on_step` says stop.

    scheduler: a diffusers scheduler with its timesteps set. conditions: states for a position
    in the run, 0 to 1. on_step: called after each evaluation; False ends the run.
    """
    latents = noise * scheduler.init_noise_sigma
    extra = _extra_arguments(scheduler, generators)
    timesteps = scheduler.timesteps
    for index, t in enumerate(timesteps):
        model_input = scheduler.scale_model_input(latents, t)
        condition = conditions(index / len(timesteps))
        prediction = guided(predict, model_input, t, condition, cfg_scale)
        latents = scheduler.step(prediction, t, latents, **extra, return_dict=False)[0]

        def clean(x: torch.Tensor = model_input, e: torch.Tensor = prediction, t: Any = t) -> Any:
            return predicted_clean(scheduler, x, e, t)

        if not on_step(Step(index + 1, len(timesteps), clean)):
            return None
    return latents


def predicted_clean(
    scheduler: Any, model_input: torch.Tensor, prediction: torch.Tensor, t: torch.Tensor
) -> torch.Tensor:
    """The clean latents that a prediction implies.

    model_input is variance preserving whatever the scheduler's own scale, for that is what the
    denoiser is trained on. Source: Salimans and Ho 2022 (arXiv 2202.00512), section 4.
    """
    position = float(t)
    alphas = scheduler.alphas_cumprod
    low = min(int(position), len(alphas) - 1)
    high = min(low + 1, len(alphas) - 1)
    alpha_bar = torch.lerp(alphas[low], alphas[high], position - int(position)).to(model_input)
    alpha, sigma = alpha_bar.sqrt(), (1 - alpha_bar).sqrt()
    kind = scheduler.config.prediction_type
    if kind == "v_prediction":
        return alpha * model_input - sigma * prediction
    if kind == "sample":
        return prediction
    return (model_input - sigma * prediction) / alpha


def _extra_arguments(scheduler: Any, generators: Sequence[torch.Generator]) -> dict[str, Any]:
    """The generators, for those schedulers that add noise."""
    known = inspect.signature(scheduler.step).parameters
    return {"generator": list(generators)} if "generator" in known else {}
