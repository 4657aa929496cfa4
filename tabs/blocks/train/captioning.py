"""What takes its time with picture sets: captions by a local model, and sets of the hub."""

import html
from collections.abc import Iterator
from typing import Any

import gradio as gr

from studio.events import Failed, Finished, Notice, Stopped
from studio.requests import validated
from studio.services import Services
from studio.training_requests import CaptionRequest, FetchPicturesRequest
from tabs.blocks import going
from tabs.blocks.benchmark import progress_line
from tabs.blocks.maker import in_words
from tabs.blocks.train.sets import Sets
from tabs.forms import Values

_KINDS = ("caption-pictures", "fetch-pictures")


class CaptionHandlers:
    """What the controls of automatic captions and of the hub do."""

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

    def fetch(self, values: Values) -> None:
        """Let a set be made of a data set of the hub."""
        with in_words("Not begun"):
            given = {"repo": str(values[self._view.repo] or "").strip()}
            self._queue.submit(validated(FetchPicturesRequest, given))

    def follow(self) -> Iterator[dict[Any, Any]]:
        """How far they are, one after the other."""
        view = self._view
        for job in going.each_job(self._queue, _KINDS):
            asked = self._queue.request(job)
            fetched = isinstance(asked, FetchPicturesRequest)
            if isinstance(asked, FetchPicturesRequest):
                name, end = html.escape(asked.repo), "The pictures are here."
            else:
                assert isinstance(asked, CaptionRequest)
                name, end = html.escape(asked.pictures), "The captions are written."
            for event in self._queue.follow(job.id):
                if isinstance(event, Notice):
                    say = gr.Info if fetched else gr.Warning
                    say(html.escape(event.text), title=name, duration=10)
                elif isinstance(event, Failed):
                    gr.Warning(html.escape(event.reason), title=name, duration=20)
                elif isinstance(event, Finished):
                    gr.Info(end, title=name, duration=6)
                elif event is not None and not isinstance(event, Stopped):
                    yield {view.progress: progress_line(event), view.stop: gr.Button(visible=True)}
        yield {view.progress: "", view.stop: gr.Button(visible=False)}

    def stop(self) -> None:
        """Stop the job; what is written stays, and can be undone."""
        with in_words():
            going.stop(self._queue, _KINDS)
