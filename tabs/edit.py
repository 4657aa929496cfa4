"""The Edit tab: from a picture, a mask and a text to a changed picture."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import gradio as gr

from studio.requests import (
    STORED,
    Blend,
    Curve,
    EditRequest,
    ExtendFill,
    InpaintArea,
    MaskedContent,
    MaskMode,
    Resize,
)
from studio.services import Services
from tabs.blocks import canvas, loras, prompts, sampling, seed, speedups, stage
from tabs.blocks.maker import (
    QUIET,
    SILENT,
    in_words,
    picture_id,
    remembered,
    wire_controls,
    wire_jobs,
    wire_saving,
)
from tabs.blocks.sourced import SourcedHandlers, SourcedView, build_batch
from tabs.forms import Form, slider, valid_fields

IDS = "at-edit-"
_EMPTY = """<strong>The result</strong>
Open a picture, say what is to be there, and press Edit. What is not masked stays as it is, pixel by
pixel."""
_ON_CANVAS = ("source", "mask")
_NOT_SHARED = {"kind", "width", "height", "preview_every", "image_format"}


@dataclass(frozen=True, kw_only=True)
class EditView(SourcedView):
    """Components of the tab."""

    canvas: gr.HTML


def build(services: Services, model: gr.Dropdown) -> EditView:
    """Lay the tab out; `model` is the header's picker and one of the form's fields."""
    entry = services.catalogue.get(model.value)
    with gr.Row(elem_classes="at-main at-main-edit"):
        with gr.Column(min_width=0, elem_classes="at-words"):
            words = prompts.build(entry, IDS, "Edit")
        with gr.Column(min_width=0, elem_classes="at-result"):
            board = canvas.build()
            right = stage.build(IDS, _EMPTY)
        with gr.Column(min_width=0, elem_classes="at-settings"):
            fields = _changes()
            fields |= sampling.build(entry, IDS)
            seeds = seed.build(IDS)
            fields |= sampling.build_batches(IDS)
            picker = loras.build(IDS)
            fields |= _folded()
            fast = speedups.build(services, entry, IDS)
            fields |= sampling.build_more()
            batch = build_batch(IDS, "the picture on the canvas and its mask")
    fields |= {name: gr.Textbox("", visible="hidden") for name in _ON_CANVAS}
    fields |= {
        "model": model,
        "prompt": words.prompt,
        "negative_prompt": words.negative,
        "seed": seeds.seed,
        "speedups": fast.choice,
    }
    return EditView(
        form=Form(EditRequest, fields),
        prompts=words,
        seed=seeds,
        speed=fast,
        stage=right,
        canvas=board,
        batch=batch,
        also=(batch,),
        picker=picker,
        **remembered("edit"),
    )


def _slider(field: str, value: float, step: float = 1, **more: Any) -> gr.Slider:
    return slider(field, value, step, EditRequest, **more)


def _choice(kind: type, label: str, value: str) -> gr.Radio:
    choices = [(each.value.capitalize(), each.value) for each in kind]  # type: ignore[attr-defined]
    return gr.Radio(choices, value=value, label=label, elem_classes="at-choice")


def _changes() -> dict[str, Any]:
    """How much and where, the few that everyone uses."""
    fields: dict[str, Any] = {
        "strength": _slider(
            "strength",
            0.75,
            0.01,
            info="0 returns the picture, 1 ignores it",
            elem_id=f"{IDS}strength",
        )
    }
    with gr.Accordion("Mask", open=True):
        fields["feather"] = _slider("feather", 4, label="Feather (pixels)", elem_id=f"{IDS}feather")
        fields["masked_content"] = _choice(MaskedContent, "Masked content", "original")
        fields["area"] = _choice(InpaintArea, "Area", "whole picture")
    return fields


def _folded() -> dict[str, Any]:
    fields: dict[str, Any] = {}
    with gr.Accordion("More on the mask", open=False):
        fields["mask_mode"] = _choice(MaskMode, "Change what is", "masked")
        fields["mask_grow"] = _slider("mask_grow", 0, label="Grow (negative shrinks)")
        fields["padding"] = _slider("padding", 32, label="Padding of the masked area")
        fields["blend"] = _choice(Blend, "Put back by", "feather")
        fields["soft"] = gr.Checkbox(
            False, label="Soft: change each pixel as much as the feathered mask says"
        )
    with gr.Accordion("New ground beyond the sides", open=False):
        for sides in (("left", "right"), ("top", "bottom")):
            with gr.Row():
                for side in sides:
                    name = f"extend_{side}"
                    fields[name] = _slider(
                        name, 0, 8, label=side.capitalize(), min_width=120, buttons=[]
                    )
        fields["extend_fill"] = _choice(ExtendFill, "Filled at first with", "mirror")
        fields["extend_overlap"] = _slider("extend_overlap", 8, label="Overlap into the picture")
    with gr.Accordion("Size", open=False):
        with gr.Row():
            for name in ("width", "height"):
                fields[name] = gr.Number(
                    None,
                    label=f"{name.capitalize()} (0 for the picture's)",
                    placeholder="the picture's",
                    min_width=120,
                )
        fields["resize"] = _choice(Resize, "Resize by", "crop")
    with gr.Accordion("Hold on the source", open=False):
        fields["curve"] = _choice(Curve, "Falls", "constant")
        fields["curve_points"] = gr.Textbox(
            "", label="Own points (position:hold)", placeholder="0:1, 0.5:0.2, 1:0"
        )
    return fields


class Handlers(SourcedHandlers):
    """What only this tab's controls do."""

    on_picture = _ON_CANVAS

    def receive(self, event: gr.EventData) -> list[Any]:
        """A saved picture as the source, with its prompt and the settings that are shared."""
        source, asked = self.taken(event, _NOT_SHARED)
        return [{"source": source}, *self.filled(self._shown(asked, _ON_CANVAS))]

    def use_settings(self, event: gr.EventData) -> list[Any]:
        """All settings of a saved edit, with its source and mask on the canvas."""
        with in_words():
            request = STORED.validate_json(self._services.outputs.get(picture_id(event)).request)
        asked = request.model_dump(mode="json", exclude={"kind", "preview_every", "image_format"})
        if not isinstance(request, EditRequest):
            return [gr.skip(), *self.filled(self._shown(asked, ("width", "height")))]
        shown = {name: asked[name] for name in _ON_CANVAS}
        return [shown, *self.filled(self._shown(asked, _ON_CANVAS))]

    def restore(self, saved: Any) -> list[Any]:
        """The settings that the browser kept, as far as they are still valid."""
        fields = valid_fields(saved if isinstance(saved, dict) else {}, EditRequest)
        return self.filled(self._shown(fields, ("model", *_ON_CANVAS)))

    def _shown(self, fields: Mapping[str, Any], without: tuple[str, ...]) -> dict[str, Any]:
        """Values as the controls show them, of a model that is here."""
        shown = {name: value for name, value in fields.items() if name not in without}
        shown = self.of_a_model_here(shown)
        if "curve_points" in shown:
            shown["curve_points"] = ", ".join(f"{x:g}:{y:g}" for x, y in shown["curve_points"])
        return shown


def wire(view: EditView, services: Services, page: gr.Blocks) -> Handlers:
    """Connect the tab's controls."""
    handlers = Handlers(services, view)
    fields = view.form.fields
    wire_jobs(view, handlers, page, before=_with_canvas(view))
    wire_controls(view, handlers)
    fields["model"].input(
        handlers.choose_model,
        [fields["model"]],
        [*view.form.outputs, view.prompts.examples],
        **QUIET,
    )
    softness = [fields[name] for name in ("feather", "mask_grow", "mask_mode")]
    soften = "(feather, grow, mode) => { window.atelier.soften(feather, grow, mode); }"
    gr.on([each.change for each in softness], None, softness, None, js=soften)
    filled = [view.canvas, *view.form.outputs]
    view.stage.use_settings(handlers.use_settings, None, filled, **QUIET)
    view.stage.edit(handlers.receive, None, filled, **QUIET)
    wire_saving(view, [name for name in fields if name not in (*_ON_CANVAS, "model")])
    restored = page.load(handlers.restore, [view.saved], view.form.outputs, **SILENT)
    speedups.refresh_after(restored, view.speed, view.form, services)
    return handlers


def _with_canvas(view: EditView) -> str:
    """JavaScript that puts the canvas's source and mask among the values on their way."""
    order = sorted({*view.form.inputs, view.jobs, *view.also}, key=lambda component: component._id)
    source, mask = (order.index(view.form.fields[name]) for name in _ON_CANVAS)
    return (
        "async (...values) => { const [source, mask] = await window.atelier.settle(); "
        f"values[{source}] = source; values[{mask}] = mask; return values; }}"
    )
