"""How fast a denoised picture is held to its source, step by step.

Holding is mixing with the source, made as noisy as the step: where the hold is 1 the step starts
from the source alone, where it is 0 the picture is free. A mask holds what lies outside it to the
end; a strength holds everything until its share of the run is left; a curve lets go slowly after
that; soft inpainting lets each pixel go when its own share begins (Levin and Fried 2023,
"Differential Diffusion", arXiv 2306.00950, algorithm 1).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch

from studio.diffusion.denoise import noised_at
from studio.requests import Curve


def hold_at(position: float, curve: Curve, points: Sequence[tuple[float, float]] = ()) -> float:
    """The hold on the whole picture, 0 to 1, at a position 0 to 1 in the steps that are done."""
    if curve is Curve.LINEAR:
        return 1 - position
    if curve is Curve.COSINE:
        return 0.5 + 0.5 * math.cos(math.pi * position)
    if curve is Curve.POINTS:
        return _between(sorted(points), position)
    return 0.0


def _between(points: Sequence[tuple[float, float]], position: float) -> float:
    """Straight lines from point to point, level before the first and after the last."""
    if position <= points[0][0]:
        return points[0][1]
    for (x0, y0), (x1, y1) in pairwise(points):
        if position <= x1:
            return y1 if x1 == x0 else y0 + (y1 - y0) * (position - x0) / (x1 - x0)
    return points[-1][1]


def free_latents(mask: np.ndarray, factor: int) -> torch.Tensor:
    """The largest value of a mask (h, w) below each latent, 0 to 1, (1, 1, h / f, w / f).

    Any other pooling would hold latents that still have masked pixels, and leave seams.
    """
    tensor = torch.from_numpy(np.ascontiguousarray(mask)).float()[None, None]
    tensor = tensor / 255 if mask.dtype == np.uint8 else tensor
    return torch.nn.functional.max_pool2d(tensor, factor)


@dataclass(frozen=True)
class Hold:
    """The source's side of every step.

    source: clean latents (1, c, h, w). noise: (b, c, h, w). free: (1, 1, h, w), 1 where the mask
    lets go. soft: `free` is each latent's own share of the run, not a yes or no.
    """

    source: torch.Tensor
    noise: torch.Tensor
    free: torch.Tensor | None
    soft: bool
    curve: Callable[[float], float]

    def after(self, scheduler: Any, timesteps: torch.Tensor) -> Callable[..., torch.Tensor]:
        """What to do with the latents after each evaluation."""
        source = self.source.expand_as(self.noise)

        def mix(latents: torch.Tensor, done: int) -> torch.Tensor:
            position = done / len(timesteps)
            weight = self.weight(position)
            if weight is None:
                return latents
            known = source
            if done < len(timesteps):
                known = noised_at(scheduler, source, self.noise, timesteps[done])
            return torch.lerp(latents, known.to(latents), weight.to(latents))

        return mix

    def weight(self, position: float) -> torch.Tensor | None:
        """How much of the source is taken, 0 to 1, (1, 1, h, w) or one number; None for nothing."""
        level = torch.tensor(self.curve(position), device=self.noise.device)
        if self.free is None:
            return level if level > 0 else None
        free = (self.free > 0) & (self.free >= 1 - position) if self.soft else self.free > 0
        return torch.maximum(1 - free.float(), level)
