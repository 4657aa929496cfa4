"""The stage: the running job with its preview, and the pictures of this page below it."""

import base64
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace

import gradio as gr

from studio.errors import NotFound
from studio.events import (
    Event,
    Failed,
    Finished,
    Loading,
    Measured,
    Notice,
    Preview,
    Progress,
    Queued,
    Saved,
    Stopped,
    Waiting,
)
from studio.jobs.queue import JobQueue
from tabs.theme import script

_SHOWN = 60
REMEMBERED_JOBS = 20
_TEMPLATE = """
<div class="at-stage" data-ids="IDS">
  <div class="at-message" role="alert" hidden></div>
  <div class="at-canvas">
    <img alt="" hidden>
    <div class="at-compare" hidden><img class="at-before" alt=""><i class="at-divider"></i>
      <input class="at-wipe" type="range" min="0" max="100" value="50"
        aria-label="Share of the picture from before"></div>
    <div class="at-empty">EMPTY</div>
    <div class="at-progress" role="status" hidden>
      <div class="row"><span class="what"></span><span class="left"></span></div>
      <div class="bar"><i></i></div>
    </div>
  </div>
  <div class="at-strip" role="group" aria-label="Pictures of this page"></div>
  <div class="at-acts" hidden>
    <a class="at-act download" download>Download</a>
    <button type="button" class="at-act" data-act="compare" aria-pressed="false"
      hidden>Compare</button>
    <button type="button" class="at-act" data-act="edit">Edit</button>
    <button type="button" class="at-act" data-act="upscale">Upscale</button>
    <button type="button" class="at-act" data-act="use">Use settings</button>
    <button type="button" class="at-act" data-act="seed">Reuse seed</button>
    <button type="button" class="at-act" data-act="copy">Copy settings</button>
  </div>
  <details class="at-facts" hidden><summary>Settings of this picture</summary><pre></pre></details>
  <dialog class="at-viewer"><img alt="">
    <button type="button" class="at-icon" aria-label="Close">&#10005;</button></dialog>
</div>
"""


@dataclass(frozen=True)
class View:
    """What the stage shows; items are ids of pictures, newest first."""

    job: str = ""
    status: str = ""
    active: bool = False
    fraction: float = 0.0
    text: str = ""
    left: str = ""
    preview: str = ""
    message: str = ""
    tone: str = ""
    items: tuple[int, ...] = ()

    def as_value(self) -> dict[str, object]:
        """The component's value."""
        return asdict(self)


@dataclass
class PageJobs:
    """The jobs of one open page, oldest first, and the one that it follows.

    borrowed: they are another page's, shown until this one has jobs of its own.
    """

    ids: list[str]
    current: str = ""
    borrowed: bool = False

    def add(self, job_id: str) -> None:
        """Follow a job of this page; another page's job is let go, and with it its Cancel."""
        if self.borrowed:
            self.ids.clear()
            self.borrowed, self.current = False, ""
        self.ids.append(job_id)
        del self.ids[:-REMEMBERED_JOBS]


def build(ids: str, empty: str) -> gr.HTML:
    """Lay the stage out.

    ids: what the element ids of its tab begin with. empty: markup of what stands there at first.
    """
    return gr.HTML(
        View().as_value(),
        html_template=_TEMPLATE.replace("IDS", ids).replace("EMPTY", empty),
        js_on_load=script("stage"),
        elem_id=f"{ids}stage",
    )


def follow(queue: JobQueue, page: PageJobs, heartbeat: float = 5.0) -> Iterator[View]:
    """What the stage shows while the page's jobs run, one after the other, to the end.

    A job that was added meanwhile is followed too, though the list may be cut at its old end.
    Jobs that are gone are passed over. After `heartbeat` seconds without news the view comes again,
    for only then can a page that was closed meanwhile end the generator.
    """
    shown = ""
    done: set[str] = set()
    while waiting := [job_id for job_id in page.ids if job_id not in done]:
        job_id = waiting[0]
        done.add(job_id)
        try:
            if queue.get(job_id).status.is_final and len(waiting) > 1:
                continue
            page.current = shown = job_id
            view = View(items=_items(queue, page), job=job_id, active=True)
            for event in queue.follow(job_id, heartbeat):
                view = view if event is None else fold(view, event)
                yield view
                if page.current != job_id:  # it was another page's, and this one has its own now
                    break
        except NotFound:
            continue
    if not shown:
        yield View(items=_items(queue, page))


def fold(view: View, event: Event) -> View:
    """The view after an event."""
    match event:
        case Queued(position=position, seconds=seconds):
            text, left = in_line(position, seconds)
            return replace(view, status="queued", text=text, left=left)
        case Waiting(holder=holder, seconds_left=seconds):
            left = "" if seconds is None else f"free in {duration(seconds)}"
            text = f"Waiting for the device, which {holder} has"
            return replace(view, status="queued", text=text, left=left)
        case Loading(model=model):
            return replace(view, status="loading", text=f"Loading {model} …", left="")
        case Progress():
            text = f"{event.unit.capitalize()} {event.step} of {event.steps}"
            if event.items > 1:
                text += f" · {event.label or 'batch'} {event.item} of {event.items}"
            left = "" if event.seconds_left is None else duration(event.seconds_left) + " left"
            return replace(view, status="running", text=text, left=left, fraction=event.fraction)
        case Preview(image=image):
            source = "data:image/webp;base64," + base64.b64encode(image).decode()
            return replace(view, preview=source)
        case Saved(output_id=output_id):
            return replace(view, preview="", items=_with(view.items, (output_id,)))
        case Measured():
            return view
        case Notice(text=text):
            return replace(view, message=text, tone="note")
        case _:
            return _ended(view, event)


def in_line(position: int, seconds: float | None) -> tuple[str, str]:
    """A place in the line and when its turn should come, "" where that is not known."""
    end = {1: "st", 2: "nd", 3: "rd"}.get(
        position % 10 * (position % 100 not in (11, 12, 13)), "th"
    )
    text = "Next in line" if position == 1 else f"{position}{end} in line"
    return text, f"begins in about {about(seconds)}" if seconds and seconds >= 1 else ""


def about(seconds: float) -> str:
    """A time that is only reckoned, no more exact than it can be: "40 s", "2 min", "1 h 10 min"."""
    step = 1 if seconds < 10 else 10 if seconds < 90 else 60 if seconds < 3600 else 600
    return duration(round(seconds / step) * step)


def duration(seconds: float) -> str:
    """Seconds as people say them: "8 s", "2 min 5 s", "1 h 10 min"."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"


def _ended(view: View, event: Finished | Failed | Stopped) -> View:
    message, tone, status = view.message, view.tone, event.type
    if isinstance(event, Failed):
        message, tone = event.reason, ""
    elif isinstance(event, Stopped):
        status = event.status  # type: ignore[assignment]
        kept = len(event.outputs)
        message = "Cancelled." if status == "cancelled" else "The server was stopped in mid-job."
        if kept:
            message += f" {kept} finished picture{'s' if kept > 1 else ''} kept."
        tone = "note"
    return replace(
        view,
        active=False,
        status=status,
        preview="",
        text="",
        left="",
        message=message,
        tone=tone,
        items=_with(view.items, event.outputs),
    )


def _items(queue: JobQueue, page: PageJobs) -> tuple[int, ...]:
    items: tuple[int, ...] = ()
    for job_id in page.ids:
        with suppress(NotFound):
            items = _with(items, queue.outputs(job_id))
    return items


def _with(items: tuple[int, ...], new: tuple[int, ...]) -> tuple[int, ...]:
    fresh = tuple(reversed([item for item in new if item not in items]))
    return (*fresh, *items)[:_SHOWN]
