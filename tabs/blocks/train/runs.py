"""The list of runs: who trains what and how far it is, what can be done, and their losses beside
each other."""

import html
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import gradio as gr

from studio.errors import AtelierError
from studio.services import Services
from studio.store.belongings import Sort
from studio.training.launch.runs import RunEntry
from studio.training.run_folder import Phase
from studio.training.toml_files import write_toml
from studio.training_requests import Method
from tabs.blocks import sharing
from tabs.blocks.maker import QUIET, in_words
from tabs.blocks.train import shown
from tabs.blocks.train.curves import STYLES, compared, points_of
from tabs.forms import Values
from tabs.theme import script

IDS = "at-train-runs-"
SHOWN = 200
"""Runs that are listed; all others are reached by the filters."""
REMOVE, SURE = "Remove", "Press again to remove for good"
KILL, KILL_SURE = "Kill", "Press again: work since the last checkpoint is lost"
_EMPTY = """<div class="at-reading"><div class="at-empty"><strong>No runs</strong>What is trained
stands here, whoever began it: going on, waiting, ended, or broken off.</div></div>"""
_LONGEST = 200


@dataclass(frozen=True)
class RunsView:
    """Components of the panel.

    picked: name of the run in question. compared: names of those that are compared. sure: the
    button and the run that the next press is for.
    """

    search: gr.Textbox
    phase: gr.Dropdown
    method: gr.Dropdown
    owner: gr.Dropdown
    table: gr.HTML
    curves: gr.HTML
    one: gr.Column
    head: gr.HTML
    open: gr.Button
    settings: gr.Button
    resume: gr.Button
    pause: gr.Button
    stop: gr.Button
    kill: gr.Button
    remove: gr.Button
    sharing: sharing.Sharing
    file: gr.HTML
    toml: gr.Textbox
    log: gr.HTML
    picked: gr.State
    compared: gr.State
    sure: gr.State

    @property
    def asked(self) -> set[Any]:
        """All that handlers read."""
        filters = {self.search, self.phase, self.method, self.owner}
        return filters | {self.picked, self.compared, self.sure}

    @property
    def listed(self) -> list[Any]:
        """All that the list shows."""
        return [self.table, self.owner, self.curves]

    @property
    def chosen(self) -> list[Any]:
        """All that another run changes."""
        acts = [self.resume, self.pause, self.stop, self.kill, self.remove]
        told = [self.one, self.head, self.file, self.toml, self.log, self.picked, self.sure]
        return [*told, *acts]


def build() -> RunsView:
    """Lay the panel out."""
    phases = [("Any status", ""), *((each.value.capitalize(), each.value) for each in Phase)]
    methods = [("Any method", ""), *((shown.METHODS[each], each.value) for each in Method)]
    with gr.Row(elem_classes="at-sieve"):
        search = gr.Textbox(
            label="Search",
            placeholder="name, model or owner",
            max_lines=1,
            min_width=200,
            elem_id=f"{IDS}search",
        )
        phase = gr.Dropdown(phases, value="", label="Status", min_width=150)
        method = gr.Dropdown(methods, value="", label="Method", min_width=150)
        owner = gr.Dropdown([("Anybody", "")], value="", label="Owner", min_width=150)
    table = gr.HTML(_EMPTY, js_on_load=script("runs"), padding=False, elem_id=f"{IDS}table")
    curves = gr.HTML("", padding=False, elem_id=f"{IDS}compared")
    with gr.Column(visible=False, elem_id=f"{IDS}one") as one:
        head = gr.HTML("", padding=False, elem_id=f"{IDS}head")
        with gr.Row(elem_classes=["at-acts", "at-tight"]):
            opened = gr.Button("Open", variant="primary", size="sm", elem_id=f"{IDS}open")
            settings = gr.Button("Same settings again", size="sm", elem_id=f"{IDS}settings")
            resume = gr.Button("Go on", size="sm", elem_id=f"{IDS}resume")
            pause = gr.Button("Pause", size="sm", elem_id=f"{IDS}pause")
            stop = gr.Button("Stop", size="sm", elem_id=f"{IDS}stop")
            kill = gr.Button(KILL, size="sm", elem_id=f"{IDS}kill")
            remove = gr.Button(REMOVE, size="sm", elem_id=f"{IDS}remove")
        shared = sharing.build("at-run")
        with gr.Accordion("Settings (TOML)", open=False):
            file = gr.HTML("", padding=False)
            toml = gr.Textbox(
                "",
                label="TOML",
                show_label=False,
                lines=12,
                max_lines=24,
                interactive=False,
                buttons=["copy"],
                elem_id=f"{IDS}toml",
            )
        with gr.Accordion("Log", open=False):
            log = gr.HTML("", padding=False, elem_id=f"{IDS}log")
    return RunsView(
        search,
        phase,
        method,
        owner,
        table,
        curves,
        one,
        head,
        opened,
        settings,
        resume,
        pause,
        stop,
        kill,
        remove,
        shared,
        file,
        toml,
        log,
        gr.State(""),
        gr.State([]),
        gr.State(""),
    )


class RunsHandlers:
    """What the panel's controls do; what is done to a run, its owner and administrators do."""

    def __init__(self, services: Services, view: RunsView):
        self._services = services
        self._runs = services.runs
        self._view = view

    def lists(self, values: Values) -> dict[Any, Any]:
        """The runs that match, and the losses of those that are compared."""
        view = self._view
        everything = self._runs.entries()
        owners = sorted({each.owner for each in everything if each.owner})
        chosen = [name for name in values[view.compared] or [] if isinstance(name, str)]
        phase, method = values[view.phase], values[view.method]
        found = self._runs.entries(
            Phase(phase) if phase else None,
            Method(method) if method else None,
            str(values[view.owner] or ""),
            str(values[view.search] or "")[:_LONGEST],
        )
        return {
            view.table: table(found, values[view.picked], chosen) if everything else _EMPTY,
            view.owner: gr.Dropdown([("Anybody", ""), *((each, each) for each in owners)]),
            view.curves: self._compared(chosen),
        }

    def look(self, values: Values) -> dict[Any, Any]:
        """The same while runs go on; nobody asked for it, so nobody is told that it failed."""
        with suppress(AtelierError):
            told = self.lists(values)
            told.pop(self._view.owner)  # a list that is open would close
            return told
        return gr.skip()

    def choose(self, values: Values, event: gr.EventData) -> dict[Any, Any]:
        """Compare other runs."""
        names = getattr(event, "names", None)
        chosen = [str(each)[:_LONGEST] for each in names] if isinstance(names, list) else []
        chosen = chosen[-len(STYLES) :]
        return {self._view.compared: chosen, self._view.curves: self._compared(chosen)}

    def pick(self, event: gr.EventData) -> dict[Any, Any]:
        """All of a run: what can be done with it, its settings and its log."""
        with in_words("Not shown"):
            return self._picked(str(getattr(event, "pick", ""))[:_LONGEST])

    def resume(self, values: Values) -> dict[Any, Any]:
        """Go on with it."""
        return self._done(values, self._runs.resume)

    def pause(self, values: Values) -> dict[Any, Any]:
        """Let it save and end, to be gone on with."""
        return self._done(values, self._runs.pause)

    def stop(self, values: Values) -> dict[Any, Any]:
        """Let it save and end for good."""
        return self._done(values, self._runs.stop)

    def kill(self, values: Values) -> dict[Any, Any]:
        """End it at once, at the second press."""
        view, name = self._view, values[self._view.picked]
        if values[view.sure] != f"kill {name}":
            return {view.sure: f"kill {name}", view.kill: gr.Button(KILL_SURE, variant="stop")}
        return self._done(values, self._runs.kill)

    def remove(self, values: Values) -> dict[Any, Any]:
        """Delete its folder, at the second press."""
        view, name = self._view, values[self._view.picked]
        if values[view.sure] != f"remove {name}":
            return {view.sure: f"remove {name}", view.remove: gr.Button(SURE, variant="stop")}
        with in_words("Not removed"):
            self._runs.remove(name)
        gr.Info("What it made stays in the models folder.", title="Removed", duration=5)
        return {view.one: gr.Column(visible=False), view.picked: "", view.sure: ""}

    def settings(self, values: Values) -> dict[str, Any]:
        """The fields that a run was asked with."""
        with in_words("Not shown"):
            asked = self._runs.request(values[self._view.picked])
        return asked.model_dump(exclude={"kind"})

    def _done(self, values: Values, act: Callable[[str], object]) -> dict[Any, Any]:
        name = values[self._view.picked]
        with in_words():
            act(name)
            return self._picked(name)

    def _compared(self, names: Sequence[str]) -> str:
        found = {}
        for name in names:
            try:
                found[name] = points_of(self._runs.curve(name)[0])
            except AtelierError:
                continue  # it was removed
        return compared(found) if found else ""

    def _picked(self, name: str) -> dict[Any, Any]:
        view = self._view
        entry = self._runs.get(name)
        going = not entry.phase.is_final
        place = f"runs/{quote(entry.name, safe='')}/settings.toml"
        notices = self._runs.notices(entry.name)
        return {
            view.one: gr.Column(visible=True),
            view.head: f'<div class="at-reading at-run-shown">{shown.head(entry, notices)}</div>',
            view.file: f'<a class="at-act" href="{place}" download>Download</a>',
            view.toml: write_toml(self._runs.request(entry.name)),
            view.log: _log(self._runs.log(entry.name)),
            view.picked: entry.name,
            view.sure: "",
            view.resume: gr.Button(visible=entry.can_resume),
            view.pause: gr.Button(visible=going),
            view.stop: gr.Button(visible=going),
            view.kill: gr.Button(KILL, variant="secondary", visible=entry.is_alive),
            view.remove: gr.Button(REMOVE, variant="secondary", visible=not going),
        }


def table(entries: Sequence[RunEntry], picked: str, chosen: Sequence[str]) -> str:
    """Runs as rows; those of `chosen` are ticked."""
    if not entries:
        return '<p class="at-none">Nothing matches.</p>'
    more = len(entries) - SHOWN
    rest = f'<p class="at-none">{more:,} more; filter to see them.</p>' if more > 0 else ""
    rows = "".join(_row(each, each.name == picked, chosen) for each in entries[:SHOWN])
    return (
        '<div class="at-scroll"><table class="at-table at-run-table" role="grid"><thead><tr>'
        '<th><span class="at-hidden">Compare</span></th><th>name</th><th>status</th>'
        '<th>progress</th><th class="wide">method</th><th class="wide">model</th>'
        '<th class="wide">owner</th><th class="wide number">begun</th></tr></thead>'
        f"<tbody>{rows}</tbody></table></div>{rest}"
    )


def _row(entry: RunEntry, picked: bool, chosen: Sequence[str]) -> str:
    name = html.escape(entry.name)
    share = min(1.0, entry.step / entry.steps) if entry.steps else 0.0
    counted = entry.phase.is_final or entry.phase in (Phase.TRAINING, Phase.SAMPLING, Phase.SAVING)
    words = f"{entry.step:,} of {entry.steps:,}" if counted and entry.steps else ""
    bar = f'<div class="at-share"><i style="width: {share:.0%}"></i></div>' if words else ""
    ticked = " checked" if entry.name in chosen else ""
    picks = ' class="picked" aria-selected="true"' if picked else ""
    return (
        f'<tr tabindex="0" data-pick="{name}"{picks}>'
        f'<td><label class="at-run-tick"><input type="checkbox" value="{name}" '
        f'aria-label="Compare {name}"{ticked}></label></td>'
        f"<td><b>{html.escape(entry.title)}</b></td><td>{shown.chip(entry)}</td>"
        f'<td class="at-run-far">{words}{bar}</td>'
        f'<td class="wide">{shown.METHODS[entry.method]}</td>'
        f'<td class="wide">{html.escape(entry.model)}</td>'
        f'<td class="wide">{html.escape(entry.owner)}</td>'
        f'<td class="wide number">{shown.when(entry.made)}</td></tr>'
    )


def _log(text: str) -> str:
    if not text.strip():
        return '<p class="at-none">It has printed nothing.</p>'
    return f'<pre class="at-run-log" tabindex="0">{html.escape(text)}</pre>'


def wire(view: RunsView, services: Services, tab: gr.Tab) -> RunsHandlers:
    """Connect the controls but those that lead to another panel."""
    handlers = RunsHandlers(services, view)
    latest: dict[str, Any] = {"trigger_mode": "always_last", "concurrency_limit": None, **QUIET}
    listing = (handlers.lists, view.asked, view.listed)
    ends = [view.resume, view.pause, view.stop, view.kill, view.remove]
    sharing.wire(view.sharing, services, view.picked, Sort.RUN, sharing.Controls(own=ends))
    tab.select(*listing, **latest)
    for changed in (view.search.change, view.phase.input, view.method.input, view.owner.input):
        changed(*listing, **latest)
    view.table.look(handlers.look, view.asked, [view.table, view.curves], **latest)
    view.table.pick(handlers.pick, None, view.chosen, **latest)
    view.table.choose(handlers.choose, view.asked, [view.compared, view.curves], **latest)
    for button, act in (
        (view.resume, handlers.resume),
        (view.pause, handlers.pause),
        (view.stop, handlers.stop),
        (view.kill, handlers.kill),
        (view.remove, handlers.remove),
    ):
        button.click(act, view.asked, view.chosen, **QUIET).then(*listing, **QUIET)
    return handlers
