"""Speed-ups that fit the model and this machine, and a button that times them here."""

import html
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import gradio as gr

from studio.errors import AtelierError
from studio.events import Event, Failed, Finished, Notice, Progress, Stopped
from studio.models.entry import ModelEntry
from studio.models.speedups import SpeedupEntry, fitting
from studio.requests import TimingRequest, validated
from studio.services import Services
from tabs.blocks import going
from tabs.blocks.stage import duration
from tabs.events import apart
from tabs.forms import Form, Values

_QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
_TIMED = ("model", "width", "height", "batch_size", "steps")


@dataclass(frozen=True)
class Speed:
    """Components of the group; tiled: for pictures that are painted in tiles."""

    group: gr.Accordion
    choice: gr.CheckboxGroup
    notes: gr.HTML
    time: gr.Button
    shown: gr.HTML
    stop: gr.Button
    tiled: bool = False


def build(services: Services, entry: ModelEntry, ids: str, *, tiled: bool = False) -> Speed:
    """Lay the group out, folded away and hidden where nothing fits; ids: begin of element ids."""
    found = _found(services, entry, tiled)
    with gr.Accordion(
        "Speed-ups", open=False, visible=bool(found), elem_id=f"{ids}speedups"
    ) as group:
        choice = gr.CheckboxGroup(
            _choices(services, entry, found), value=[], show_label=False, container=False
        )
        notes = gr.HTML(_notes(found), padding=False)
        time = gr.Button("Time them here", size="sm", elem_id=f"{ids}time")
        shown = gr.HTML("", padding=False, elem_id=f"{ids}timing")
        stop = gr.Button("Stop the timing", size="sm", visible=False)
    return Speed(group, choice, notes, time, shown, stop, tiled)


def fitted(
    updates: dict[str, Any], entry: ModelEntry | None, view: Speed, services: Services
) -> None:
    """Pass over those of stored speed-ups that the model or this machine cannot have.

    entry: the model that they are for; None where nobody knows, and then they are all left out.
    """
    wanted = updates.pop("speedups")
    if entry is not None and not entry.problem:
        found = _found(services, entry, view.tiled)
        kept = [each.key.value for each in found if each.key.value in set(wanted or ())]
        updates["speedups"] = gr.CheckboxGroup(_choices(services, entry, found), value=kept)


class SpeedHandlers:
    """What the group's controls do. Everybody sees and may stop what is timed."""

    def __init__(self, view: Speed, form: Form, services: Services):
        self._view = view
        self._form = form
        self._services = services

    def refresh(self, model: str, chosen: list[str] | None) -> list[Any]:
        """The group for a model; what was chosen stays as far as it fits."""
        try:
            entry = self._services.catalogue.usable(model or "")
        except AtelierError:
            return [gr.Accordion(visible=False), gr.CheckboxGroup(value=[]), ""]
        found = _found(self._services, entry, self._view.tiled)
        kept = [each.key.value for each in found if each.key.value in (chosen or ())]
        choice = gr.CheckboxGroup(_choices(self._services, entry, found), value=kept)
        return [gr.Accordion(visible=bool(found)), choice, _notes(found)]

    def submit(self, values: Values) -> None:
        """Put a timing at the form's size and batch into the queue, or say why it cannot be."""
        given = {
            name: values[self._form.fields[name]] for name in _TIMED if name in self._form.fields
        }
        asked = {name: value for name, value in given.items() if value}  # 0: the model's own
        try:
            self._services.queue.submit(validated(TimingRequest, asked))
        except AtelierError as error:
            raise gr.Error(
                str(error), title="This cannot be timed", print_exception=False
            ) from None

    def follow(self) -> Iterator[tuple[str, gr.Button]]:
        """How far the timings are, one after the other, as long as there are any."""
        queue, seen = self._services.queue, set[str]()
        while rows := [row for row in queue.unended("timing") if row.id not in seen]:
            seen.add(rows[0].id)
            for event in queue.follow(rows[0].id):
                if isinstance(event, Notice | Failed):
                    text = event.text if isinstance(event, Notice) else event.reason
                    gr.Warning(html.escape(text), title="Not timed", duration=20)
                if event is not None:
                    yield shown(event), gr.Button(visible=True)
        yield "", gr.Button(visible=False)

    def stop(self) -> None:
        """Stop the timing that runs, or the first that waits."""
        for row in self._services.queue.unended("timing")[:1]:
            self._services.queue.cancel(row.id)


def wire(view: Speed, form: Form, services: Services) -> None:
    """Connect the group to a form's model, size and batch."""
    handlers = SpeedHandlers(view, form, services)
    model = form.fields["model"]
    refreshing: Mapping[str, Any] = _refreshing(handlers, view, form)
    following: dict[str, Any] = {
        "outputs": [view.shown, view.stop],
        "concurrency_limit": None,
        "trigger_mode": "always_last",
        **_QUIET,
    }
    asked = {form.fields[name] for name in _TIMED if name in form.fields}
    view.time.click(handlers.submit, asked, None, **_QUIET).success(
        handlers.follow, None, **following
    ).then(**refreshing)
    view.group.expand(handlers.follow, None, **following).then(**refreshing)
    view.stop.click(handlers.stop, None, None, **_QUIET)
    apart(model.change).then(**refreshing, queue=False, trigger_mode="always_last")


def refresh_after(event: Any, view: Speed, form: Form, services: Services) -> None:
    """Fit the group to the model once an event has filled the form."""
    event.then(**_refreshing(SpeedHandlers(view, form, services), view, form), queue=False)


def _refreshing(handlers: SpeedHandlers, view: Speed, form: Form) -> dict[str, Any]:
    return {
        "fn": handlers.refresh,
        "inputs": [form.fields["model"], view.choice],
        "outputs": [view.group, view.choice, view.notes],
        **_QUIET,
    }


def shown(event: Event) -> str:
    """An event of a timing as a line and a bar."""
    share, words = 0.0, "waits"
    if isinstance(event, Failed | Finished | Stopped):
        return ""
    if isinstance(event, Progress):
        share, words = event.fraction, event.label
        if event.seconds_left is not None:
            words += f", {duration(event.seconds_left)} left"
    return going.bar("Timing", words, share)


def _found(services: Services, entry: ModelEntry, tiled: bool) -> list[SpeedupEntry]:
    if entry.family is None:
        return []
    return fitting(entry, services.engine.known_device, tiled=tiled)


def _choices(
    services: Services, entry: ModelEntry, found: list[SpeedupEntry]
) -> list[tuple[str, str]]:
    """Titles, with what was measured here, and keys."""
    speed = services.speeds.newest(entry.id, services.engine.known_device)
    ratios = speed.ratios if speed is not None else {}
    return [
        (
            f"{each.title} · {ratios[each.key.value]:.1f}× here"
            if each.key.value in ratios
            else each.title,
            each.key.value,
        )
        for each in found
    ]


def _notes(found: list[SpeedupEntry]) -> str:
    lines = (f"<li><b>{each.title}</b>: {each.note}</li>" for each in found)
    return f'<ul class="at-notes">{"".join(lines)}</ul>' if found else ""
