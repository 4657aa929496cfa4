"""Two submissions question by question, as people look at them."""

from collections.abc import Mapping, Sequence

from studio.reader.breakdown import Difference, Interval
from studio.reader.comparison import Compared, Right
from studio.reader.metrics import Scored
from tabs.blocks.data_facts import title
from tabs.blocks.marks import marked, marks, plain


def choices(numbers: Mapping[Right, int]) -> list[tuple[str, str]]:
    """The filter's choices with how many questions each of them leaves."""
    names = {
        Right.BOTH: "Both right",
        Right.ONLY_A: "Only A",
        Right.ONLY_B: "Only B",
        Right.NEITHER: "Neither",
    }
    every = (f"All ({sum(numbers.values()):,})", "")
    return [every, *((f"{names[each]} ({n:,})", each.value) for each, n in numbers.items())]


def summary(a: str, b: str, numbers: Mapping[Right, int], apart: Difference) -> str:
    """Who is right on how many questions, and whether the difference may be chance."""
    tiles = "".join(
        f"<div><b>{numbers[each]:,}</b><span>{title}</span></div>"
        for each, title in (
            (Right.BOTH, "both right"),
            (Right.ONLY_A, "only A right"),
            (Right.ONLY_B, "only B right"),
            (Right.NEITHER, "neither right"),
        )
    )
    rows = _difference("EM", apart.exact, apart.exact_p) + _difference("F1", apart.f1, apart.f1_p)
    return (
        f'<div class="at-versus"><p><b class="at-a">A</b><span dir="auto">{plain(a)}</span></p>'
        f'<p><b class="at-b">B</b><span dir="auto">{plain(b)}</span></p></div>'
        f'<div class="at-scores">{tiles}</div>'
        '<div class="at-scroll"><table class="at-table at-apart"><thead><tr>'
        '<th scope="col">A − B</th>'
        '<th class="number" scope="col">points</th><th class="number" scope="col">95 %</th>'
        '<th class="number" scope="col">p</th><th class="wide" scope="col"></th></tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
        '<p class="at-foot">Right is an exact match. The difference is tested by a paired '
        "bootstrap over the questions; p is how often chance alone makes one as large.</p>"
    )


def _difference(name: str, points: Interval, p: float) -> str:
    told = "not by chance, at 5 %" if p < 0.05 else "may be chance"
    return (
        f'<tr><td>{name}</td><td class="number">{points.value:+.2f}</td>'
        f'<td class="number">{points.low:+.2f} to {points.high:+.2f}</td>'
        f'<td class="number">{"< 0.001" if p < 0.001 else f"{p:.3f}"}</td>'
        f'<td class="wide">{told}</td></tr>'
    )


def questions(page: Sequence[Compared]) -> str:
    """One page of questions, each with both answers and its passage."""
    if not page:
        return '<p class="at-none">No question is like this.</p>'
    return f'<div class="at-duels">{"".join(map(_question, page))}</div>'


def _question(each: Compared) -> str:
    asked = each.asked
    golds = " · ".join(f'<span dir="auto">{plain(gold)}</span>' for gold in each.golds)
    standing = marks(asked.question.answers, asked.context)
    return (
        f'<article><p class="at-duel-question" dir="auto">{plain(asked.question.text)}</p>'
        f"<dl><dt>gold</dt><dd>{golds or '<em>no answer in the passage</em>'}</dd>"
        f"{_said('A', each.a)}{_said('B', each.b)}</dl>"
        f'<details><summary>Passage <small dir="auto">{plain(title(asked.title))}</small></summary>'
        f'<blockquote class="at-passage" dir="auto">{marked(asked.context, standing)}</blockquote>'
        "</details></article>"
    )


def _said(who: str, scored: Scored) -> str:
    right = scored.exact == 1
    told = (
        f'<span dir="auto">{plain(scored.shown)}</span>' if scored.shown else "<em>no answer</em>"
    )
    share = f" <small>F1 {100 * scored.f1:.0f}</small>" if scored.f1 > 0 and not right else ""
    sign = (
        '<i class="at-right" title="right">✓<span class="at-hidden"> right</span></i>'
        if right
        else '<i class="at-not" title="wrong">✗<span class="at-hidden"> wrong</span></i>'
    )
    return f'<dt><b class="at-{who.lower()}">{who}</b></dt><dd>{sign}{told}{share}</dd>'
