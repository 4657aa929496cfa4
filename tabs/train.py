"""The Train tab: models taught a subject or a style, their pictures, and the runs that do it."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import gradio as gr

from studio.services import Services
from studio.store.belongings import Sort
from tabs.blocks import sharing
from tabs.blocks.maker import QUIET
from tabs.blocks.train import launcher, runs, sets
from tabs.blocks.train.captioning import CaptionHandlers
from tabs.blocks.train.editing import SetHandlers
from tabs.blocks.train.following import FollowHandlers
from tabs.blocks.train.gridding import GridHandlers
from tabs.blocks.train.launcher import Launcher
from tabs.blocks.train.launching import LaunchHandlers
from tabs.events import apart

_LATEST: dict[str, Any] = {"trigger_mode": "always_last", "concurrency_limit": None, **QUIET}
_RESULT = """() => document.querySelector("#at-train-tabs .at-result")
  .scrollIntoView({ block: innerWidth > 860 ? "nearest" : "start", behavior: "smooth" })"""
"""Brings what comes of a press into sight, which is below it on a phone."""
_UP = "() => window.scrollTo({ top: 0, behavior: 'smooth' })"


@dataclass(frozen=True)
class TrainView:
    """Components of the tab; each panel has its own."""

    tabs: gr.Tabs
    launcher: Launcher
    launch_tab: gr.Tab
    sets: sets.Sets
    sets_tab: gr.Tab
    runs: runs.RunsView
    runs_tab: gr.Tab


def build(services: Services) -> TrainView:
    """Lay the tab out."""
    with gr.Tabs(elem_id="at-train-tabs") as tabs:
        with gr.Tab("New", id="new") as launch_tab:
            launching = launcher.build(services)
        with gr.Tab("Pictures", id="sets") as sets_tab:
            looking = sets.build()
        with gr.Tab("Runs", id="runs") as runs_tab:
            listing = runs.build()
    return TrainView(tabs, launching, launch_tab, looking, sets_tab, listing, runs_tab)


def wire(view: TrainView, services: Services, tab: gr.Tab) -> FollowHandlers:
    """Connect the panels; tab: the Train tab itself."""
    following = _wire_launcher(view.launcher, services, (tab, view.launch_tab))
    _wire_sets(view, services)
    _wire_runs(view, services, following)
    return following


def _wire_launcher(
    view: Launcher, services: Services, opening: tuple[gr.Tab, gr.Tab]
) -> FollowHandlers:
    handlers, following = LaunchHandlers(services, view), FollowHandlers(services, view)
    controls = view.form.fields
    asked: set[Any] = {*view.form.inputs, view.preset, view.report}
    of_set = [controls["pictures"], view.strip, view.drop, controls["name"], *view.open]
    word = [controls["trigger"], controls["prompt"], *view.judged]
    follows: dict[str, Any] = {"inputs": [view.subject], "outputs": view.followed, **_LATEST}
    everything = list(dict.fromkeys([*of_set, controls["model"], *view.by_method, *view.judged]))
    opened = apart(partial(gr.on, [each.select for each in opening]))
    opened.then(handlers.lists, asked, everything, **_LATEST)
    opened.then(following.follow, **follows)
    by_method = list(dict.fromkeys(view.by_method))
    for changed in (
        *(controls[name].input for name in ("method", "whole", "text_encoder", "preservation")),
        controls["conv_rank"].release,
    ):
        changed(handlers.choose_method, asked, by_method, **_LATEST)
    controls["model"].input(handlers.choose_model, asked, [*by_method, *view.judged], **_LATEST)
    view.drop.dropped(handlers.drop, asked, of_set, **QUIET)
    controls["pictures"].input(handlers.choose_set, asked, of_set, **_LATEST)
    for name in ("batch_size", "held_out", "steps", "rank", "optimiser", "class_prompt"):
        controls[name].change(handlers.follows, asked, view.open, **_LATEST)
    controls["trigger"].change(handlers.judge, asked, view.judged, **_LATEST)
    controls["prompt"].change(handlers.judge, asked, view.judged, **_LATEST)
    view.words.choose(handlers.choose_word, asked, word, **QUIET)
    of_template = [controls[name] for name in ("prompt", "class_prompt", "trigger")]
    view.templates.choose(handlers.choose_template, asked, of_template, **QUIET)
    view.preset.input(
        handlers.choose_preset, asked, [view.preset, *view.form.outputs], **QUIET
    ).then(handlers.choose_method, asked, by_method, **QUIET)
    _wire_presses(view, handlers, following, asked, follows)
    _wire_grid(view, services)
    _wire_file(view, handlers, asked, by_method)
    return following


def _wire_presses(
    view: Launcher,
    handlers: LaunchHandlers,
    following: FollowHandlers,
    asked: set[Any],
    follows: dict[str, Any],
) -> None:
    checking = [view.health, view.report]
    slow: dict[str, Any] = {"concurrency_limit": None, **QUIET}
    view.check.click(handlers.check, asked, checking, **slow)
    view.cost.click(handlers.cost, asked, [view.health], **slow)
    view.health.act(
        handlers.act,
        asked,
        [*checking, view.form.fields["buckets"], view.strip, view.drop],
        **slow,
    )
    begun = view.start.click(handlers.start, asked, [view.subject, view.health], **QUIET)
    begun.success(following.follow, **follows)
    for pressed in (view.check.click, view.cost.click, begun.success):
        pressed(None, None, None, js=_RESULT)
    view.pause.click(following.pause, [view.subject], None, **QUIET)
    view.stop.click(following.stop, [view.subject], None, **QUIET)
    view.resume.click(following.resume, [view.subject], None, **QUIET).success(
        following.follow, **follows
    )


def _wire_grid(view: Launcher, services: Services) -> None:
    panel, subject = view.grid, view.subject
    handlers = GridHandlers(services, panel)
    follows: dict[str, Any] = {
        "inputs": [subject],
        "outputs": [panel.progress, panel.stop, panel.shown],
        **_LATEST,
    }

    def paint(values: Any) -> None:
        handlers.paint(values[subject], values)

    gr.on([panel.panel.expand, subject.change], handlers.fill, [subject], panel.of_run, **_LATEST)
    apart(panel.panel.expand).then(handlers.follow, **follows)
    panel.paint.click(paint, {*panel.asked, subject}, None, **QUIET).success(
        handlers.follow, **follows
    )
    panel.stop.click(handlers.stop, None, None, **QUIET)


def _wire_file(
    view: Launcher, handlers: LaunchHandlers, asked: set[Any], by_method: list[Any]
) -> None:
    fit = (handlers.choose_model, asked, [*by_method, *view.judged])
    view.write.click(handlers.write, asked, [view.toml], **QUIET)
    view.read.click(handlers.read, [view.toml], view.form.outputs, **QUIET).success(*fit, **QUIET)
    view.toml_file.upload(
        handlers.open, [view.toml_file], [view.toml, *view.form.outputs], **QUIET
    ).success(*fit, **QUIET)


def _wire_sets(view: TrainView, services: Services) -> None:
    panel, model = view.sets, view.launcher.form.fields["model"]
    handlers = SetHandlers(services, panel)
    asked = panel.asked
    own = sharing.Controls(own=panel.changing, members=[panel.make, panel.fetch])
    sharing.wire(panel.sharing, services, panel.name, Sort.PICTURES, own)
    view.sets_tab.select(handlers.lists, asked, panel.chosen, **_LATEST)
    panel.name.input(handlers.choose, asked, panel.chosen, **_LATEST)
    panel.drop.dropped(handlers.drop, asked, panel.chosen, **QUIET)
    panel.make.click(handlers.make, asked, panel.chosen, **QUIET)
    panel.delete.click(handlers.delete, asked, panel.chosen, **QUIET)
    for changed in (panel.search.change, panel.which.input):
        changed(handlers.search, asked, panel.page, **_LATEST)
    for button, turned in ((panel.previous, handlers.earlier), (panel.next, handlers.later)):
        button.click(turned, asked, panel.page, **_LATEST).then(None, None, None, js=_UP)
    # Those that are written one after the other must all be kept.
    panel.grid.write(
        handlers.write,
        asked,
        [panel.facts, panel.tag, panel.undo, panel.count],
        trigger_mode="multiple",
        **QUIET,
    )
    for changed in (panel.find.change, panel.pattern.input, panel.case.input):
        changed(handlers.count, asked, [panel.count], **_LATEST)
    for button, edit in (
        (panel.replace, handlers.replace),
        (panel.prefix, handlers.prefix),
        (panel.suffix, handlers.suffix),
        (panel.without, handlers.without),
        (panel.tidy, handlers.tidy),
        (panel.order, handlers.order),
        (panel.undo, handlers.undo),
    ):
        button.click(edit, asked, panel.edited, **QUIET)
    panel.shuffle.click(handlers.shuffle, asked, [panel.shuffled], **QUIET)

    _wire_captions(panel, services, handlers, view.sets_tab)

    # Such a handler gets the values by component, and the model beside them.
    def pick(values: Any, event: gr.EventData) -> dict[Any, Any]:
        return handlers.pick(values, values[model], event)

    def focus(values: Any, event: gr.EventData) -> dict[Any, Any]:
        return handlers.focus(values, values[model], event)

    def middle(values: Any) -> dict[Any, Any]:
        return handlers.middle(values, values[model])

    panel.grid.pick(pick, {*asked, model}, panel.alone, **_LATEST)
    panel.cut.place(focus, {*asked, model}, panel.alone, **_LATEST)
    panel.middle.click(middle, {*asked, model}, panel.alone, **QUIET)
    panel.out.click(handlers.out, asked, [*panel.edited, panel.one, panel.picked], **QUIET)
    panel.close.click(handlers.close, None, [panel.one, panel.picked], **QUIET)


def _wire_captions(
    panel: sets.Sets, services: Services, handlers: SetHandlers, tab: gr.Tab
) -> None:
    captions = CaptionHandlers(services, panel)
    follows: dict[str, Any] = {"outputs": [panel.progress, panel.stop], **_LATEST}
    apart(tab.select).then(captions.follow, None, **follows)
    panel.caption.click(captions.start, panel.asked, None, **QUIET).success(
        captions.follow, None, **follows
    ).then(handlers.search, panel.asked, panel.page, **QUIET)
    panel.fetch.click(captions.fetch, panel.asked, None, **QUIET).success(
        captions.follow, None, **follows
    ).then(handlers.lists, panel.asked, panel.chosen, **QUIET)
    panel.stop.click(captions.stop, None, None, **QUIET)


def _wire_runs(view: TrainView, services: Services, following: FollowHandlers) -> None:
    panel = view.runs
    handlers = runs.wire(panel, services, view.runs_tab)
    filling = LaunchHandlers(services, view.launcher)

    def opened(name: str) -> list[Any]:
        return [name, gr.Tabs(selected="new")]

    def again(values: Any) -> list[Any]:
        given = handlers.settings(values)
        given["name"] = filling.free_name(given["name"])
        return [*filling.filled(given), gr.Tabs(selected="new")]

    panel.open.click(opened, [panel.picked], [view.launcher.subject, view.tabs], **QUIET).then(
        following.follow, [view.launcher.subject], view.launcher.followed, **_LATEST
    ).then(None, None, None, js=_UP)
    panel.settings.click(again, panel.asked, [*view.launcher.form.outputs, view.tabs], **QUIET)
