"""Models from the Hugging Face hub: what to fetch, how far it is, and how to stop it."""

import html
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import gradio as gr

from studio.events import Event, Failed, Finished, Progress, Stopped
from studio.requests import DownloadRequest
from studio.services import Services
from tabs.blocks import going
from tabs.blocks.maker import QUIET, in_words
from tabs.events import apart
from tabs.forms import Form

_KINDS = ("download",)
_WAITS = "waits for another download"


@dataclass(frozen=True)
class Fetch:
    """Components of the group; `asked` is the id of the page's last download."""

    form: Form
    start: gr.Button
    shown: gr.HTML
    cancel: gr.Button
    asked: gr.State


def build() -> Fetch:
    """Lay the group out, folded away."""
    with gr.Accordion("Get a model from Hugging Face", open=False, elem_id="at-fetch"):
        repo = gr.Textbox(
            label="Repository", placeholder="owner/name", elem_id="at-fetch-repo", max_lines=1
        )
        file = gr.Textbox(
            label="File (empty for the whole model)", placeholder="model.safetensors", max_lines=1
        )
        revision = gr.Textbox(label="Revision (empty for the newest)", max_lines=1)
        start = gr.Button("Download", elem_id="at-fetch-start", elem_classes="at-administrators")
    shown = gr.HTML("", elem_id="at-fetching", padding=False)
    cancel = gr.Button("Stop the download", visible=False, size="sm", elem_id="at-fetch-cancel")
    form = Form(DownloadRequest, {"repo": repo, "file": file, "revision": revision})
    return Fetch(form, start, shown, cancel, gr.State(""))


class FetchHandlers:
    """What the group's controls do. Everybody sees and may stop what is fetched."""

    def __init__(self, services: Services, view: Fetch):
        self._queue = services.queue
        self._view = view

    def submit(self, values: Any) -> str:
        """Put a download into the queue and return its id, or say why it cannot be done."""
        with in_words():
            request = self._view.form.request(
                {component: str(value or "").strip() for component, value in values.items()}
            )
            return self._queue.submit(request)

    def follow(self, own: str = "") -> Iterator[tuple[str, gr.Button]]:
        """How far the downloads are, one after the other, as long as there are any.

        own: id of one whose end is told even when it came at once.
        """
        for job in going.each_job(self._queue, _KINDS, own):
            asked = self._queue.request(job)
            assert isinstance(asked, DownloadRequest)
            for event in self._queue.follow(job.id):
                if event is not None:
                    yield shown(asked.repo, event), gr.Button(visible=True)
                if isinstance(event, Failed):
                    gr.Warning(html.escape(event.reason), title="Not downloaded", duration=20)
                if isinstance(event, Finished):
                    gr.Info(f"{html.escape(asked.repo)} is here.", title="Downloaded", duration=6)
        yield "", gr.Button(visible=False)

    def cancel(self) -> None:
        """Stop what is fetched; another try goes on where it was."""
        with in_words():
            going.stop(self._queue, _KINDS)


def wire(view: Fetch, services: Services, tab: gr.Tab, again: tuple[Any, Any, Any]) -> None:
    """Connect the controls; again: what refreshes the list of models."""
    handlers = FetchHandlers(services, view)
    following: dict[str, Any] = {
        "outputs": [view.shown, view.cancel],
        "concurrency_limit": None,
        "trigger_mode": "always_last",
        **QUIET,
    }
    view.start.click(handlers.submit, {*view.form.inputs}, [view.asked], **QUIET).success(
        handlers.follow, [view.asked], **following
    ).then(*again, **QUIET)
    apart(tab.select).then(handlers.follow, None, **following).then(*again, **QUIET)
    view.cancel.click(handlers.cancel, None, None, **QUIET)


def shown(name: str, event: Event, waits: str = _WAITS) -> str:
    """An event as a line and a bar; waits: what is said of a job whose turn has not come."""
    share, words = 0.0, waits
    if isinstance(event, Progress):
        share = event.fraction
        words = f"{event.step:,} of {event.steps:,} {event.unit}"
        if event.seconds_left is not None:
            words += f", {_time(event.seconds_left)} left"
    elif isinstance(event, Failed | Finished | Stopped):
        return ""
    return going.bar(name, words, share)


def _time(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
