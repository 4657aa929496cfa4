"""Verdicts on curves of which the truth is known, with noise as real ones have it."""

import math
from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest

from studio.training.watching.verdict import FEWEST, Point, State, finite, verdict

Shape = Callable[[np.ndarray], np.ndarray]
RUNS = 20


def learning(u: np.ndarray) -> np.ndarray:
    return 0.1 + 0.04 * np.exp(-2 * u)


def settling(u: np.ndarray) -> np.ndarray:
    return 0.1 + 0.04 * np.exp(-12 * u)


def level(u: np.ndarray) -> np.ndarray:
    return 0.1 + 0 * u


def turning(u: np.ndarray) -> np.ndarray:
    """Lowest at 0.4, then up by 20%."""
    return 0.1 + 0.04 * np.exp(-10 * u) + 0.02 * np.maximum(u - 0.4, 0) / 0.6


def curve(
    shape: Shape, points: int, noise: float, rng: np.random.Generator, like: float = 0.0
) -> list[Point]:
    """Points of a shape over 1,000 steps. noise: its share of the loss; like: from point to
    point."""
    u = np.linspace(0, 1, points)
    fresh = rng.normal(0, noise, points)
    errors = fresh.copy()
    for i in range(1, points):
        errors[i] = like * errors[i - 1] + math.sqrt(1 - like**2) * fresh[i]
    losses = shape(u) * (1 + errors)
    return [(round(1000 * a), float(b)) for a, b in zip(u, losses, strict=True)]


def told(held: Shape, own: Shape, points: int, noise: float, like: float = 0.0) -> Counter[State]:
    """How often each verdict falls; single steps' losses jump by 35%."""
    rng = np.random.default_rng(5)
    return Counter(
        verdict(curve(held, points, noise, rng, like), curve(own, 400, 0.35, rng)).state
        for _ in range(RUNS)
    )


@pytest.mark.parametrize(
    ("held", "own", "points", "noise", "state", "least"),
    [
        (learning, learning, 12, 0.005, State.LEARNING, 0.9),
        (learning, learning, 20, 0.01, State.LEARNING, 0.9),
        (learning, learning, 40, 0.03, State.LEARNING, 0.6),
        (settling, settling, 12, 0.01, State.FLAT, 0.9),
        (settling, settling, 40, 0.03, State.FLAT, 0.9),
        (level, level, 20, 0.03, State.FLAT, 0.9),
        (turning, learning, 12, 0.01, State.OVERFITTING, 0.9),
        (turning, learning, 20, 0.03, State.OVERFITTING, 0.85),
        (turning, settling, 40, 0.03, State.OVERFITTING, 0.95),
        (turning, lambda u: 0.1 + 0.1 * np.maximum(u - 0.5, 0), 20, 0.01, State.DIVERGING, 0.8),
    ],
)
def test_most_curves_are_told_for_what_they_are(held, own, points, noise, state, least):
    assert told(held, own, points, noise)[state] >= least * RUNS


@pytest.mark.parametrize("points", [12, 40])
@pytest.mark.parametrize("noise", [0.01, 0.03])
@pytest.mark.parametrize("shape", [learning, settling, level])
def test_noise_is_hardly_ever_called_overfitting(shape, points, noise):
    assert told(shape, shape, points, noise)[State.OVERFITTING] <= 0.07 * RUNS


def test_noise_that_lingers_is_seldom_called_overfitting():
    for points in (12, 20, 40):
        assert told(level, level, points, 0.02, like=0.5)[State.OVERFITTING] <= 0.2 * RUNS


def test_the_step_of_the_turn_is_found():
    rng = np.random.default_rng(1)
    found = [verdict(curve(turning, 20, 0.01, rng), []).since for _ in range(RUNS)]
    assert all(step is not None and 250 <= step <= 550 for step in found)


def test_the_sentence_has_the_numbers():
    held = [(100 * i, loss) for i, loss in enumerate((9, 7, 5, 4, 5, 6, 7, 8, 9, 10))]
    own = [(10 * i, 10 - 0.05 * i) for i in range(90)]
    found = verdict(held, own)
    assert found.state is State.OVERFITTING
    assert found.since == found.lowest == 300
    assert found.sentence.startswith("Overfitting since step 300: the held-out loss rose by ")
    assert "while the training loss falls" in found.sentence
    assert "near step 300" in found.sentence


def test_both_losses_rising_is_no_overfitting():
    held = [(100 * i, loss) for i, loss in enumerate((9, 7, 5, 4, 5, 6, 7, 8, 9, 10))]
    own = [(10 * i, 1 + max(0, i - 30) / 10) for i in range(90)]
    found = verdict(held, own)
    assert found.state is State.DIVERGING
    assert "lower learning rate" in found.sentence


@pytest.mark.parametrize("held", [[], [(5, 0.1)], [(i, 0.1) for i in range(FEWEST - 1)]])
@pytest.mark.parametrize("own", [[], [(1, 0.5)]])
def test_few_points_tell_nothing(held, own):
    found = verdict(held, own)
    assert (found.state, found.since, found.lowest) == (State.UNKNOWN, None, None)
    assert found.sentence.startswith("Too early to tell: ")
    assert (f"{len(held)} held-out losses" if held else "no picture") in found.sentence


def test_points_without_a_number_are_left_out():
    nan = [(i, math.nan) for i in range(50)]
    assert verdict(nan, nan).state is State.UNKNOWN
    clean = [(100 * i, loss) for i, loss in enumerate((9.0, 7, 5, 4, 5, 6, 7, 8, 9, 10))]
    broken = [(50, math.nan), *clean, (150, math.inf)]
    assert verdict(broken, []) == verdict(clean, [])
    assert finite([(3, 1.0), (1, math.inf), (2, 5.0), (3, 4.0)]) == [(2, 5.0), (3, 4.0)]


def test_equal_losses_are_flat():
    found = verdict([(i, 0.25) for i in range(20)], [])
    assert (found.state, found.since) == (State.FLAT, 0)
    assert "0.25" in found.sentence


def test_the_training_loss_alone_never_tells_of_overfitting():
    rng = np.random.default_rng(2)
    steep = verdict([], curve(lambda u: 0.1 + 0.3 * (1 - u), 400, 0.35, rng))
    assert steep.state is State.LEARNING
    assert "nobody can tell whether it overfits" in steep.sentence
    assert verdict([], curve(level, 400, 0.35, rng)).state is State.FLAT
    assert verdict([], curve(lambda u: 0.1 + u, 400, 0.35, rng)).state is State.DIVERGING
