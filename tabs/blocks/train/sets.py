"""Picture sets: made, filled, looked at, captioned and cut."""

from dataclasses import dataclass
from typing import Any

import gradio as gr

from tabs.blocks import sharing
from tabs.blocks.train import dropped
from tabs.theme import script

PAGE = 48
"""Pictures at a time."""
IDS = "at-train-set-"
DROP = "Drop pictures, captions, a folder or a .zip"
DELETE, SURE = "Delete the set", "Press again to delete"
OUT = "Take out of the set"
_SHOWN = [("All", ""), ("Without a caption", "bare"), ("With one", "written")]


@dataclass(frozen=True)
class Sets:
    """Components of the panel.

    place: of the page's first picture among those that match. picked: sum of the picture that is
    looked at. sure: name of the set that the next press deletes.
    """

    name: gr.Dropdown
    drop: gr.HTML
    new_name: gr.Textbox
    make: gr.Button
    repo: gr.Textbox
    fetch: gr.Button
    delete: gr.Button
    search: gr.Textbox
    which: gr.Radio
    find: gr.Textbox
    new: gr.Textbox
    pattern: gr.Checkbox
    case: gr.Checkbox
    count: gr.HTML
    replace: gr.Button
    text: gr.Textbox
    prefix: gr.Button
    suffix: gr.Button
    tag: gr.Dropdown
    without: gr.Button
    tidy: gr.Button
    order: gr.Button
    keep: gr.Slider
    shuffle: gr.Button
    shuffled: gr.HTML
    sharing: sharing.Sharing
    captioner: gr.HTML
    form: gr.Textbox
    caption_all: gr.Checkbox
    caption: gr.Button
    stop: gr.Button
    undo: gr.Button
    progress: gr.HTML
    facts: gr.HTML
    one: gr.Column
    cut: gr.HTML
    about: gr.HTML
    middle: gr.Button
    out: gr.Button
    close: gr.Button
    grid: gr.HTML
    previous: gr.Button
    where: gr.HTML
    next: gr.Button
    place: gr.State
    picked: gr.State
    sure: gr.State

    @property
    def asked(self) -> set[Any]:
        """All that handlers read."""
        typed = {self.name, self.search, self.which, self.find, self.new, self.pattern, self.case}
        edits = {
            self.text,
            self.tag,
            self.keep,
            self.form,
            self.caption_all,
            self.new_name,
            self.repo,
        }
        return typed | edits | {self.place, self.picked, self.sure}

    @property
    def changing(self) -> list[Any]:
        """The buttons that change what is in the set."""
        edits = [self.replace, self.prefix, self.suffix, self.without, self.tidy, self.order]
        return [*edits, self.caption, self.undo, self.middle, self.out, self.delete]

    @property
    def page(self) -> list[Any]:
        """All that another page of pictures changes."""
        return [self.grid, self.previous, self.where, self.next, self.place]

    @property
    def edited(self) -> list[Any]:
        """All that an edit of captions changes."""
        return [*self.page, self.facts, self.tag, self.undo, self.count]

    @property
    def alone(self) -> list[Any]:
        """All that another picture changes."""
        return [self.one, self.cut, self.about, self.picked]

    @property
    def chosen(self) -> list[Any]:
        """All that another set changes."""
        own = [self.name, self.drop, self.delete, self.sure, self.search, self.which]
        automatic = [self.captioner, self.caption, self.form, self.caption_all]
        return [*own, self.shuffled, *automatic, *self.edited, *self.alone]


def build() -> Sets:
    """Lay the panel out; lists are filled when it is opened."""
    made: dict[str, Any] = {}
    with gr.Row(elem_classes="at-main"):
        with gr.Column(min_width=0, elem_classes="at-words"):
            made["name"] = gr.Dropdown([], value=None, label="Picture set", elem_id=f"{IDS}name")
            made["drop"] = dropped.build(DROP, f"{IDS}drop")
            made["sharing"] = sharing.build("at-set")
            made["search"] = gr.Textbox(
                label="Search",
                placeholder="in captions and names",
                max_lines=1,
                elem_id=f"{IDS}search",
            )
            made["which"] = gr.Radio(_SHOWN, value="", label="Show", elem_id=f"{IDS}which")
        with gr.Column(min_width=0, elem_classes="at-result"):
            _build_pictures(made)
        with gr.Column(min_width=0, elem_classes="at-settings"):
            _build_edits(made)
    made |= {"place": gr.State(0), "picked": gr.State(""), "sure": gr.State("")}
    return Sets(**made)


def _build_pictures(made: dict[str, Any]) -> None:
    made["progress"] = gr.HTML("", padding=False, elem_id=f"{IDS}progress")
    made["stop"] = gr.Button("Stop", size="sm", visible=False, elem_id=f"{IDS}stop")
    with gr.Row(elem_classes="at-turn"):
        made["facts"] = gr.HTML("", padding=False, elem_id=f"{IDS}facts")
        made["undo"] = gr.Button("Undo", size="sm", visible=False, elem_id=f"{IDS}undo")
    with gr.Column(visible=False, elem_classes="at-train-alone") as made["one"]:
        made["cut"] = gr.HTML("", js_on_load=script("focus"), padding=False, elem_id=f"{IDS}cut")
        made["about"] = gr.HTML("", padding=False)
        with gr.Row(elem_classes=["at-acts", "at-tight"]):
            made["middle"] = gr.Button("Cut from the middle", size="sm", elem_id=f"{IDS}middle")
            made["out"] = gr.Button(OUT, size="sm", elem_id=f"{IDS}out")
            made["close"] = gr.Button("Close", size="sm", elem_id=f"{IDS}close")
    made["grid"] = gr.HTML("", js_on_load=script("captions"), padding=False, elem_id=f"{IDS}grid")
    with gr.Row(elem_classes="at-turn"):
        made["previous"] = gr.Button("Previous", size="sm", visible=False)
        made["where"] = gr.HTML("", padding=False, elem_id=f"{IDS}where")
        made["next"] = gr.Button("Next", size="sm", visible=False, elem_id=f"{IDS}next")


def _build_edits(made: dict[str, Any]) -> None:
    with gr.Accordion("Find and replace", open=False):
        made["find"] = gr.Textbox(label="Find", max_lines=1, elem_id=f"{IDS}find")
        made["new"] = gr.Textbox(label="Replace with", max_lines=1, elem_id=f"{IDS}new")
        with gr.Row():
            made["case"] = gr.Checkbox(True, label="Match case", min_width=120)
            made["pattern"] = gr.Checkbox(False, label="Regular expression", min_width=160)
        made["count"] = gr.HTML("", padding=False, elem_id=f"{IDS}count")
        made["replace"] = gr.Button("Replace all", size="sm", elem_id=f"{IDS}replace")
    with gr.Accordion("Words before and behind, parts", open=False):
        made["text"] = gr.Textbox(label="Text", placeholder="sks dog", max_lines=1)
        with gr.Row(elem_classes=["at-acts", "at-tight"]):
            made["prefix"] = gr.Button("Put before", size="sm", elem_id=f"{IDS}prefix")
            made["suffix"] = gr.Button("Put behind", size="sm")
        made["tag"] = gr.Dropdown(
            [], value=None, label="Part", info="Between commas", elem_id=f"{IDS}tag"
        )
        with gr.Row(elem_classes=["at-acts", "at-tight"]):
            made["without"] = gr.Button("Drop it everywhere", size="sm", elem_id=f"{IDS}without")
            made["tidy"] = gr.Button("Drop repeated parts", size="sm")
            made["order"] = gr.Button("Sort parts", size="sm")
        made["keep"] = gr.Slider(0, 10, value=1, step=1, label="Parts that stay in front")
        made["shuffle"] = gr.Button("Show them shuffled", size="sm", elem_id=f"{IDS}shuffle")
        made["shuffled"] = gr.HTML("", padding=False, elem_id=f"{IDS}shuffled")
    with gr.Accordion("Captions by a model", open=False):
        made["captioner"] = gr.HTML("", padding=False)
        made["form"] = gr.Textbox(
            "{}", label="Form", info="{} stands for the model's words", max_lines=1, visible=False
        )
        made["caption_all"] = gr.Checkbox(
            False, label="Also those that have one", visible=False, min_width=160
        )
        made["caption"] = gr.Button("Caption", size="sm", visible=False, elem_id=f"{IDS}caption")
    with gr.Accordion("Sets", open=False):
        made["new_name"] = gr.Textbox(label="Name of a new set", max_lines=1)
        with gr.Row(elem_classes=["at-acts", "at-tight"]):
            made["make"] = gr.Button("Make an empty set", size="sm", elem_id=f"{IDS}make")
            made["delete"] = gr.Button(DELETE, size="sm", visible=False, elem_id=f"{IDS}delete")
        made["repo"] = gr.Textbox(
            label="Data set of the Hugging Face hub",
            placeholder="owner/name",
            info="Its pictures and captions make a set; 1,000 at most",
            max_lines=1,
            elem_id=f"{IDS}repo",
        )
        made["fetch"] = gr.Button("Fetch", size="sm", elem_id=f"{IDS}fetch")
