"""The Extras tab: a picture, or many, made larger, and redrawn in detail where that is wanted."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import gradio as gr

from studio.diffusion.upscaling.choices import of_pixels
from studio.requests import STORED, UpscaleRequest
from studio.services import Services
from tabs.blocks import prompts, sampling, seed, source, speedups, stage
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

IDS = "at-extras-"
_EMPTY = """<strong>The larger picture</strong>
Drop a picture, choose by how much, and press Upscale. Compare then shows it beside the old one."""
_DROP = "Drop or choose a picture, or send one from another tab"
_NOT_SHARED = {"kind", "preview_every", "image_format"}


@dataclass(frozen=True, kw_only=True)
class ExtrasView(SourcedView):
    """Components of the tab."""

    source: gr.HTML


def build(services: Services, model: gr.Dropdown) -> ExtrasView:
    """Lay the tab out; `model` is the header's picker and one of the form's fields."""
    entry = services.catalogue.get(model.value)
    fields: dict[str, Any] = {"source": gr.Textbox("", visible="hidden"), "model": model}
    with gr.Row(elem_classes="at-main"):
        with gr.Column(min_width=0, elem_classes="at-words"):
            shown = source.build(IDS, _DROP, 2)
            fields["scale"] = _slider("scale", 2, 0.25, label="Enlarge by", elem_id=f"{IDS}scale")
            fields["upscaler"] = gr.Dropdown(
                of_pixels(services.upscalers),
                value="lanczos",
                label="Upscaler",
                info="Models (ESRGAN and its kin, .safetensors) go to models/upscalers",
                elem_id=f"{IDS}upscaler",
            )
            buttons = prompts.build_buttons(IDS, "Upscale", skips=False)
        with gr.Column(min_width=0, elem_classes="at-result"):
            right = stage.build(IDS, _EMPTY)
        with gr.Column(min_width=0, elem_classes="at-settings"):
            with gr.Accordion("Redraw in detail", open=False):
                fields["strength"] = _slider(
                    "strength",
                    0,
                    0.05,
                    info="0 only enlarges; 0.2 to 0.4 adds detail, tile by tile",
                    elem_id=f"{IDS}strength",
                )
                boxes = prompts.build_boxes(entry, IDS)
                fields |= sampling.build(entry, IDS)
                seeds = seed.build(IDS)
                fields["tile"] = _slider("tile", 0, 8, label="Tile (pixels, 0 for the model's)")
                fields["overlap"] = _slider("overlap", 0.25, 0.05, label="Overlap (of a tile)")
                fields["clip_skip"] = slider("clip_skip", 1, 1, label="CLIP skip")
                fast = speedups.build(services, entry, IDS, tiled=True)
            batch = build_batch(IDS, "the picture above")
            with gr.Accordion("More", open=False):
                fields |= sampling.build_files()
    words = prompts.Prompts(*boxes, *buttons)
    fields |= {
        "prompt": words.prompt,
        "negative_prompt": words.negative,
        "seed": seeds.seed,
        "speedups": fast.choice,
    }
    return ExtrasView(
        form=Form(UpscaleRequest, fields),
        prompts=words,
        seed=seeds,
        speed=fast,
        stage=right,
        source=shown,
        batch=batch,
        also=(batch,),
        **remembered("extras"),
    )


def _slider(field: str, value: float, step: float, **more: Any) -> gr.Slider:
    return slider(field, value, step, UpscaleRequest, **more)


class Handlers(SourcedHandlers):
    """What only this tab's controls do."""

    def receive(self, event: gr.EventData) -> list[Any]:
        """A saved picture as the source, with its prompt and the settings that are shared."""
        # What an edit was held to its source by is no wish to have the large picture redrawn.
        source, asked = self.taken(event, {*_NOT_SHARED, "source", "strength"})
        return [{"source": source}, *self.filled(self._shown({**asked, "source": source}))]

    def use_settings(self, event: gr.EventData) -> list[Any]:
        """All settings of a saved picture, with its source."""
        with in_words():
            request = STORED.validate_json(self._services.outputs.get(picture_id(event)).request)
        asked = request.model_dump(mode="json", exclude=_NOT_SHARED)
        if not isinstance(request, UpscaleRequest):
            asked = {name: asked[name] for name in asked if name not in ("source", "strength")}
            return [gr.skip(), *self.filled(self._shown(asked))]
        return [{"source": request.source}, *self.filled(self._shown(asked))]

    def restore(self, saved: Any) -> list[Any]:
        """The settings that the browser kept, as far as they are still valid."""
        fields = valid_fields(saved if isinstance(saved, dict) else {}, UpscaleRequest)
        shown = {name: fields[name] for name in fields if name not in ("model", "source")}
        return self.filled(self._shown({"upscaler": "lanczos", **shown}))

    def _shown(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Values for the controls, of a model that is here."""
        controls = self._view.form.fields
        return self.of_a_model_here({name: fields[name] for name in fields if name in controls})


def wire(view: ExtrasView, services: Services, page: gr.Blocks) -> Handlers:
    """Connect the tab's controls."""
    handlers = Handlers(services, view)
    fields = view.form.fields
    wire_jobs(view, handlers, page, before=_with_picture(view))
    wire_controls(view, handlers)
    fields["scale"].change(
        None,
        [fields["scale"]],
        None,
        js="(scale) => { window.atelier.enlarged(scale); }",
    )
    fields["model"].input(
        handlers.choose_model,
        [fields["model"]],
        [*view.form.outputs, view.prompts.examples],
        **QUIET,
    )
    view.stage.use_settings(handlers.use_settings, None, [view.source, *view.form.outputs], **QUIET)
    wire_saving(view, [name for name in fields if name not in ("model", "source")])
    restored = page.load(handlers.restore, [view.saved], view.form.outputs, **SILENT)
    speedups.refresh_after(restored, view.speed, view.form, services)
    return handlers


def _with_picture(view: ExtrasView) -> str:
    """JavaScript that puts the shown picture's hash among the values on their way."""
    order = sorted({*view.form.inputs, view.jobs, *view.also}, key=lambda component: component._id)
    place = order.index(view.form.fields["source"])
    return (
        f"async (...values) => {{ values[{place}] = await window.atelier.picture(); "
        "return values; }"
    )
