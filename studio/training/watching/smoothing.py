"""Curves as people look at them: smoothed, without the lag of a running mean that begins at 0."""

from collections.abc import Iterable
from math import isfinite


def smoothed(values: Iterable[float], weight: float = 0.9) -> list[float]:
    """Running exponential means, debiased, as TensorBoard's scalar charts draw them.

    weight: of the past, from 0 (nothing is smoothed) to below 1. The mean m of step t becomes
    weight * m + (1 - weight) * value, and is shown divided by 1 - weight^t. What is not finite is
    passed through and forgotten. Raises ValueError for another weight.
    """
    if not 0 <= weight < 1:
        raise ValueError(f"weight is {weight}, but must be from 0 to below 1")
    shown: list[float] = []
    mean, share = 0.0, 1.0
    for value in values:
        if not isfinite(value):
            shown.append(value)
            continue
        mean = weight * mean + (1 - weight) * value
        share *= weight
        shown.append(mean / (1 - share))
    return shown
