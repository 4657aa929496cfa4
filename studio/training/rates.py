"""How a learning rate goes over a run, as a share of its highest.

The same curves as diffusers' `get_scheduler` and transformers' draw, from the step alone, so that a
resumed run needs no scheduler's state.
"""

import math

from studio.training_requests import RateSchedule

CYCLES = 4
"""Of a cosine with restarts (Loshchilov & Hutter 2017, arXiv 1608.03983)."""
POWER = 2.0
"""Of the polynomial; with 1, which is usual, it would be the line."""


def factor(step: int, steps: int, schedule: RateSchedule, warmup: float) -> float:
    """The share of the highest rate that a step has, 0 to 1.

    step: from 0. steps: of the run. warmup: share of all steps in which the rate rises in a line
    from 0. A run that goes on beyond its steps keeps the last share.
    """
    rising = round(warmup * steps)
    if step < rising:
        return step / rising
    done = min(1.0, (step - rising) / max(1, steps - rising))
    match schedule:
        case RateSchedule.CONSTANT:
            return 1.0
        case RateSchedule.LINEAR:
            return 1 - done
        case RateSchedule.COSINE:
            return (1 + math.cos(math.pi * done)) / 2
        case RateSchedule.COSINE_RESTARTS:
            return 0.0 if done >= 1 else (1 + math.cos(math.pi * (done * CYCLES % 1))) / 2
        case RateSchedule.POLYNOMIAL:
            return (1 - done) ** POWER
