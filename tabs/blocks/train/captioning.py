"""Captions written by a local model: the job, how far it is, and its end."""

import html
from collections.abc import Iterator
from typing import Any

import gradio as gr

from studio.events import Failed, Finished, Notice, Stopped
from studio.requests import validated
from studio.services import Services
from studio.training_requests import CaptionRequest
from tabs.blocks import going
from tabs.blocks.benchmark import progress_line
from tabs.blocks.maker import in_words
from tabs.blocks.train.sets import Sets
from tabs.forms import Values

_KINDS = ("caption-pictures",)


class CaptionHandlers:
    """What the controls of automatic captions do."""

    def __init__(self, services: Services, view: Sets):
        self._queue = services.queue
        self._view = view

    def start(self, values: Values) -> None:
        """Put the job into the queue."""
        view = self._view
        given = {
            "pictures": values[view.name] or "",
            "replace": bool(values[view.caption_all]),
            "form": values[view.form] or "{}",
        }
        with in_words("Not begun"):
            self._queue.submit(validated(CaptionRequest, given))

    def follow(self) -> Iterator[dict[Any, Any]]:
        """How far the captions are, one set after the other."""
        view = self._view
        for job in going.each_job(self._queue, _KINDS):
            asked = self._queue.request(job)
            assert isinstance(asked, CaptionRequest)
            name = html.escape(asked.pictures)
            for event in self._queue.follow(job.id):
                if isinstance(event, Notice):
                    gr.Warning(html.escape(event.text), title=name, duration=10)
                elif isinstance(event, Failed):
                    gr.Warning(html.escape(event.reason), title=name, duration=20)
                elif isinstance(event, Finished):
                    gr.Info("The captions are written.", title=name, duration=6)
                elif event is not None and not isinstance(event, Stopped):
                    yield {view.progress: progress_line(event), view.stop: gr.Button(visible=True)}
        yield {view.progress: "", view.stop: gr.Button(visible=False)}

    def stop(self) -> None:
        """Stop the job; what is written stays, and can be undone."""
        with in_words():
            going.stop(self._queue, _KINDS)
