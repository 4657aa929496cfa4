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
    latents: torch.Tensor,
    conditions: Callable[[float], Conditions],
    cfg_scale: float,
    generators: Sequence[torch.Generator],
    on_step: Callable[[Step], bool],
    after: Callable[[torch.Tensor, int], torch.Tensor] | None = None,
) -> torch.Tensor | None:
    """Clean latents (b, c, h, w) from noisy ones, or None when `on_step` says stop.

    scheduler: a diffusers scheduler with its timesteps set, and its begin index when it is to
    start late. latents: as noisy as the first step wants them, in the scheduler's own scale.
    conditions: states for a position in the run, 0 to 1. on_step: called after each evaluation;
    False ends the run. after: changes the latents after an evaluation, given its number from 1.
    """
    extra = _extra_arguments(scheduler, generators)
    timesteps = steps_of(scheduler)
    for index, t in enumerate(timesteps):
        model_input = _scaled(scheduler, latents, t)
        condition = conditions(index / len(timesteps))
        prediction = guided(predict, model_input, t, condition, cfg_scale)
        latents = scheduler.step(prediction, t, latents, **extra, return_dict=False)[0]
        if after is not None:
            latents = after(latents, index + 1)

        def clean(x: torch.Tensor = model_input, e: torch.Tensor = prediction, t: Any = t) -> Any:
            return predicted_clean(scheduler, x, e, t)

        if not on_step(Step(index + 1, len(timesteps), clean)):
            return None
    return latents


def steps_of(scheduler: Any) -> Any:
    """The timesteps from the one on that the scheduler begins with."""
    return scheduler.timesteps[getattr(scheduler, "begin_index", None) or 0 :]


def noised(scheduler: Any, latents: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
    """Clean latents with noise (b, c, h, w), as noisy as where the scheduler begins."""
    return noised_at(scheduler, latents.expand_as(noise), noise, steps_of(scheduler)[0])


def noised_at(
    scheduler: Any, latents: torch.Tensor, noise: torch.Tensor, t: torch.Tensor
) -> torch.Tensor:
    """Clean latents with noise, both (b, c, h, w), as noisy as one of the scheduler's times.

    A flow goes straight from the latents to the noise (Lipman et al. 2022, arXiv 2210.02747).
    """
    if _is_flow(scheduler):
        return torch.lerp(latents, noise, _sigma(scheduler, t).to(noise))
    noisy: torch.Tensor = scheduler.add_noise(latents, noise, t.expand(len(noise)))
    return noisy.to(noise)


def first_latents(
    scheduler: Any, latents: torch.Tensor, noise: torch.Tensor, strength: float
) -> torch.Tensor:
    """What a run at a strength begins with: clean latents with noise, or at strength 1 noise alone.

    Even the last timestep's noise would let some of the latents through.
    """
    if strength == 1:
        return noise * first_sigma(scheduler)
    return noised(scheduler, latents, noise)


def first_sigma(scheduler: Any) -> Any:
    """What unit noise is multiplied by before the first step; a flow begins with unit noise."""
    return getattr(scheduler, "init_noise_sigma", 1.0)


def predicted_clean(
    scheduler: Any, model_input: torch.Tensor, prediction: torch.Tensor, t: torch.Tensor
) -> torch.Tensor:
    """The clean latents that a prediction implies.

    model_input is variance preserving whatever the scheduler's own scale, for that is what the
    denoiser is trained on. Source: Salimans and Ho 2022 (arXiv 2202.00512), section 4.
    """
    if _is_flow(scheduler):
        return model_input - _sigma(scheduler, t).to(model_input) * prediction
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


def _is_flow(scheduler: Any) -> bool:
    """Whether it is for a model that was trained by flow matching."""
    kind = scheduler.config.get("prediction_type", "flow_prediction")
    return bool(kind == "flow_prediction")


def _sigma(scheduler: Any, t: torch.Tensor) -> torch.Tensor:
    """The share of noise at one of a flow's times."""
    return t / scheduler.config.num_train_timesteps


def _scaled(scheduler: Any, latents: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    """Latents as the denoiser wants them; a flow's are that anyway."""
    scale = getattr(scheduler, "scale_model_input", None)
    return latents if scale is None else scale(latents, t)


def _extra_arguments(scheduler: Any, generators: Sequence[torch.Generator]) -> dict[str, Any]:
    """The generators, for those schedulers that add noise."""
    known = inspect.signature(scheduler.step).parameters
    return {"generator": list(generators)} if "generator" in known else {}
