"""What a check has found, as cards with thumbnails and presses, and what follows from the set."""

import html
from collections.abc import Mapping, Sequence

from studio.training.checking import Checked
from studio.training.derive import Derived
from studio.training.health.finding import Finding, Severity
from tabs.blocks.train.dropped import address
from tabs.blocks.train.fields import shown, title

_PICTURES = 12
"""Thumbnails of a finding."""
_WORDS = {Severity.STOP: "must be mended", Severity.WARN: "will show", Severity.HINT: "to know"}
_SHAPES = 8
EMPTY = ""
"""Where nothing was checked."""


def looking(done: int, of: int) -> str:
    """How far a check is."""
    words = f"Looks at picture {done:,} of {of:,} …" if of else "Looks at the pictures …"
    return f'<div class="at-train-check"><p class="at-none" role="status">{words}</p></div>'


def cards(name: str, checked: Checked, sums: Mapping[str, str], mended: str) -> str:
    """All of a check. sums: of pictures by their names. mended: what can be taken back, or ""."""
    report = checked.report
    found = "".join(_card(number, name, each, sums) for number, each in enumerate(report.findings))
    stops = len(report.stops)
    if stops:
        said = f"{stops} thing{'s' * (stops != 1)} must be mended before a training"
    elif report.findings:
        said = "Nothing stands in the way"
    else:
        said = "Nothing is wrong with these pictures"
    back = ""
    if mended:
        back = (
            '<button type="button" class="at-act" data-act="undo">Take back: '
            f"{html.escape(mended)}</button>"
        )
    looked = f"{report.pictures:,} picture{'s' * (report.pictures != 1)} looked at"
    return (
        '<div class="at-train-check"><header><h3>Check</h3>'
        f"<p>{said}. <small>{looked} in {report.seconds:.1f} s.</small></p>{back}"
        '<button type="button" class="at-act" data-act="close" aria-label="Close the check">Close'
        f"</button></header>{found}{_shapes(checked)}{derived(checked.derived)}</div>"
    )


def derived(values: Sequence[Derived]) -> str:
    """What nobody gave, with the sentence that it follows from."""
    rows = "".join(
        f"<tr><td>{html.escape(title(each.field))}</td>"
        f'<td class="number">{html.escape(_value(each))}</td>'
        f"<td>{html.escape(each.formula)}</td></tr>"
        for each in values
        if each.field not in ("model", "sample_prompts")
    )
    if not rows:
        return ""
    return (
        "<details open><summary>What follows from the pictures</summary>"
        '<div class="at-scroll"><table class="at-table at-train-derived"><tbody>'
        f"{rows}</tbody></table></div></details>"
    )


def _value(each: Derived) -> str:
    if isinstance(each.value, bool):
        return "on" if each.value else "off"
    return str(shown(each.field, each.value))


def _card(number: int, name: str, finding: Finding, sums: Mapping[str, str]) -> str:
    pictures = [each for each in finding.pictures if each in sums]
    seen = "".join(
        f'<img src="{address(name, sums[each])}" alt="{html.escape(each)}" '
        f'title="{html.escape(each)}" loading="lazy" decoding="async">'
        for each in pictures[:_PICTURES]
    )
    more = len(pictures) - _PICTURES
    rest = f"<span>+{more:,}</span>" if more > 0 else ""
    strip = f'<div class="at-train-strip">{seen}{rest}</div>' if seen else ""
    press = ""
    if finding.fix is not None:
        press = (
            f'<button type="button" class="at-act" data-act="fix" data-value="{number}">'
            f"{html.escape(finding.fix.label)}</button>"
        )
    return (
        f'<article class="at-train-finding" data-severity="{finding.severity.value}">'
        f"<p><b>{_WORDS[finding.severity]}</b> {html.escape(finding.sentence)}</p>"
        f"{strip}{press}</article>"
    )


def _shapes(checked: Checked) -> str:
    if not checked.buckets:
        return ""
    parts = [
        f"<li>{width} × {height} <b>{count:,}</b></li>"
        for (width, height), count in list(checked.buckets.items())[:_SHAPES]
    ]
    more = len(checked.buckets) - _SHAPES
    rest = f"<li>{more} more</li>" if more > 0 else ""
    return f'<ul class="at-train-shapes" aria-label="Buckets">{"".join(parts)}{rest}</ul>'
