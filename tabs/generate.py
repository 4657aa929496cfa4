"""The Generate tab: from a text to pictures."""

from dataclasses import dataclass
from typing import Any

import gradio as gr

from studio.diffusion.metadata import files
from studio.diffusion.metadata.imported import Imported
from studio.requests import STORED, GenerationRequest
from studio.services import Services
from tabs.blocks import drop_zone, loras, prompts, sampling, seed, size, speedups, stage
from tabs.blocks.maker import (
    QUIET,
    SILENT,
    MakerHandlers,
    MakerView,
    in_words,
    picture_id,
    remembered,
    wire_controls,
    wire_jobs,
    wire_saving,
)
from tabs.forms import Form, valid_fields

_EMPTY = """<strong>Describe a picture</strong>
Write what you want to see and press Generate, or drop a picture that was made here or in another
tool to get its settings back."""


@dataclass(frozen=True, kw_only=True)
class GenerateView(MakerView):
    """Components of the tab."""

    size: size.Size
    drop: gr.HTML
    read_prompt: gr.Button


def build(services: Services, model: gr.Dropdown) -> GenerateView:
    """Lay the tab out; `model` is the header's picker and one of the form's fields."""
    entry = services.catalogue.get(model.value)
    with gr.Row(elem_classes="at-main"):
        with gr.Column(min_width=0, elem_classes="at-words"):
            words = prompts.build(entry, "at-")
        with gr.Column(min_width=0, elem_classes="at-result"):
            right = stage.build("at-", _EMPTY)
        with gr.Column(min_width=0, elem_classes="at-settings"):
            fields = sampling.build(entry, "at-")
            sizes = size.build(entry)
            seeds = seed.build("at-")
            fields |= sampling.build_batches("at-")
            picker = loras.build("at-")
            fields |= sampling.build_hires(services.upscalers)
            fast = speedups.build(services, entry, "at-")
            fields |= sampling.build_more()
            drop = drop_zone.build()
            read_prompt = gr.Button("Read settings pasted into the prompt", size="sm")
    fields |= {
        "model": model,
        "prompt": words.prompt,
        "negative_prompt": words.negative,
        "width": sizes.width,
        "height": sizes.height,
        "seed": seeds.seed,
        "speedups": fast.choice,
    }
    return GenerateView(
        form=Form(GenerationRequest, fields),
        prompts=words,
        size=sizes,
        seed=seeds,
        speed=fast,
        drop=drop,
        read_prompt=read_prompt,
        stage=right,
        picker=picker,
        **remembered("generate"),
    )


class Handlers(MakerHandlers):
    """What only this tab's controls do."""

    def choose_model(self, model: str, /, **more: Any) -> list[Any]:
        """The model's own sizes, defaults and examples; more: other values by field name."""
        with in_words():
            entry = self._services.catalogue.usable(model)
        fields = {
            **more,
            "width": gr.Slider(value=entry.width, step=entry.multiple),
            "height": gr.Slider(value=entry.height, step=entry.multiple),
            **sampling.of_model(entry),
        }
        presets = gr.Radio(size.choices(entry), value=f"{entry.width}x{entry.height}")
        return [*self.filled(fields, entry), presets, list(entry.examples)]

    def use(self, model: str, prompt: str) -> list[Any]:
        """Another model with its own defaults, or another prompt; "" for the present one."""
        if model:
            return self.choose_model(model, model=model)
        return [*self.filled({"prompt": prompt} if prompt else {}), gr.skip(), gr.skip()]

    def dropped(self, event: gr.EventData) -> list[Any]:
        """The settings of a dropped picture in all controls."""
        with in_words("No settings found"):
            imported = drop_zone.read_dropped(event)
        return self._imported(imported)

    def pasted(self, text: str) -> list[Any]:
        """The settings in a text that was pasted into the prompt."""
        with in_words("No settings found"):
            imported = files.read_text(text or "")
        return self._imported(imported)

    def use_settings(self, event: gr.EventData) -> list[Any]:
        """All settings of a saved picture."""
        request = self._request_of(event)
        fields = request.model_dump(mode="json", exclude={"kind", "preview_every", "image_format"})
        if fields["model"] not in self.usable_models():
            gr.Warning(
                f"Model {fields.pop('model')!r} is not installed here; the present one stays.",
                title="Not restored",
            )
        return self.filled(fields)

    def restore(self, saved: Any) -> list[Any]:
        """The settings that the browser kept, as far as they are still valid."""
        fields = valid_fields(saved if isinstance(saved, dict) else {})
        if fields.get("model") not in self.usable_models():
            fields["model"] = None
        return self.filled(fields)

    def _imported(self, imported: Imported) -> list[Any]:
        fields, notes = drop_zone.restored(imported, self._services)
        gr.Info(f"Settings restored from {imported.source.value}.", duration=4)
        for note in notes[:5]:
            gr.Warning(note, title="Not restored")
        return self.filled(fields)

    def _request_of(self, event: gr.EventData) -> GenerationRequest:
        """What a picture was asked with; of an edit, what is shared."""
        with in_words():
            row = self._services.outputs.get(picture_id(event))
        asked = STORED.validate_json(row.request).model_dump(exclude={"kind"})
        shared = {name: asked[name] for name in asked if name in GenerationRequest.model_fields}
        return GenerationRequest(**shared)


def wire(view: GenerateView, services: Services, page: gr.Blocks) -> Handlers:
    """Connect the tab's controls."""
    handlers = Handlers(services, view)
    wire_jobs(view, handlers, page)
    wire_controls(view, handlers)
    size.wire(view.size)
    view.form.fields["model"].input(
        handlers.choose_model,
        [view.form.fields["model"]],
        [*view.form.outputs, view.size.presets, view.prompts.examples],
        **QUIET,
    )
    view.drop.dropped(handlers.dropped, None, view.form.outputs, **QUIET)
    view.read_prompt.click(handlers.pasted, [view.prompts.prompt], view.form.outputs, **QUIET)
    view.stage.use_settings(handlers.use_settings, None, view.form.outputs, **QUIET)
    wire_saving(view, list(view.form.fields))
    restored = page.load(handlers.restore, [view.saved], view.form.outputs, **SILENT)
    speedups.refresh_after(restored, view.speed, view.form, services)
    return handlers
