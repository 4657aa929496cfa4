"""Small plots as inline SVG, which follow the page's colours in light and dark and on any width."""

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass

_WIDTH, _HEIGHT = 360.0, 220.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 44.0, 10.0, 12.0, 36.0
_TICKS = 4
_LETTER = 6.0
"""Width of a letter of a tick."""
_POINTS = 400
"""More than a screen can show of one line."""


@dataclass(frozen=True)
class Line:
    """One line of a plot; name: in the legend. style: a class of the style sheet."""

    name: str
    xs: Sequence[float]
    ys: Sequence[float]
    style: str = "one"


@dataclass(frozen=True)
class Axis:
    """An axis from low to high; label: what it shows."""

    label: str
    low: float
    high: float

    def share(self, value: float) -> float:
        """Where a value lies between the ends, 0 to 1."""
        wide = self.high - self.low
        return min(1.0, max(0.0, (value - self.low) / wide)) if wide else 0.5


def fitting(label: str, values: Sequence[float], *, zero: bool = False) -> Axis:
    """An axis that is as long as these values need; zero: from 0 on."""
    finite = [value for value in values if math.isfinite(value)] or [0.0, 1.0]
    low, high = (0.0 if zero else min(finite)), max(finite)
    if high <= low:
        high = low + 1
    step = _step((high - low) / _TICKS)
    return Axis(label, math.floor(low / step) * step, math.ceil(high / step) * step)


def line_plot(title: str, lines: Sequence[Line], x: Axis, y: Axis) -> str:
    """Lines in one plot, with a legend where there are several."""
    drawn = [_line(line, x, y) for line in lines]
    named = [line for line in lines if line.name]
    return _figure(title, _axes(x, y) + "".join(drawn), named if len(named) > 1 else [])


def bar_plot(
    title: str, values: Sequence[float], names: Sequence[str], label: str, high: float | None = None
) -> str:
    """One bar for each name, with its value in its tooltip; high: where the axis ends."""
    y = Axis(label, 0, high) if high else fitting(label, values, zero=True)
    width = (_WIDTH - _LEFT - _RIGHT) / max(1, len(values))
    parts = []
    free = 0.0
    for index, (value, name) in enumerate(zip(values, names, strict=True)):
        left = _LEFT + index * width
        top = _y(y, value)
        shown = html.escape(name)
        parts.append(
            f'<rect class="at-bar-one" x="{left + width * 0.12:.1f}" y="{top:.1f}" '
            f'width="{width * 0.76:.1f}" height="{max(0.0, _HEIGHT - _BOTTOM - top):.1f}">'
            f"<title>{shown}: {value:,.4g}</title></rect>"
        )
        # Names that would stand on each other are left to the tooltips.
        middle, half = left + width / 2, _LETTER * len(name) / 2
        if middle - half >= free:
            free = middle + half + _LETTER / 2
            parts.append(
                f'<text class="at-tick" x="{middle:.1f}" y="{_HEIGHT - _BOTTOM + 14}" '
                f'text-anchor="middle">{shown}</text>'
            )
    return _figure(title, _axes(None, y) + "".join(parts), [])


def _line(line: Line, x: Axis, y: Axis) -> str:
    pairs = [p for p in zip(line.xs, line.ys, strict=True) if all(map(math.isfinite, p))]
    step = max(1, len(pairs) // _POINTS)
    kept = [*pairs[::step], *pairs[-1:]]
    points = " ".join(f"{_x(x, a):.1f},{_y(y, b):.1f}" for a, b in kept)
    dots = ""
    if len(kept) <= 24:
        dots = "".join(
            f'<circle class="at-line-{line.style}" cx="{_x(x, a):.1f}" cy="{_y(y, b):.1f}" r="2.6">'
            f"<title>{a:,.4g}: {b:,.4g}</title></circle>"
            for a, b in kept
        )
    return f'<polyline class="at-line-{line.style}" points="{points}"/>{dots}'


def _axes(x: Axis | None, y: Axis) -> str:
    parts = []
    for value in _ticks(y):
        place = _y(y, value)
        parts.append(
            f'<line class="at-rule" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{place:.1f}" '
            f'y2="{place:.1f}"/><text class="at-tick" x="{_LEFT - 6}" y="{place + 3.5:.1f}" '
            f'text-anchor="end">{_number(value)}</text>'
        )
    parts.append(
        f'<text class="at-tick" transform="translate(11 {(_TOP + _HEIGHT - _BOTTOM) / 2:.0f}) '
        f'rotate(-90)" text-anchor="middle">{html.escape(y.label)}</text>'
    )
    if x is not None:
        for value in _ticks(x):
            parts.append(
                f'<text class="at-tick" x="{_x(x, value):.1f}" y="{_HEIGHT - _BOTTOM + 14}" '
                f'text-anchor="middle">{_number(value)}</text>'
            )
        parts.append(
            f'<text class="at-tick" x="{(_LEFT + _WIDTH - _RIGHT) / 2:.0f}" y="{_HEIGHT - 5}" '
            f'text-anchor="middle">{html.escape(x.label)}</text>'
        )
    return "".join(parts)


def _figure(title: str, inside: str, legend: Sequence[Line]) -> str:
    names = "".join(
        f'<span><i class="at-key-{line.style}"></i>{html.escape(line.name)}</span>'
        for line in legend
    )
    return (
        f'<figure class="at-plot"><figcaption>{html.escape(title)}'
        f'<span class="at-legend">{names}</span></figcaption>'
        f'<svg viewBox="0 0 {_WIDTH:.0f} {_HEIGHT:.0f}" role="img" '
        f'aria-label="{html.escape(title)}">{inside}</svg></figure>'
    )


def _ticks(axis: Axis) -> list[float]:
    step = _step((axis.high - axis.low) / _TICKS)
    first = math.ceil(axis.low / step - 1e-9)
    last = math.floor(axis.high / step + 1e-9)
    return [number * step for number in range(first, last + 1)]


def _step(rough: float) -> float:
    """1, 2 or 5 times a power of ten, the least that is not below."""
    if rough <= 0 or not math.isfinite(rough):
        return 1.0
    power = 10.0 ** math.floor(math.log10(rough))
    return power * next(each for each in (1, 2, 5, 10) if each * power >= rough * 0.999)


def _number(value: float) -> str:
    return f"{value / 1000:,.4g}k" if abs(value) >= 1_000 else f"{value:,.4g}"


def _x(axis: Axis, value: float) -> float:
    return _LEFT + axis.share(value) * (_WIDTH - _LEFT - _RIGHT)


def _y(axis: Axis, value: float) -> float:
    return _HEIGHT - _BOTTOM - axis.share(value) * (_HEIGHT - _TOP - _BOTTOM)
