"""What a denoiser learns to predict: noise levels, targets and weights, drawn from seeds.

Diffusion after Ho et al. 2020 (arXiv 2006.11239), predicting noise or velocity (Salimans and Ho
2022, arXiv 2202.00512), weighed by min-SNR (Hang et al. 2023, arXiv 2303.09556); flow matching with
logit-normal times (Esser et al. 2024, arXiv 2403.03206, section 3.1).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch

_COARSEST = 10
"""Levels of multi-resolution noise at most; a side of one latent ends it earlier."""


@dataclass(frozen=True)
class Noised:
    """What a denoiser is shown and what it should say.

    latents, target: (b, c, h, w). times: (b,), as the denoiser counts them. weights: (b,).
    """

    latents: torch.Tensor
    times: torch.Tensor
    target: torch.Tensor
    weights: torch.Tensor


class Process(Protocol):
    """How latents become noise."""

    def drawn(self, generator: torch.Generator) -> float:
        """A random position in the process, 0 clean to 1 noise."""
        ...

    def at(self, latents: torch.Tensor, noise: torch.Tensor, places: torch.Tensor) -> Noised:
        """Clean latents and noise (b, c, h, w) at positions (b,) of the process."""
        ...


class Diffusion:
    """A variance-preserving diffusion, as a model's scheduler describes it.

    config: the scheduler's. gamma: cap of the signal-to-noise ratio that counts, 0 for none.
    """

    def __init__(self, config: Any, gamma: float = 0.0):
        import diffusers

        scheduler = diffusers.DDPMScheduler.from_config(config)
        self._bars = scheduler.alphas_cumprod
        self._kind = scheduler.config.prediction_type
        self._gamma = gamma

    def drawn(self, generator: torch.Generator) -> float:
        """A position, all alike."""
        return float(torch.rand((), generator=generator, dtype=torch.float64))

    def at(self, latents: torch.Tensor, noise: torch.Tensor, places: torch.Tensor) -> Noised:
        """Latents at the timesteps of these positions."""
        count = len(self._bars)
        times = (places * count).long().clamp(0, count - 1)
        bars = self._bars.to(latents.device)[times]
        alpha, sigma = bars.sqrt()[:, None, None, None], (1 - bars).sqrt()[:, None, None, None]
        mixed = alpha * latents + sigma * noise
        match self._kind:
            case "v_prediction":
                target = alpha * noise - sigma * latents
            case "sample":
                target = latents
            case _:
                target = noise
        return Noised(mixed, times, target, self._weights(bars))

    def _weights(self, bars: torch.Tensor) -> torch.Tensor:
        """Equations 6 to 8 of Hang et al. for what is predicted."""
        if not self._gamma:
            return torch.ones_like(bars)
        ratio = bars / (1 - bars)
        capped = ratio.clamp(max=self._gamma)
        match self._kind:
            case "v_prediction":
                return capped / (ratio + 1)
            case "sample":
                return capped
            case _:
                # Where nothing but noise is left, the ratio is 0 and so is its cap.
                return torch.where(ratio > 0, capped / ratio.clamp(min=1e-12), 1.0)


class Flow:
    """A straight way from latents to noise. config: the scheduler's, whose shift is taken."""

    def __init__(self, config: Any):
        self._count = int(config.get("num_train_timesteps", 1000))
        dynamic = bool(config.get("use_dynamic_shifting"))
        self._shift = 1.0 if dynamic else float(config.get("shift", 1.0))

    def drawn(self, generator: torch.Generator) -> float:
        """A logit-normal position."""
        value = torch.randn((), generator=generator, dtype=torch.float64)
        return float(torch.sigmoid(value))

    def at(self, latents: torch.Tensor, noise: torch.Tensor, places: torch.Tensor) -> Noised:
        """Latents at the shifted times of these positions."""
        share = places.to(latents)
        share = self._shift * share / (1 + (self._shift - 1) * share)
        mixed = torch.lerp(latents, noise, share[:, None, None, None])
        return Noised(mixed, share * self._count, noise - latents, torch.ones_like(share))


def process_of(config: Any, *, flow: bool, gamma: float = 0.0) -> Process:
    """The process of a model's scheduler; gamma counts for a diffusion alone."""
    return Flow(config) if flow else Diffusion(config, gamma)


def noise_of(
    shape: Sequence[int], generator: torch.Generator, offset: float = 0.0, multires: float = 0.0
) -> torch.Tensor:
    """Unit noise (c, h, w), with an offset a channel, and with coarser noise in it.

    offset: of the offset's deviation (https://www.crosslabs.org/blog/diffusion-with-offset-noise).
    multires: by how much each coarser level counts less than the one before it, as kohya-ss does;
    the sum is brought back to unit variance.
    """
    noise = torch.randn(*shape, generator=generator)
    if offset:
        noise = noise + offset * torch.randn(shape[0], 1, 1, generator=generator)
    if not multires:
        return noise
    height, width = shape[-2:]
    for level in range(1, _COARSEST + 1):
        # A factor between 2 and 4 a level, so that no size is preferred.
        factor = float(torch.rand((), generator=generator)) * 2 + 2
        height, width = max(1, int(height / factor)), max(1, int(width / factor))
        coarse = torch.randn(1, shape[0], height, width, generator=generator)
        spread = torch.nn.functional.interpolate(coarse, tuple(shape[-2:]), mode="bilinear")
        noise = noise + spread[0] * multires**level
        if height == 1 or width == 1:
            break
    return noise / noise.std()
