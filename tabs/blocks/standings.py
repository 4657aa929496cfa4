"""The leaderboard's table, and what is known of one submission."""

import html
import time
from collections.abc import Sequence

from studio.reader.leaderboard import NaProb, Standing
from studio.store.submissions import SubmissionRow
from tabs.blocks.marks import plain

EMPTY = """<div class="at-reading"><div class="at-empty"><strong>Nobody stands here yet</strong>
Score a reader or a predictions file under Benchmark. Each evaluation is put on the leaderboard of
its data set.</div></div>"""
_HEAD = (
    ("", "number"),
    ("model", ""),
    ("who", "wide"),
    ("EM", "number"),
    ("F1", "number"),
    ("HasAns F1", "number wide"),
    ("NoAns", "number wide"),
    ("date", "wide"),
    ("seconds", "number wide"),
    ("device", "wide"),
)


def table(standings: Sequence[Standing], picked: int | None) -> str:
    """Ranks from the best on; what is only there to compare has none and cannot be picked."""
    if not standings:
        return EMPTY
    head = "".join(f'<th scope="col" class="{style}">{name}</th>' for name, style in _HEAD)
    rows = "".join(_row(each, picked) for each in standings)
    return (
        '<div class="at-scroll"><table class="at-table at-standings">'
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _row(standing: Standing, picked: int | None) -> str:
    row = standing.submission
    if row is None:
        name = f"{html.escape(standing.name)} <small>{html.escape(standing.note)}</small>"
        cells = ["", name, "", _score(standing.exact), _score(standing.f1), *[""] * 5]
        return f'<tr class="guide">{_cells(cells)}</tr>'
    cells = [
        str(standing.rank),
        f'<b dir="auto">{plain(row.model)}</b>',
        plain(row.who),
        _score(row.exact),
        _score(row.f1),
        _score(row.scores.get("HasAns_f1")),
        _score(row.scores.get("NoAns_f1")),
        date(row.created_at),
        f"{row.seconds:,.0f}" if row.seconds else "",
        plain(row.device),
    ]
    own = row.id == picked
    return (
        f'<tr tabindex="0" data-pick="{row.id}" class="{"picked" if own else ""}" '
        f'aria-selected="{"true" if own else "false"}">{_cells(cells)}</tr>'
    )


def _cells(cells: Sequence[str]) -> str:
    pairs = zip(cells, _HEAD, strict=True)
    return "".join(f'<td class="{style}">{cell}</td>' for cell, (_, style) in pairs)


def _score(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def date(when: float) -> str:
    """A day as people write it."""
    return time.strftime("%d %b %Y", time.localtime(when))


def facts(row: SubmissionRow) -> str:
    """What was submitted, by whom, and its files; their addresses go by the id alone."""
    known = {
        "data set": f"{row.data_set}, {row.questions:,} questions",
        "who": row.who,
        "when": time.strftime("%d %B %Y, %H:%M", time.localtime(row.created_at)),
        "device": row.device,
        "seconds": f"{row.seconds:,.1f}" if row.seconds else "",
        "revision": row.revision,
        "sha256 of the data": row.data_set_sha256,
        **{name.replace("_", " "): str(value) for name, value in row.settings.items()},
    }
    listed = "".join(
        f"<dt>{plain(name)}</dt><dd>{plain(value)}</dd>" for name, value in known.items() if value
    )
    files = [("predictions.json", "Predictions")]
    if row.na_prob != NaProb.NONE:
        files.append(("na_prob.json", "No-answer probabilities"))
    files += [("README.md", "Model card"), ("submission.zip", "Archive of all")]
    links = "".join(
        f'<a class="at-act" href="submissions/{row.id}/{file}" download>{name}</a>'
        for file, name in files
    )
    return (
        f'<div class="at-submission"><h3 dir="auto">{plain(row.model)}</h3>'
        f'<div class="at-acts">{links}</div>'
        '<details class="at-facts at-made-of"><summary>How it was made</summary>'
        f"<dl>{listed}</dl></details></div>"
    )
