"""A grid of a run's checkpoints by strengths: asked for, followed, looked at, and used."""

import html
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import gradio as gr

from studio.errors import AtelierError
from studio.events import Failed, Finished, Notice, Stopped
from studio.requests import validated
from studio.services import Services
from studio.training.choice import steps_of
from studio.training.watching.grid import MadeGrid
from studio.training.watching.grid_picture import Painted
from studio.training_requests import GridRequest
from tabs.blocks import going
from tabs.blocks.benchmark import progress_line
from tabs.blocks.maker import in_words
from tabs.blocks.train.fields import IDS
from tabs.forms import Values
from tabs.theme import script

_KINDS = ("train-grid",)
_STRENGTHS = "0.6, 0.8, 1"


@dataclass(frozen=True)
class GridView:
    """Components of the panel."""

    panel: gr.Accordion
    steps: gr.Dropdown
    strengths: gr.Textbox
    prompts: gr.Textbox
    seed: gr.Number
    paint: gr.Button
    stop: gr.Button
    progress: gr.HTML
    shown: gr.HTML

    @property
    def asked(self) -> set[Any]:
        """All that is read for a grid."""
        return {self.steps, self.strengths, self.prompts, self.seed}

    @property
    def of_run(self) -> list[Any]:
        """All that another run changes."""
        return [self.steps, self.prompts, self.shown]


def build() -> GridView:
    """Lay the panel out; it is filled when it is opened."""
    with gr.Accordion(
        "Grid of steps, strengths and prompts", open=False, visible=False, elem_id=f"{IDS}grid"
    ) as panel:
        with gr.Row():
            steps = gr.Dropdown(
                [],
                value=[],
                multiselect=True,
                label="Steps",
                info="None: five from the first to the last",
                min_width=180,
                elem_id=f"{IDS}grid-steps",
            )
            strengths = gr.Textbox(
                _STRENGTHS,
                label="Strengths",
                info="1 is as it was trained",
                max_lines=1,
                min_width=120,
                elem_id=f"{IDS}grid-strengths",
            )
            seed = gr.Number(
                1,
                label="Seed",
                info=" ",
                precision=0,
                minimum=0,
                min_width=80,
                elem_id=f"{IDS}grid-seed",
            )
        prompts = gr.Textbox(
            "", label="Prompts, one a line", lines=2, max_lines=8, elem_id=f"{IDS}grid-prompts"
        )
        with gr.Row(elem_classes=["at-acts", "at-tight"]):
            paint = gr.Button("Paint the grid", size="sm", elem_id=f"{IDS}grid-paint")
            stop = gr.Button("Stop", size="sm", visible=False, elem_id=f"{IDS}grid-stop")
        progress = gr.HTML("", padding=False, elem_id=f"{IDS}grid-progress")
        shown = gr.HTML("", js_on_load=script("acts"), padding=False, elem_id=f"{IDS}grid-shown")
    return GridView(panel, steps, strengths, prompts, seed, paint, stop, progress, shown)


class GridHandlers:
    """What the panel's controls do."""

    def __init__(self, services: Services, view: GridView):
        self._queue = services.queue
        self._runs = services.runs
        self._gridding = services.gridding
        self._view = view

    def fill(self, subject: str) -> dict[Any, Any]:
        """The steps of a run, what it was shown by, and its newest grid."""
        view = self._view
        try:
            run, asked = self._runs.folder(subject or ""), self._runs.request(subject or "")
        except AtelierError:
            return {view.steps: _choices([]), view.prompts: "", view.shown: ""}
        steps = [step for step in steps_of(run) if step]
        told = "\n".join(asked.sample_prompts) or asked.prompt
        return {
            view.steps: _choices(steps),
            view.prompts: gr.Textbox(placeholder=told),
            view.shown: self._newest(run.name),
        }

    def paint(self, subject: str, values: Values) -> None:
        """Put the job into the queue."""
        view = self._view
        lines = str(values[view.prompts] or "").splitlines()
        with in_words("Not begun"):
            given = {
                "run": subject or "",
                "checkpoints": tuple(values[view.steps] or ()),
                "strengths": _numbers(str(values[view.strengths] or _STRENGTHS)),
                "prompts": tuple(line.strip() for line in lines if line.strip()),
                "seed": values[view.seed] or 0,
            }
            self._queue.submit(validated(GridRequest, given))

    def follow(self, subject: str) -> Iterator[dict[Any, Any]]:
        """How far grids are; the page's run shows its own when it is done."""
        view = self._view
        for job in going.each_job(self._queue, _KINDS):
            asked = self._queue.request(job)
            assert isinstance(asked, GridRequest)
            name = html.escape(asked.run)
            for event in self._queue.follow(job.id):
                if isinstance(event, Notice):
                    gr.Warning(html.escape(event.text), title=name, duration=10)
                elif isinstance(event, Failed):
                    gr.Warning(html.escape(event.reason), title=name, duration=20)
                elif isinstance(event, Finished) and asked.run == subject:
                    yield {view.shown: self._newest(subject)}
                elif event is not None and not isinstance(event, Finished | Stopped):
                    yield {view.progress: progress_line(event), view.stop: gr.Button(visible=True)}
        yield {view.progress: "", view.stop: gr.Button(visible=False)}

    def stop(self) -> None:
        """Stop the job; what is painted is not painted again."""
        with in_words():
            going.stop(self._queue, _KINDS)

    def _newest(self, name: str) -> str:
        made = self._gridding.made(name)
        return grid(name, made[0]) if made else ""


def chosen(event: gr.EventData) -> tuple[int, float] | None:
    """The step and the strength of a press on "Use"; None for anything else."""
    step, _, strength = str(getattr(event, "value", "")).partition("@")
    try:
        return int(step), float(strength)
    except ValueError:
        return None


def grid(name: str, made: MadeGrid) -> str:
    """A grid as HTML: a table for each prompt, steps down, strengths across."""
    place = f"runs/{quote(name, safe='')}/grids/{made.digest}"
    steps = list(dict.fromkeys(each.cell.checkpoint for each in made.painted))
    strengths = list(dict.fromkeys(each.cell.strength for each in made.painted))
    prompts = dict.fromkeys(each.cell.prompt for each in made.painted)
    cells = {each.cell: (number, each) for number, each in enumerate(made.painted)}
    head = "".join(f"<th>{strength:g}</th>" for strength in strengths)
    parts = []
    for prompt in prompts:
        rows = []
        for step in steps:
            found = [
                _cell(place, *each, marked=(step, each[1].cell.strength) == made.best)
                for cell, each in cells.items()
                if (cell.checkpoint, cell.prompt) == (step, prompt)
            ]
            rows.append(f"<tr><th>{step:,}</th>{''.join(found)}</tr>")
        parts.append(
            f'<section><h4>{html.escape(prompt)}</h4><div class="at-run-strip" tabindex="0">'
            f"<table><thead><tr><th>step</th>{head}</tr></thead>"
            f"<tbody>{''.join(rows)}</tbody></table></div></section>"
        )
    said = ""
    if made.best is not None:
        step, strength = made.best
        said = f"The best by its scores is step {step:,} at strength {strength:g}. "
    whole = f'<a href="{place}" download>All in one picture</a>'
    return f'<div class="at-run-samples at-run-grid"><p>{said}{whole}</p>{"".join(parts)}</div>'


def _cell(place: str, number: int, painted: Painted, *, marked: bool) -> str:
    cell = painted.cell
    what = f"step {cell.checkpoint:,} at strength {cell.strength:g}"
    scores = " ".join(
        f"<span>{html.escape(name)} {value:.2f}</span>"
        for name, value in painted.scores.items()
        if value is not None
    )
    best = ' class="at-run-best"' if marked else ""
    source = f"{place}/{number}"
    return (
        f'<td{best}><a href="{source}" target="_blank"><img src="{source}" loading="lazy" '
        f'decoding="async" alt="{html.escape(cell.prompt)}, {what}"></a><p>{scores}</p>'
        f'<button data-act="use" data-value="{cell.checkpoint}@{cell.strength:g}" '
        f'aria-label="Use {what}">Use</button></td>'
    )


def _choices(steps: list[int]) -> gr.Dropdown:
    return gr.Dropdown([(f"{step:,}", step) for step in steps], value=[], multiselect=True)


def _numbers(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(each) for each in text.replace(";", ",").split(",") if each.strip())
    except ValueError:
        raise AtelierError(
            f"Strengths are {text[:40]!r}, but must be numbers with commas between them, as in "
            f"{_STRENGTHS}."
        ) from None
