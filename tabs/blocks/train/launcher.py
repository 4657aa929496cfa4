"""A training put together: the form at the left, what came of it at the right."""

from dataclasses import dataclass
from typing import Any

import gradio as gr

from studio.services import Services
from studio.training_requests import Method
from tabs.blocks import header
from tabs.blocks.train import dropped, fields, gridding, shown
from tabs.blocks.train.fields import IDS, TrainForm
from tabs.blocks.train.gridding import GridView
from tabs.theme import script

DROP = "Drop pictures, a folder or a .zip: they make a set by themselves"
NEW_SET = ("Those that are dropped, as a new set", "")
_METHODS = [(shown.METHODS[each], each.value) for each in Method]
NO_PRESET = ("None: what follows from the pictures", "none")
ANY_PRESET = ("The one that fits the device", "")


@dataclass(frozen=True)
class Launcher:
    """Components of the panel.

    subject: name of the run that is shown. report: what the last check found, with its set.
    groups: parts that not all methods use, by a field in each.
    """

    form: TrainForm
    drop: gr.HTML
    strip: gr.HTML
    verdict: gr.HTML
    words: gr.HTML
    templates: gr.HTML
    preset: gr.Dropdown
    groups: dict[str, Any]
    toml: gr.Textbox
    toml_file: gr.UploadButton
    read: gr.Button
    write: gr.Button
    check: gr.Button
    cost: gr.Button
    start: gr.Button
    pause: gr.Button
    stop: gr.Button
    progress: gr.HTML
    health: gr.HTML
    run: gr.HTML
    samples: gr.HTML
    grid: GridView
    curves: gr.HTML
    use: gr.Button
    step: gr.Dropdown
    resume: gr.Button
    subject: gr.State
    report: gr.State

    @property
    def followed(self) -> list[Any]:
        """All that a run changes."""
        shown = [self.progress, self.run, self.samples, self.curves]
        return [*shown, *self.buttons, self.step, self.grid.panel, self.subject]

    @property
    def buttons(self) -> list[gr.Button]:
        """What can be done with the run that is shown."""
        return [self.pause, self.stop, self.use, self.resume]

    @property
    def judged(self) -> list[gr.HTML]:
        """All that another word changes."""
        return [self.verdict, self.words, self.templates]

    @property
    def open(self) -> list[Any]:
        """Boxes that show what follows from the pictures while they are empty."""
        return [self.form.fields[name] for name in fields.OPEN]

    @property
    def by_method(self) -> list[Any]:
        """All that another method changes."""
        return [self.preset, self.groups["preservation"], *self.form.outputs]


def build(services: Services) -> Launcher:
    """Lay the panel out; lists are filled when it is opened."""
    made: dict[str, Any] = {}
    controls: dict[str, Any] = {}
    with gr.Row(elem_classes="at-main"):
        with gr.Column(min_width=0, elem_classes="at-words"):
            _build_words(services, made, controls)
            with gr.Row(elem_classes="at-run-row"):
                made["check"] = gr.Button("Check", min_width=80, elem_id=f"{IDS}check")
                made["cost"] = gr.Button("Cost", min_width=80, elem_id=f"{IDS}cost")
                made["start"] = gr.Button(
                    "Train", variant="primary", elem_id=f"{IDS}run", elem_classes="at-members"
                )
            with gr.Row(elem_classes="at-run-row", elem_id=f"{IDS}ends"):
                made["pause"] = gr.Button("Pause", visible=False, elem_id=f"{IDS}pause")
                made["stop"] = gr.Button("Stop", visible=False, elem_id=f"{IDS}stop")
        with gr.Column(min_width=0, elem_classes="at-result"):
            made["health"] = gr.HTML(
                "", js_on_load=script("acts"), padding=False, elem_id=f"{IDS}health"
            )
            made["progress"] = gr.HTML("", padding=False, elem_id=f"{IDS}progress")
            made["run"] = gr.HTML(shown.EMPTY, padding=False, elem_id=f"{IDS}shown")
            with gr.Row(elem_classes=["at-acts", "at-tight"], elem_id=f"{IDS}acts"):
                made["use"] = gr.Button(
                    "Use it", variant="primary", visible=False, elem_id=f"{IDS}use"
                )
                made["step"] = gr.Dropdown(
                    [],
                    value=None,
                    label="Step to use",
                    show_label=False,
                    container=False,
                    visible=False,
                    min_width=180,
                    elem_id=f"{IDS}step",
                )
                made["resume"] = gr.Button("Go on", visible=False, elem_id=f"{IDS}resume")
            made["samples"] = gr.HTML("", padding=False, elem_id=f"{IDS}samples-shown")
            made["grid"] = gridding.build()
            made["curves"] = gr.HTML("", padding=False, elem_id=f"{IDS}curves")
        with gr.Column(min_width=0, elem_classes="at-settings"):
            _build_topics(made, controls)
    return Launcher(
        form=TrainForm(controls),
        subject=gr.State(""),
        report=gr.State(None),
        **made,
    )


def _build_words(services: Services, made: dict[str, Any], controls: dict[str, Any]) -> None:
    """What everybody fills in."""
    with gr.Row():  # a frame of its own
        controls["method"] = gr.Radio(
            _METHODS,
            value=Method.LORA.value,
            label="Method",
            show_label=False,
            elem_id=f"{IDS}method",
            elem_classes="at-train-methods",
        )
    controls["model"] = gr.Dropdown(
        header.choices_at_start(services),
        value=header.model_at_start(services).id,
        label="Begin with",
        elem_id=f"{IDS}model",
    )
    made["drop"] = dropped.build(DROP, f"{IDS}drop")
    controls["pictures"] = gr.Dropdown(
        [NEW_SET],
        value="",
        label="Pictures",
        allow_custom_value=True,  # a set may be new, or gone; it is looked for where it is used
        elem_id=f"{IDS}pictures",
    )
    made["strip"] = gr.HTML("", padding=False, elem_id=f"{IDS}strip")
    controls["prompt"] = gr.Textbox(
        "",
        label="What they show",
        placeholder="a photo of sks dog",
        max_lines=3,
        elem_id=f"{IDS}prompt",
    )
    made["templates"] = _chips("Prompts to begin with", "templates")
    controls["trigger"] = gr.Textbox(
        "",
        label="The word that calls it up",
        placeholder="sks",
        max_lines=1,
        elem_id=f"{IDS}trigger",
    )
    made["verdict"] = gr.HTML("", padding=False, elem_id=f"{IDS}verdict")
    made["words"] = _chips("Rare words", "words")
    with gr.Column(visible=False, min_width=0, elem_classes="at-train-group") as group:
        controls |= fields.build_class()
    made["groups"] = {"preservation": group}
    controls["name"] = gr.Textbox(
        "", label="Name of what is made", max_lines=1, elem_id=f"{IDS}name"
    )
    made["preset"] = gr.Dropdown(
        [ANY_PRESET, NO_PRESET], value="", label="Preset", info=" ", elem_id=f"{IDS}preset"
    )


def _chips(label: str, name: str) -> gr.HTML:
    return gr.HTML(
        [],
        html_template=f'<div class="at-examples" role="group" aria-label="{label}"></div>',
        js_on_load=script("chips"),
        padding=False,
        elem_id=f"{IDS}{name}",
    )


def _build_topics(made: dict[str, Any], controls: dict[str, Any]) -> None:
    """What is folded away."""
    with gr.Accordion("Steps and rates", open=False):
        controls |= fields.build_steps()
    with gr.Accordion("Shape", open=False):
        controls |= fields.build_shape()
    with gr.Accordion("Memory and speed", open=False):
        controls |= fields.build_memory()
    with gr.Accordion("Captions and buckets", open=False):
        controls |= fields.build_captions()
    with gr.Accordion("Samples and checkpoints", open=False):
        controls |= fields.build_samples()
    with gr.Accordion("Settings as a file", open=False):
        made["toml"] = gr.Textbox(
            "",
            label="TOML",
            info="Ours, or the settings of kohya's scripts and page",
            lines=6,
            max_lines=18,
            buttons=["copy"],
            elem_id=f"{IDS}toml",
        )
        with gr.Row(elem_classes=["at-acts", "at-tight"]):
            made["write"] = gr.Button("From the form", size="sm", elem_id=f"{IDS}toml-write")
            made["read"] = gr.Button("Into the form", size="sm", elem_id=f"{IDS}toml-read")
            made["toml_file"] = gr.UploadButton(
                "Open a file",
                file_types=[".toml", ".json"],
                size="sm",
                elem_id=f"{IDS}toml-file",
            )
    for name in METHOD_FIELDS:
        made["groups"][name] = controls[name]


METHOD_FIELDS = (
    "whole",
    "rank",
    "alpha",
    "layers",
    "conv_rank",
    "conv_alpha",
    "dora",
    "rslora",
    "dropout",
    "text_encoder",
    "text_rate",
    "class_pictures",
    "prior_weight",
    "vectors",
    "initial_word",
)
"""Controls that not all methods use, each on its own."""
