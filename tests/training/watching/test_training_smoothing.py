"""Smoothed curves, against what TensorBoard's chart computes."""

import math

import pytest

from studio.training.watching.smoothing import smoothed


def tensorboard(values, weight):
    """The loop of TensorBoard's line chart (resmooth), in Python."""
    last, count, shown = 0.0, 0, []
    for value in values:
        if not math.isfinite(value):
            shown.append(value)
            continue
        last = last * weight + (1 - weight) * value
        count += 1
        debias = 1.0 if weight == 1 else 1 - weight**count
        shown.append(last / debias)
    return shown


def test_it_is_what_tensorboard_shows():
    values = [0.31, 0.12, 0.55, 0.2, 0.18, 0.4, 0.09]
    for weight in (0.0, 0.6, 0.9, 0.99):
        assert smoothed(values, weight) == pytest.approx(tensorboard(values, weight))


def test_a_level_stays_from_its_first_point_on():
    assert smoothed([0.2] * 5, 0.9) == pytest.approx([0.2] * 5)


def test_no_weight_smooths_nothing():
    assert smoothed([3.0, 1.0], 0) == [3.0, 1.0]


def test_what_is_not_finite_is_shown_and_forgotten():
    shown = smoothed([1.0, math.nan, math.inf, 1.0], 0.9)
    assert math.isnan(shown[1])
    assert shown[2] == math.inf
    assert shown[3] == pytest.approx(1.0)


def test_nothing_gives_nothing():
    assert smoothed([]) == []


@pytest.mark.parametrize("weight", [-0.1, 1.0, math.nan])
def test_other_weights_are_refused(weight):
    with pytest.raises(ValueError, match="must be from 0 to below 1"):
        smoothed([1.0], weight)
