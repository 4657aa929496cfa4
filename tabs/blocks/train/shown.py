"""A run as people look at it: where it is, its curves, samples, notices, and its end."""

import html
import time
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from studio.training.launch.runs import RunEntry
from studio.training.run_folder import Phase
from studio.training_requests import Method, TrainRequest
from tabs.blocks import going
from tabs.blocks.stage import duration
from tabs.blocks.train.curves import Points, plots

_COLUMNS = 24
"""Steps whose samples are shown, the newest first; the run's folder has all."""
_NOTICES = 4
METHODS = {
    Method.LORA: "LoRA",
    Method.DREAMBOOTH: "DreamBooth",
    Method.TEXTUAL_INVERSION: "Textual inversion",
    Method.FULL: "Full fine-tuning",
}
_DOING = {
    Phase.WAITING: "Waits",
    Phase.PREPARING: "Prepares",
    Phase.CACHING: "Reads pictures and texts",
    Phase.TRAINING: "Trains",
    Phase.SAMPLING: "Makes samples",
    Phase.SAVING: "Saves",
}
_COUNTED = {Phase.TRAINING: "step", Phase.SAMPLING: "step", Phase.CACHING: "item"}
EMPTY = """<div class="at-reading"><div class="at-empty"><strong>Teach a model your own subject or
style</strong>Drop five pictures, say what they show, and press Train. Check looks at the pictures
first. Curves and samples are drawn here while it learns; it goes on when you close the page, and
after the server was stopped or killed. At its end it is one press from use.</div></div>"""


def message(title: str, words: str) -> str:
    """A title and a sentence in the place of a run; both are HTML."""
    inside = f"<strong>{title}</strong>{words}"
    return f'<div class="at-reading"><div class="at-empty">{inside}</div></div>'


def progress(entry: RunEntry) -> str:
    """How far a run that goes on is, as a bar with words; "" for one that has ended."""
    if entry.phase.is_final:
        return ""
    unit = _COUNTED.get(entry.phase)
    words, share = "…", 0.0
    if unit and entry.steps:
        share = min(1.0, entry.step / entry.steps)
        left = entry.seconds_left
        rest = f", {duration(left)} left" if left is not None else ""
        words = f"{unit} {entry.step:,} of {entry.steps:,}{rest}"
    elif entry.phase is Phase.WAITING and entry.steps and entry.step:
        share = min(1.0, entry.step / entry.steps)
        words = f"for pictures of the class: {entry.step:,} of {entry.steps:,}"
    return going.bar(_DOING.get(entry.phase, entry.phase.value.capitalize()), words, share)


def head(entry: RunEntry, notices: Sequence[str]) -> str:
    """Name, status, what it is made of, why it failed, and what it has told."""
    facts = [METHODS[entry.method], entry.model, entry.owner]
    if entry.phase.is_final and entry.steps:
        facts.append(f"step {entry.step:,} of {entry.steps:,}")
    words = " · ".join(html.escape(each) for each in facts if each)
    reason = f'<p class="at-message">{html.escape(entry.reason)}</p>' if entry.reason else ""
    told = "".join(
        f'<p class="at-message note">{html.escape(each)}</p>' for each in notices[-_NOTICES:]
    )
    return (
        f'<header class="at-run-head"><h3>{html.escape(entry.title)}</h3>{chip(entry)}'
        f"<p>{words}</p></header>{reason}{told}"
    )


def chip(entry: RunEntry) -> str:
    """A run's status in a word."""
    word = "broken off" if entry.is_dead else entry.phase.value
    return f'<span class="at-run-chip" data-phase="{entry.phase.value}">{word}</span>'


def run(entry: RunEntry, notices: Sequence[str], advice: str = "") -> str:
    """What a run is, as a frame of its own. advice: what its curves say."""
    said = f'<p class="at-run-advice">{html.escape(advice)}</p>' if advice else ""
    return f'<div class="at-reading at-run-shown">{head(entry, notices)}{said}</div>'


def curves(entry: RunEntry, points: Points) -> str:
    """All curves of a run, "" before there are any."""
    drawn = plots(points, entry.steps)
    return f'<div class="at-reading at-run-shown">{drawn}</div>' if drawn else ""


def samples(name: str, request: TrainRequest, found: Sequence[tuple[int, int, Path]]) -> str:
    """Samples by prompt and step, the newest first, as HTML; "" before there are any."""
    if not found:
        return ""
    by_step: dict[int, dict[int, Path]] = {}
    for step, number, path in found:
        by_step.setdefault(step, {})[number] = path
    steps = sorted(by_step, reverse=True)[:_COLUMNS]
    numbers = sorted({number for step in steps for number in by_step[step]})
    rows = [
        _row(name, _prompt(request, number), [(s, number, by_step[s].get(number)) for s in steps])
        for number in numbers
    ]
    return f'<div class="at-run-samples">{"".join(rows)}</div>'


def _row(name: str, prompt: str, cells: Sequence[tuple[int, int, Path | None]]) -> str:
    said = html.escape(prompt)
    drawn = []
    for step, number, path in cells:
        if path is None:
            continue
        place = f"runs/{quote(name, safe='')}/samples/{step}/{number}?at={_changed(path)}"
        drawn.append(
            f'<figure><a href="{place}" target="_blank"><img src="{place}" '
            f'alt="{said}, at step {step:,}" loading="lazy" decoding="async"></a>'
            f"<figcaption>{f'step {step:,}' if step else 'before'}</figcaption></figure>"
        )
    return (
        f'<section><h4>{said}</h4><div class="at-run-strip" tabindex="0" '
        f'aria-label="Samples of {said}">{"".join(drawn)}</div></section>'
    )


def _prompt(request: TrainRequest, number: int) -> str:
    prompts = request.sample_prompts
    return prompts[number] if number < len(prompts) else f"Prompt {number + 1}"


def _changed(path: Path) -> int:
    """When a sample was made, for it is made anew after a run has gone back."""
    try:
        return path.stat().st_mtime_ns // 10**6
    except OSError:
        return 0


def when(seconds: float) -> str:
    """A time as people read it."""
    return time.strftime("%d %b %Y, %H:%M", time.localtime(seconds))
