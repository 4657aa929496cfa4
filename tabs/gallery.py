"""The Gallery tab: all pictures, page by page, newest first."""

import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import gradio as gr

from studio.errors import AtelierError
from studio.services import Services
from studio.store.outputs import Page
from tabs.blocks.maker import QUIET, in_words, picture_id
from tabs.theme import script

PAGE = 60
_LONGEST_SEARCH = 1000
_ALL = ("All models", "")
_SHOWS = [("Pictures", "pictures"), ("Trash", "trash")]
_GRID = """
<div><div class="at-empty"></div>
<div class="at-grid" role="group" aria-label="Pictures"></div></div>
"""
_DETAIL = """
<div class="at-detail">
  <div class="at-canvas"><img alt="" hidden>
    <div class="at-empty">Pick a picture to see it large, with its settings.</div></div>
  <div class="at-acts" hidden>
    <button type="button" class="at-act" data-act="use">Send to Generate</button>
    <button type="button" class="at-act" data-act="edit">Send to Edit</button>
    <button type="button" class="at-act" data-act="upscale">Send to Extras</button>
    <a class="at-act download" download>Download</a>
    <button type="button" class="at-act" data-act="trash">Move to trash</button>
    <button type="button" class="at-act" data-act="restore" hidden>Restore</button>
  </div>
  <details class="at-facts" open hidden>
    <summary class="at-when">Settings</summary><pre></pre></details>
  <dialog class="at-viewer"><img alt="">
    <button type="button" class="at-icon" aria-label="Close">&#10005;</button></dialog>
</div>
"""


@dataclass(frozen=True)
class GalleryView:
    """Components of the tab; `offset` is the first picture's place."""

    search: gr.Textbox
    model: gr.Dropdown
    show: gr.Radio
    grid: gr.HTML
    previous: gr.Button
    next: gr.Button
    count: gr.HTML
    offset: gr.State
    detail: gr.HTML
    undo: gr.Button
    trashed: gr.State


def build() -> GalleryView:
    """Lay the tab out."""
    with gr.Row(elem_id="at-gallery-main"):
        with gr.Column(scale=1, min_width=320, elem_id="at-gallery-list"):
            with gr.Row():
                search = gr.Textbox(
                    label="Search",
                    placeholder="words of the prompt or the model",
                    scale=2,
                    min_width=260,
                    elem_id="at-search",
                )
                model = gr.Dropdown([_ALL], value="", label="Model", min_width=140)
                show = gr.Radio(_SHOWS, value="pictures", label="Show", min_width=160)
            grid = gr.HTML(
                {}, html_template=_GRID, js_on_load=script("gallery"), elem_id="at-gallery"
            )
            with gr.Row(elem_id="at-gallery-nav"):
                previous = gr.Button("Newer", interactive=False)
                count = gr.HTML("", elem_id="at-gallery-count", padding=False)
                following = gr.Button("Older", interactive=False)
        with gr.Column(scale=0, min_width=380, elem_id="at-gallery-side"):
            detail = gr.HTML({}, html_template=_DETAIL, js_on_load=script("detail"))
            undo = gr.Button("Undo: take it out of the trash", visible=False, elem_id="at-undo")
    return GalleryView(
        search=search,
        model=model,
        show=show,
        grid=grid,
        previous=previous,
        next=following,
        count=count,
        offset=gr.State(0),
        detail=detail,
        undo=undo,
        trashed=gr.State(None),
    )


class Handlers:
    """What the tab's controls do."""

    def __init__(self, services: Services, view: GalleryView):
        self._outputs = services.outputs
        self._view = view

    def first(self, search: str, model: str, show: str) -> dict[Any, Any]:
        """The newest pictures that match."""
        return self.turn(0, search, model, show)

    def newer(self, offset: int, search: str, model: str, show: str) -> dict[Any, Any]:
        """The page before."""
        return self.turn(max(0, offset - PAGE), search, model, show)

    def older(self, offset: int, search: str, model: str, show: str) -> dict[Any, Any]:
        """The page after."""
        return self.turn(offset + PAGE, search, model, show)

    def look(
        self, offset: int, search: str, model: str, show: str, event: gr.EventData
    ) -> dict[Any, Any]:
        """The first page anew, when it is open and its first picture is no longer the newest.

        Nobody asked for this look, so nobody is told that it failed.
        """
        if offset or show == "trash":
            return gr.skip()
        with suppress(AtelierError):
            newest = self._page(0, 1, search, model, show).rows
            if picture_id(event) != (newest[0].id if newest else -1):
                return self.first(search, model, show)
        return gr.skip()

    def turn(self, offset: int, search: str, model: str, show: str) -> dict[Any, Any]:
        """The page that begins at a place."""
        view = self._view
        with in_words():
            page = self._page(offset, PAGE, search, model, show)
            models = self._outputs.models()
        if offset and not page.rows:  # its last picture went to the trash
            return self.turn(max(0, offset - PAGE), search, model, show)
        last = offset + len(page.rows)
        empty = "Nothing here yet." if not search and not model else "Nothing matches."
        counted = f"{offset + 1:,}–{last:,} of {page.total:,}" if page.rows else ""
        return {
            view.grid: {"items": [row.id for row in page.rows], "empty": empty},
            view.count: counted,
            view.offset: offset,
            view.model: gr.Dropdown([_ALL, *((name, name) for name in models)]),
            view.previous: gr.Button(interactive=offset > 0),
            view.next: gr.Button(interactive=last < page.total),
        }

    def _page(self, offset: int, count: int, search: str, model: str, show: str) -> Page:
        words = (search or "")[:_LONGEST_SEARCH]
        return self._outputs.page(offset, count, words, model or "", show == "trash")

    def pick(self, event: gr.EventData) -> dict[str, Any]:
        """The picked picture with its settings."""
        with in_words():
            row = self._outputs.get(picture_id(event))
        when = time.strftime("%d %B %Y, %H:%M", time.localtime(row.created_at))
        return {
            "id": row.id,
            "infotext": row.infotext,
            "prompt": row.prompt,
            "trashed": row.trashed_at is not None,
            "when": when,
        }

    def trash(self, event: gr.EventData) -> tuple[dict[str, Any], int, gr.Button]:
        """Put the picture into the trash, from where it can be taken back."""
        with in_words():
            self._outputs.trash([picture_id(event)])
        return {}, picture_id(event), gr.Button(visible=True)

    def restore(self, event: gr.EventData) -> tuple[dict[str, Any], None, gr.Button]:
        """Take the picture out of the trash."""
        with in_words():
            self._outputs.restore([picture_id(event)])
        return {}, None, gr.Button(visible=False)

    def undo(self, trashed: int | None) -> tuple[None, gr.Button]:
        """Take back what was put into the trash last."""
        if trashed is not None:
            with in_words():
                self._outputs.restore([trashed])
        return None, gr.Button(visible=False)


def wire(view: GalleryView, services: Services, tab: gr.Tab) -> None:
    """Connect the tab's controls."""
    handlers = Handlers(services, view)
    filters = [view.search, view.model, view.show]
    shown = [view.grid, view.count, view.offset, view.model, view.previous, view.next]
    for trigger in (
        tab.select,
        view.search.submit,
        view.search.change,  # not `input`, which Backspace and pasting do not give
        view.model.input,
        view.show.input,
    ):
        trigger(handlers.first, filters, shown, trigger_mode="always_last", **QUIET)
    view.previous.click(handlers.newer, [view.offset, *filters], shown, **QUIET)
    view.next.click(handlers.older, [view.offset, *filters], shown, **QUIET)
    view.grid.look(handlers.look, [view.offset, *filters], shown, **QUIET)
    view.grid.pick(handlers.pick, None, [view.detail], trigger_mode="always_last", **QUIET)
    again = (handlers.turn, [view.offset, *filters], shown)
    taken = [view.detail, view.trashed, view.undo]
    view.detail.trash(handlers.trash, None, taken, **QUIET).then(*again, **QUIET)
    view.detail.restore(handlers.restore, None, taken, **QUIET).then(*again, **QUIET)
    view.undo.click(handlers.undo, [view.trashed], [view.trashed, view.undo], **QUIET).then(
        *again, **QUIET
    )
