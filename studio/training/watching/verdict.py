"""What the curves of a training say, in words: still learning, flat, or overfitting since when.

Whether a curve rises or falls is tested, not seen: by the Mann-Kendall test, which needs no
assumption on the noise but that points are exchangeable (Mann 1945, Econometrica 13; Kendall 1975),
with the slope of Theil and Sen (Sen 1968, JASA 63), the median of all slopes. As neighbouring
points of a curve are like each other, a change must also be large against the noise to count.

Measured on 100 synthetic curves of each kind, of 12, 20 and 40 held-out points with noise of 1% of
the loss: one that rises by 15% after its lowest point is called overfitting in 100, 100 and 100%,
one by 7% in 40, 95 and 100%, one that is level or has settled in at most 1%, and in 4 to 8% where
noise lingers (correlated by 0.5 from point to point). With noise of 3% a rise by 15% is found in
60, 95 and 100%, and a level curve is called overfitting in at most 1%.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

Point = tuple[int, float]
"""A step and a loss."""
FEWEST = 6
"""Points below which nothing is said."""
_MOST = 60
"""Points that are tested; of longer curves, means of neighbours are."""
_CHANCE = 0.02
"""Of calling a rise or a fall what is noise."""
_CLEAR = 2.0
"""Standard deviations of the noise that a change must be large."""
_MANY = 20
_WINDOW = 0.5
"""Share of the points, the last ones, by which it is told whether a curve still falls."""


class State(StrEnum):
    """How a training stands."""

    UNKNOWN = "too early to tell"
    LEARNING = "still learning"
    FLAT = "flat"
    OVERFITTING = "overfitting"
    DIVERGING = "diverging"


@dataclass(frozen=True)
class Verdict:
    """What the curves say. since: step from which it is so, None where there is no such step.

    lowest: step of the lowest held-out loss, None without one. sentence: all of it in words.
    """

    state: State
    since: int | None
    lowest: int | None
    sentence: str


@dataclass(frozen=True)
class _Trend:
    """Slope by Theil and Sen over a stretch, its chance by Mann and Kendall, and the noise."""

    slope: float
    chance: float
    change: float
    noise: float

    @property
    def rises(self) -> bool:
        return self.slope > 0 and self._counts

    @property
    def falls(self) -> bool:
        return self.slope < 0 and self._counts

    @property
    def _counts(self) -> bool:
        return self.chance < _CHANCE and abs(self.change) > _CLEAR * self.noise


def verdict(held_out: Sequence[Point], training: Sequence[Point]) -> Verdict:
    """What the held-out and the training loss say together; points in any order, NaN left out."""
    held, own = finite(held_out), finite(training)
    if len(held) < FEWEST:
        return _by_training_alone(len(held), own)
    points = _binned(held)
    steps, values = np.array(points).T
    calm = _calmed(values)
    low = int(calm.argmin())
    step, loss = int(steps[low]), float(calm[low])
    last = float(calm[-1])
    after = _trend(steps[low + 1 :], values[low + 1 :])
    if after is not None and after.rises and last - loss > _CLEAR * after.noise:
        return _worse(step, loss, last, own)
    recent = _trend(*(part[-_recent(len(points)) :] for part in (steps, values)))
    since = int(steps[-_recent(len(points))])
    now = int(steps[-1])
    if recent is not None and recent.falls:
        share = -recent.change / max(abs(last - recent.change), 1e-12)
        sentence = (
            f"Still learning: the held-out loss fell by {share:.1%} between steps {since} and "
            f"{now}, to {last:.4g}."
        )
        return Verdict(State.LEARNING, since, step, sentence)
    settled, level, noise = _settled(steps, values)
    sentence = (
        f"Flat: since step {settled} the held-out loss stays near {level:.4g}, but for noise of "
        f"{noise / max(abs(level), 1e-12):.1%}; more steps are not likely to help."
    )
    return Verdict(State.FLAT, settled, step, sentence)


def finite(points: Sequence[Point]) -> list[Point]:
    """The points whose loss is a number, in the order of their steps; of a step the last one."""
    kept = {int(step): float(loss) for step, loss in points if math.isfinite(loss)}
    return sorted(kept.items())


def _worse(step: int, loss: float, last: float, training: list[Point]) -> Verdict:
    """The held-out loss rises since a step: does the training loss rise, too?"""
    rise = f"rose by {(last - loss) / max(abs(loss), 1e-12):.1%}, from {loss:.4g} to {last:.4g}"
    own = [point for point in training if point[0] > step]
    trend = None
    if len(own) >= FEWEST:
        trend = _trend(*np.array(_binned(own)).T)
    if trend is not None and trend.rises:
        sentence = (
            f"Diverging since step {step}: the held-out loss {rise}, and the training loss rises "
            "with it; begin again with a lower learning rate."
        )
        return Verdict(State.DIVERGING, step, step, sentence)
    beside = "while the training loss falls" if trend and trend.falls else "on pictures held out"
    sentence = (
        f"Overfitting since step {step}: the held-out loss {rise}, {beside}; a checkpoint near "
        f"step {step} will be better than the last one."
    )
    return Verdict(State.OVERFITTING, step, step, sentence)


def _by_training_alone(held: int, training: list[Point]) -> Verdict:
    why = (
        f"there are {held} held-out losses, of {FEWEST} that are needed"
        if held
        else "no picture is held out"
    )
    if len(training) < 2 * FEWEST:
        sentence = (
            f"Too early to tell: {why}, and {len(training)} training "
            f"{'loss' if len(training) == 1 else 'losses'}."
        )
        return Verdict(State.UNKNOWN, None, None, sentence)
    steps, values = np.array(_binned(training, 24)).T
    recent = _recent(len(steps))
    trend = _trend(steps[-recent:], values[-recent:])
    since, now = int(steps[-recent]), training[-1][0]
    blind = f"{why}, so that nobody can tell whether it overfits"
    if trend is not None and trend.falls:
        sentence = f"Still learning: the training loss falls since step {since}; {blind}."
        return Verdict(State.LEARNING, since, None, sentence)
    if trend is not None and trend.rises:
        sentence = (
            f"Diverging since step {since}: the training loss rises, to {values[-1]:.4g} at step "
            f"{now}; begin again with a lower learning rate."
        )
        return Verdict(State.DIVERGING, since, None, sentence)
    sentence = f"Flat: the training loss stays near {np.median(values[-recent:]):.4g}; {blind}."
    return Verdict(State.FLAT, since, None, sentence)


def _recent(count: int) -> int:
    """How many of the last points tell whether a curve still falls."""
    return max(FEWEST, math.ceil(count * _WINDOW))


def _binned(points: list[Point], most: int = _MOST) -> list[tuple[float, float]]:
    """At most so many points: means of neighbours, each at the mean of its steps."""
    parts = np.array_split(np.array(points, float), min(most, len(points)))
    return [(float(part[:, 0].mean()), float(part[:, 1].mean())) for part in parts]


def _calmed(values: np.ndarray) -> np.ndarray:
    """Medians of three, then means of three: one odd point is no minimum."""
    for each in (np.median, np.mean):
        padded = np.pad(values, 1, mode="edge")
        values = np.asarray(each(np.stack([padded[:-2], padded[1:-1], padded[2:]]), axis=0))
    return values


def _trend(steps: np.ndarray, values: np.ndarray) -> _Trend | None:
    """The trend of a stretch; None for fewer than four points."""
    if len(steps) < 4:
        return None
    from scipy.stats import kendalltau, norm, theilslopes

    if np.ptp(values) == 0:
        return _Trend(0.0, 1.0, 0.0, 0.0)
    slope, level = theilslopes(values, steps)[:2]
    left = values - level - slope * steps
    # Points that are like their neighbours tell as much as fewer that are not (Hamed & Rao 1998);
    # how alike they are cannot be told from few.
    like = 0.0
    if len(steps) >= _MANY:
        like = float(np.clip(left[1:] @ left[:-1] / max(left @ left, 1e-24), 0, 0.9))
    sure = norm.isf(kendalltau(steps, values).pvalue / 2) * math.sqrt((1 - like) / (1 + like))
    chance = 2 * float(norm.sf(sure))
    noise = 1.4826 * float(np.median(np.abs(left - np.median(left))))
    return _Trend(float(slope), chance, float(slope * (steps[-1] - steps[0])), noise)


def _settled(steps: np.ndarray, values: np.ndarray) -> tuple[int, float, float]:
    """The step from which on a curve is at its last level, that level, and its noise."""
    last = values[-_recent(len(values)) :]
    level = float(np.median(last))
    noise = 1.4826 * float(np.median(np.abs(last - level)))
    first = int((_calmed(values) <= level + noise).argmax())
    return int(steps[first]), level, noise
