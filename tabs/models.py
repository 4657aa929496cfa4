"""The Models tab: all weights, what is in memory, notes, checks and the trash."""

import html
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import gradio as gr

from studio.diffusion.networks_called import with_lora
from studio.models.drawers import PICKLES
from studio.models.library import READER, Item
from studio.services import Services
from tabs.blocks import fetch, header, merge, sharing
from tabs.blocks.maker import QUIET, in_words
from tabs.theme import script

SHOWN = 200
"""Rows at once; beyond them a search is quicker than scrolling."""
_KINDS = [
    ("All", ""),
    ("Models", "model"),
    ("LoRA", "LoRA"),
    ("Embeddings", "embedding"),
    ("VAE", "VAE"),
    ("Text encoders", "text encoder"),
    ("Upscalers", "upscaler"),
    ("Trash", "trash"),
]
_LIST = """
<div class="at-library">
  <div class="at-memory" hidden><div class="at-gauge"><i class="all"></i><i class="own"></i>
    <i class="budget"></i></div><p></p></div>
  <div class="at-memory at-main" hidden><div class="at-gauge"><i class="all"></i><i class="own"></i>
    <i class="budget"></i></div><p></p></div>
  <p class="at-leases"></p>
  <div class="at-empty"></div>
  <div class="at-rows" role="group" aria-label="Models and other weights"></div>
  <p class="at-more"></p>
</div>
"""
_EMPTY = """<p class="at-hint">Pick a row to see what it is and what can be done with it.<br>
New files go into <code>models/</code> of the data folder and are seen at once.</p>"""
_USED = ("model", "LoRA", "embedding")
"""Kinds that a picture is made with by their name."""
_HASH_LIMIT = 4_000_000_000
"""Bytes of a model whose hash is worked out without being asked for."""


@dataclass(frozen=True)
class ModelsView:
    """Components of the tab; `picked` is the kind and the id of the row in question."""

    search: gr.Textbox
    kind: gr.Radio
    rows: gr.HTML
    fetch: fetch.Fetch
    merge: merge.Making
    picked: gr.State
    facts: gr.HTML
    actions: gr.Row
    use: gr.Button
    load: gr.Button
    unload: gr.Button
    convert: gr.Button
    standard: gr.Button
    check: gr.Button
    trash: gr.Button
    take_back: gr.Button
    delete: gr.Button
    sharing: sharing.Sharing
    about: gr.Group
    notes: gr.Textbox
    triggers: gr.Textbox
    keep: gr.Button


def build() -> ModelsView:
    """Lay the tab out."""
    with gr.Row(elem_id="at-models-main"):
        with gr.Column(scale=1, min_width=320):
            with gr.Row():
                search = gr.Textbox(
                    label="Search", placeholder="name or family", min_width=220, scale=1
                )
                kind = gr.Radio(_KINDS, value="", label="Show", min_width=320, scale=2)
            rows = gr.HTML(
                {}, html_template=_LIST, js_on_load=script("models"), elem_id="at-models"
            )
            fetching = fetch.build()
            making = merge.build()
        with gr.Column(scale=0, min_width=380, elem_id="at-models-side"):
            facts = gr.HTML(_EMPTY, elem_id="at-model-facts")
            with gr.Row(visible=False, elem_classes="at-acts") as actions:
                use = gr.Button(
                    "Use", variant="primary", size="sm", min_width=90, elem_id="at-model-use"
                )
                load = gr.Button("Load", size="sm", min_width=90, elem_id="at-model-load")
                unload = gr.Button("Unload", size="sm", min_width=90, elem_id="at-model-unload")
                convert = gr.Button(
                    "Convert to .safetensors",
                    size="sm",
                    min_width=180,
                    elem_id="at-model-convert",
                    elem_classes=sharing.ADMINISTRATORS,
                )
                standard = gr.Button(
                    "Make default",
                    size="sm",
                    min_width=110,
                    elem_id="at-model-default",
                    elem_classes=sharing.ADMINISTRATORS,
                )
                check = gr.Button("Check", size="sm", min_width=90, elem_id="at-model-check")
                trash = gr.Button(
                    "Move to trash", size="sm", min_width=120, elem_id="at-model-trash"
                )
            take_back = gr.Button("Take back", visible=False, elem_id="at-model-back")
            delete = gr.Button(
                "Delete for good", visible=False, variant="stop", elem_id="at-model-delete"
            )
            shared = sharing.build("at-model")
            with gr.Group(visible=False) as about:
                triggers = gr.Textbox(label="Trigger words", elem_id="at-model-triggers")
                notes = gr.Textbox(label="Notes", lines=4, elem_id="at-model-notes")
                keep = gr.Button("Keep notes", size="sm", elem_id="at-model-keep")
    return ModelsView(
        search=search,
        kind=kind,
        rows=rows,
        fetch=fetching,
        merge=making,
        picked=gr.State(None),
        facts=facts,
        actions=actions,
        use=use,
        load=load,
        unload=unload,
        convert=convert,
        standard=standard,
        check=check,
        trash=trash,
        take_back=take_back,
        delete=delete,
        sharing=shared,
        about=about,
        notes=notes,
        triggers=triggers,
        keep=keep,
    )


Picked = tuple[str, str] | None


class Handlers:
    """What the tab's controls do."""

    def __init__(self, services: Services, view: ModelsView):
        self._services = services
        self._library = services.library
        self._view = view

    def listed(self, search: str, kind: str, picked: Picked) -> dict[str, Any]:
        """The rows that match."""
        words = (search or "").casefold().split()
        if kind == "trash":
            rows = [
                {"kind": "trash", "id": each.key, "title": each.title, "family": each.place}
                | {"bytes": 0, "problem": ""}
                for each in self._library.thrown_away()
            ]
        else:
            rows = [
                self._row(item) for item in self._library.items() if item.kind == kind or not kind
            ]
        found = [
            row
            for row in rows
            if all(word in f"{row['title']} {row['family']}".casefold() for word in words)
        ]
        more = len(found) - SHOWN
        return {
            "items": found[:SHOWN],
            "empty": "Nothing matches." if words else "Nothing here.",
            "more": f"{more:,} more; search to see them." if more > 0 else "",
            "picked": "\n".join(picked) if picked else "",
        }

    def pick(self, event: gr.EventData) -> dict[Any, Any]:
        """What is known of a row and what can be done with it."""
        kind, item_id = str(getattr(event, "kind", "")), str(getattr(event, "id", ""))
        return self._picked((kind, item_id))

    def use(self, picked: Picked, prompt: str) -> tuple[str, str]:
        """The model or the prompt that makes use of what was picked; "" for the other one."""
        with in_words("Not used"):
            item = self._library.get(*_both(picked))
        if item.kind == "model":
            return item.id, ""
        if item.kind == "LoRA":
            lora = next(e for e in self._services.catalogue.loras.entries() if e.path == item.path)
            return "", with_lora(prompt or "", lora.name, lora.strength)
        return "", f"{(prompt or '').rstrip(' ,')}, {item.title}".lstrip(", ")

    def load(self, picked: Picked) -> dict[Any, Any]:
        """Bring a model into memory."""
        with in_words("Not loaded"):
            self._library.load(_id(picked))
        return self._picked(picked)

    def unload(self, picked: Picked) -> dict[Any, Any]:
        """Take a model out of memory."""
        with in_words("Not unloaded"):
            self._library.unload(*_both(picked))
        return self._picked(picked)

    def make_default(self, picked: Picked) -> dict[Any, Any]:
        """Let new pages begin with this model."""
        with in_words("Not changed"):
            self._library.make_default(_id(picked))
        return self._picked(picked)

    def convert(self, picked: Picked) -> dict[Any, Any]:
        """Write a pickle's weights as .safetensors, in a process of its own."""
        with in_words("Not converted"):
            made = self._library.convert(*_both(picked))
        gr.Info(f"{html.escape(made.name)} stands beside it.", title="Converted", duration=6)
        return self._picked(None)

    def check(self, picked: Picked) -> Iterator[Any]:
        """Read the whole file, and say how far that is and what came of it."""
        began = shown = time.monotonic()
        with in_words("Checked"):
            for share, sentence in self._library.verify(*_both(picked)):
                now = time.monotonic()
                if sentence:
                    gr.Info(html.escape(sentence), title="Checked", duration=10)
                elif now - shown > 0.3:
                    shown = now
                    left = (now - began) * (1 - share) / share
                    yield gr.Button(f"{share:.0%}, {left:.0f} s left", interactive=False)
        yield gr.Button("Check", interactive=True)

    def checked(self) -> gr.Button:
        """The button as it was, also after a check that failed."""
        return gr.Button("Check", interactive=True)

    def trash(self, picked: Picked) -> dict[Any, Any]:
        """Move something to the trash, from where it can be taken back."""
        with in_words("Not moved"):
            title = self._library.get(*_both(picked)).title
            self._library.throw_away(*_both(picked))
        gr.Info(f"{html.escape(title)} is in the trash.", title="Moved", duration=4)
        return self._picked(None)

    def take_back(self, picked: Picked) -> dict[Any, Any]:
        """Move something back to where it was."""
        with in_words("Not taken back"):
            self._library.take_back(_id(picked))
        return self._picked(None)

    def delete(self, picked: Picked) -> dict[Any, Any]:
        """Delete something that lies in the trash for good."""
        with in_words("Not deleted"):
            self._library.delete(_id(picked))
        return self._picked(None)

    def keep(self, picked: Picked, notes: str, triggers: str) -> dict[Any, Any]:
        """Keep notes and trigger words."""
        with in_words("Not kept"):
            self._library.describe(*_both(picked), notes or "", triggers or "")
        gr.Info("Kept beside the file.", title="Notes", duration=3)
        return self._picked(picked)

    def models(self) -> gr.Dropdown:
        """The header's list of today."""
        return gr.Dropdown(header.choices(self._services))

    def _row(self, item: Item) -> dict[str, Any]:
        shown = self._services.catalogue.entries()
        default = self._services.catalogue.default or (shown[0].id if shown else "")
        return {
            "kind": item.kind,
            "id": item.id,
            "title": item.title,
            "family": item.family,
            "bytes": item.bytes,
            "problem": item.problem,
            "standard": item.kind == "model" and item.id == default,
        }

    def _picked(self, picked: Picked) -> dict[Any, Any]:
        view = self._view
        hidden = {view.actions: gr.Row(visible=False), view.about: gr.Group(visible=False)}
        if picked is None:
            back = {each: gr.Button(visible=False) for each in (view.take_back, view.delete)}
            return {view.picked: None, view.facts: _EMPTY, **hidden, **back}
        if picked[0] == "trash":
            known = {each.key: each for each in self._library.thrown_away()}
            entry = known.get(picked[1])
            facts = {"was": entry.place, "thrown away": _date(entry.when)} if entry else {}
            title = entry.title if entry else "Gone"
            there = entry is not None
            back = {each: gr.Button(visible=there) for each in (view.take_back, view.delete)}
            return {view.picked: picked, view.facts: _facts(title, facts), **hidden, **back}
        with in_words():
            item = self._library.get(*picked)
        model, whole = item.kind == "model", not item.problem
        return {
            view.picked: picked,
            view.facts: _facts(item.title, self._known(item), item.problem),
            view.actions: gr.Row(visible=True),
            view.use: gr.Button(visible=whole and item.kind in (*_USED, READER)),
            view.load: gr.Button(visible=model and whole),
            view.unload: gr.Button(visible=whole and item.kind in ("model", READER)),
            view.convert: gr.Button(visible=item.path.suffix.lower() in PICKLES),
            view.standard: gr.Button(visible=model and whole),
            view.trash: gr.Button(visible=not item.embedded),
            view.take_back: gr.Button(visible=False),
            view.delete: gr.Button(visible=False),
            view.about: gr.Group(visible=not item.embedded),
            view.notes: item.notes,
            view.triggers: item.triggers,
        }

    def _known(self, item: Item) -> dict[str, str]:
        facts = {
            "kind": item.kind,
            "family": item.family,
            "size": f"{item.bytes / 1e6:,.1f} MB",
            "place": item.place or "ships with the studio",
            "from": item.source,
            "made": self._library.recipe(item),
        }
        if item.kind == "model" and not item.problem:
            entry = self._services.catalogue.get(item.id)
            facts["pictures"] = f"{entry.width} × {entry.height}"
            facts["layout"] = "single file" if entry.original else "folder"
            parts = [path.name for part, path in entry.sources if path != entry.path]
            facts["with"] = ", ".join(parts)
            if item.bytes < _HASH_LIMIT:
                facts["hash"] = self._library.hash(item.id)
        return facts


def wire(view: ModelsView, services: Services, tab: gr.Tab, model: gr.Dropdown) -> Handlers:
    """Connect the tab's controls; model: the header's picker."""
    handlers = Handlers(services, view)
    sought = [view.search, view.kind, view.picked]
    for trigger in (tab.select, view.search.change, view.kind.input):
        trigger(handlers.listed, sought, [view.rows], trigger_mode="always_last", **QUIET)
    shown = [
        view.picked,
        view.facts,
        view.actions,
        view.use,
        view.load,
        view.unload,
        view.convert,
        view.standard,
        view.trash,
        view.take_back,
        view.delete,
        view.about,
        view.notes,
        view.triggers,
    ]
    view.rows.pick(handlers.pick, None, shown, trigger_mode="always_last", **QUIET)
    again = (handlers.listed, sought, [view.rows])
    for button, handler in (
        (view.load, handlers.load),
        (view.unload, handlers.unload),
        (view.convert, handlers.convert),
        (view.standard, handlers.make_default),
        (view.trash, handlers.trash),
        (view.take_back, handlers.take_back),
        (view.delete, handlers.delete),
    ):
        button.click(
            handler, [view.picked], shown, concurrency_limit=None, api_visibility="private"
        ).then(*again, **QUIET).then(handlers.models, None, [model], **QUIET)
    rests = sharing.Controls(
        own=[view.trash, view.keep, view.notes, view.triggers],
        members=[view.load, view.unload],
        administrators=[view.convert, view.standard],
    )
    sharing.wire(view.sharing, services, view.picked, controls=rests)
    offered = sharing.Controls(members=[view.merge.start], administrators=[view.fetch.start])
    sharing.offer(offered, services, tab)
    fetch.wire(view.fetch, services, tab, again)
    merge.wire(view.merge, services, tab, again, (handlers.models, None, [model]))
    view.keep.click(handlers.keep, [view.picked, view.notes, view.triggers], shown, **QUIET)
    view.check.click(
        handlers.check, [view.picked], [view.check], concurrency_limit=None, **QUIET
    ).then(handlers.checked, None, [view.check], **QUIET)
    return handlers


def _both(picked: Picked) -> tuple[str, str]:
    if picked is None:
        raise gr.Error("Pick a row first.", title="Nothing picked", print_exception=False)
    return picked


def _id(picked: Picked) -> str:
    return _both(picked)[1]


def _date(when: float) -> str:
    return time.strftime("%d %B %Y, %H:%M", time.localtime(when))


def _facts(title: str, facts: dict[str, str], problem: str = "") -> str:
    """A title and a list of facts; what is empty is left out."""
    rows = "".join(
        f"<dt>{html.escape(name)}</dt><dd>{html.escape(value)}</dd>"
        for name, value in facts.items()
        if value
    )
    wrong = f'<p class="at-wrong">{html.escape(problem)}</p>' if problem else ""
    return f'<div class="at-known"><h3>{html.escape(title)}</h3>{wrong}<dl>{rows}</dl></div>'
