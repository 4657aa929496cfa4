"""Curves of a run drawn: loss, what was held out, rate, gradients, and scores."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from studio.training.watching.smoothing import smoothed
from tabs.blocks.plots import Axis, Line, fitting, line_plot

STYLES = ("one", "two", "three", "four", "five", "six")
_KNOWN = ("loss", "held_out", "learning_rate", "text_rate", "gradient")
_WINDOWS = 20
"""A smoothed loss is a mean over about this part of all points."""
Points = Mapping[str, tuple[list[float], list[float]]]


def points_of(curve: Sequence[Mapping[str, Any]]) -> dict[str, tuple[list[float], list[float]]]:
    """Steps and values of each curve by its name; what is no finite number is passed over."""
    found: dict[str, tuple[list[float], list[float]]] = {}
    for point in curve:
        step = point.get("step")
        if not isinstance(step, int):
            continue
        for name, value in point.items():
            if name == "step" or isinstance(value, bool) or not isinstance(value, int | float):
                continue
            if math.isfinite(value):
                xs, ys = found.setdefault(name, ([], []))
                xs.append(step)
                ys.append(value)
    return found


def calm(values: Sequence[float]) -> list[float]:
    """A running mean over about a twentieth of all values."""
    return smoothed(values, 1 - 1 / max(1.0, len(values) / _WINDOWS))


def plots(points: Points, steps: int) -> str:
    """All curves of a run as HTML, "" before there are any. steps: where the axis ends."""
    if not points:
        return ""
    drawn = [_loss(points, steps)]
    drawn.append(_rates(points, steps))
    if "gradient" in points:
        drawn.append(_plot("Gradient norm", [Line("", *points["gradient"], "two")], steps))
    scores = [name for name in points if name not in _KNOWN]
    lines = [
        Line(name.replace("_", " "), *points[name], style)
        for name, style in zip(scores, STYLES, strict=False)
    ]
    drawn.append(_plot("Scores", lines, steps))
    return f'<div class="at-plots">{"".join(drawn)}</div>'


def compared(runs: Mapping[str, Points]) -> str:
    """The smoothed losses of several runs in one plot, and what was held out in another."""
    losses, held = [], []
    for style, (name, points) in zip(STYLES, runs.items(), strict=False):
        if "loss" in points:
            xs, ys = points["loss"]
            losses.append(Line(name, xs, calm(ys), style))
        if "held_out" in points:
            held.append(Line(name, *points["held_out"], style))
    last = max((int(line.xs[-1]) for line in losses + held), default=1)
    drawn = _plot("Loss, smoothed", losses, last) + _plot("Held-out loss", held, last)
    return f'<div class="at-plots at-train-wide">{drawn}</div>' if drawn else ""


def _loss(points: Points, steps: int) -> str:
    lines = []
    title = "Loss"
    if "loss" in points:
        xs, ys = points["loss"]
        mean = calm(ys)
        title = f"Loss · {mean[-1]:.4f}"
        lines = [Line("each step", xs, ys, "faint"), Line("smoothed", xs, mean, "one")]
    if "held_out" in points:
        lines.append(Line("held out", *points["held_out"], "two"))
    return _plot(title, lines, steps)


def _rates(points: Points, steps: int) -> str:
    names = {"learning_rate": ("denoiser", "three"), "text_rate": ("text encoders", "four")}
    lines = [Line(said, *points[n], style) for n, (said, style) in names.items() if n in points]
    now = f" · {lines[0].ys[-1]:.2g}" if lines else ""
    return _plot(f"Learning rate{now}", lines, steps)


def _plot(title: str, lines: Sequence[Line], steps: int) -> str:
    if not lines:
        return ""
    last = max(float(steps), *(line.xs[-1] for line in lines), 1.0)
    values = [value for line in lines for value in line.ys]
    return line_plot(title, lines, Axis("step", 0, last), fitting("", values))
