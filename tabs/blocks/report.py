"""Scores as people look at them: tiles, curves, and where a reader is good and where not."""

import html
from collections.abc import Iterable, Mapping, Sequence

from studio.reader.answerability import Reliability
from studio.reader.breakdown import Breakdown, Group, Intervals
from studio.reader.metrics import Curve, Scores, ThresholdCurve, threshold_curve
from tabs.blocks.plots import Axis, Line, bar_plot, fitting, line_plot

_PERCENT = Axis("%", 0, 100)
_SHARE = Axis("", 0, 1)
_TITLES = {
    "exact": "EM",
    "f1": "F1",
    "HasAns_exact": "EM, with answer",
    "HasAns_f1": "F1, with answer",
    "NoAns_f1": "without answer",
    "best_f1": "best F1",
}


def tiles(scores: Mapping[str, float], intervals: Intervals | None = None) -> str:
    """The scores that people ask for first, with 95 % intervals where they are known."""
    around = {}
    if intervals is not None:
        known = (
            ("exact", intervals.exact),
            ("f1", intervals.f1),
            ("HasAns_f1", intervals.has_answer_f1),
            ("NoAns_f1", intervals.no_answer_f1),
        )
        around = {name: f" ± {(i.high - i.low) / 2:.1f}" for name, i in known if i is not None}
    shown = "".join(
        f"<div><b>{scores[name]:.2f}</b><span>{title}{around.get(name, '')}</span></div>"
        for name, title in _TITLES.items()
        if name in scores
    )
    return f'<div class="at-scores">{shown}</div>'


def report(
    scores: Scores, intervals: Intervals, parts: Breakdown, trust: Reliability | None
) -> str:
    """All of an evaluation: tiles, plots, and every official key."""
    plots = [_words(parts.question_words), _lengths(parts.lengths)]
    if scores.ranked is not None:
        plots.insert(0, _thresholds(threshold_curve(scores), scores.threshold))
        curves = (scores.ranked.exact, scores.ranked.f1, scores.ranked.oracle)
        if scores.ranked.f1 is not None:
            plots.insert(1, _precision(curves))
    if trust is not None:
        plots.insert(0, _reliability(trust))
    official = scores.official()
    rows = "".join(
        f'<tr><td>{name}</td><td class="number">{value}</td></tr>'
        for name, value in official.items()
    )
    return (
        f'<div class="at-reading">{tiles(official, intervals)}'
        f'<div class="at-plots">{"".join(plots)}</div>'
        f"{_articles(parts.articles)}"
        '<details class="at-facts"><summary>As the official script prints it</summary>'
        f'<table class="at-table">{rows}</table></details></div>'
    )


def _reliability(trust: Reliability) -> str:
    full = [index for index, count in enumerate(trust.counts) if count]
    lines = [
        Line("", [0, 1], [0, 1], "guide"),
        Line("", [trust.sure[i] for i in full], [trust.true[i] for i in full]),
    ]
    title = f"Reliability · calibration error {100 * trust.error:.1f} %"
    return line_plot(title, lines, _named(_SHARE, "how sure"), _named(_SHARE, "how often true"))


def _thresholds(curve: ThresholdCurve, now: float) -> str:
    lines = [
        Line("F1", curve.thresholds.tolist(), curve.f1.tolist()),
        Line("EM", curve.thresholds.tolist(), curve.exact.tolist(), "two"),
    ]
    y = fitting("%", [*curve.f1.tolist(), *curve.exact.tolist()])
    x = _named(_SHARE, "threshold")
    if curve.thresholds[0] < 0 or curve.thresholds[-1] > 1:
        # Some systems give odds, such as the null_odds.json of run_qa.py.
        x = fitting("threshold", curve.thresholds.tolist())
    if x.low <= now <= x.high:
        lines.append(Line("threshold", [now, now], [y.low, y.high], "guide"))
    return line_plot('Score by the threshold of "no answer"', lines, x, y)


def _precision(curves: Sequence[Curve | None]) -> str:
    names = (("EM", "two"), ("F1", "one"), ("answerability alone", "three"))
    lines = [
        Line(f"{name} {curve.average:.1f}", _list(curve.recall), _list(curve.precision), style)
        for curve, (name, style) in zip(curves, names, strict=True)
        if curve is not None
    ]
    return line_plot(
        "Precision and recall", lines, _named(_SHARE, "recall"), _named(_SHARE, "precision")
    )


def _words(groups: Sequence[Group]) -> str:
    names = [group.name for group in groups]
    return bar_plot("F1 by question word", [g.score.f1 for g in groups], names, "%", 100)


def _lengths(groups: Sequence[Group]) -> str:
    names = [group.name.replace(" words", "").replace(" word", "") for group in groups]
    values = [group.score.f1 for group in groups]
    return bar_plot("F1 by words of the answer", values, names, "%", 100)


def _articles(groups: Sequence[Group]) -> str:
    rows = "".join(
        f'<tr><td dir="auto">{html.escape(group.name.replace("_", " "))}</td>'
        f'<td class="number">{group.score.total:,}</td>'
        f'<td class="number">{group.score.exact:.1f}</td>'
        f'<td class="number">{group.score.f1:.1f}</td></tr>'
        for group in sorted(groups, key=lambda each: each.score.f1)
    )
    return (
        '<details class="at-facts"><summary>By article, the hardest first</summary>'
        '<div class="at-scroll"><table class="at-table"><tr><th>article</th>'
        '<th class="number">questions</th><th class="number">EM</th><th class="number">F1</th></tr>'
        f"{rows}</table></div></details>"
    )


def _named(axis: Axis, label: str) -> Axis:
    return Axis(label, axis.low, axis.high)


def _list(values: Iterable[float]) -> list[float]:
    return [float(value) for value in values]
