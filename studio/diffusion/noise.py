"""The noise that pictures start from: drawn on the CPU, one generator a picture.

So picture i is the same whatever the batch size, the device or the moment.
"""

from dataclasses import dataclass

import torch

from studio.requests import SEED_LIMIT


@dataclass(frozen=True)
class Seeds:
    """What fixes one picture's noise; strength 0 leaves the variation seed out."""

    seed: int
    variation_seed: int = 0
    variation_strength: float = 0.0


def seeds_of(first: int, variation: int, strength: float, count: int) -> list[Seeds]:
    """The seeds of a job's pictures.

    Without a variation the seed counts up; with one it stays and the variation seed counts up,
    so that a row of pictures shows variations of the same one, as the field's tools do.
    """
    limit = SEED_LIMIT + 1
    if strength == 0:
        return [Seeds((first + i) % limit) for i in range(count)]
    return [Seeds(first, (variation + i) % limit, strength) for i in range(count)]


def draw(seeds: Seeds, shape: tuple[int, ...]) -> tuple[torch.Tensor, torch.Generator]:
    """Unit Gaussian noise of a shape, and the generator for the noise that samplers add later."""
    generator = torch.Generator("cpu").manual_seed(seeds.seed)
    noise = torch.randn(shape, generator=generator)
    if seeds.variation_strength > 0:
        other = torch.Generator("cpu").manual_seed(seeds.variation_seed)
        noise = slerp(noise, torch.randn(shape, generator=other), seeds.variation_strength)
    return noise, generator


def slerp(start: torch.Tensor, end: torch.Tensor, amount: float) -> torch.Tensor:
    """The point at `amount` (0 to 1) on the arc between two tensors, seen as vectors.

    Source: Shoemake, "Animating rotation with quaternion curves", SIGGRAPH 1985. A straight
    mixture of Gaussian noise would lose variance half-way and give pale pictures.
    """
    cosine = torch.sum(start * end) / (start.norm() * end.norm())
    angle = torch.acos(cosine.clamp(-1, 1))
    if angle < 1e-4:
        return torch.lerp(start, end, amount)
    first = torch.sin((1 - amount) * angle)
    second = torch.sin(amount * angle)
    return (first * start + second * end) / torch.sin(angle)
