"""What every tab that makes pictures asks about sampling, batches and files."""

from typing import Any

import gradio as gr

from studio.diffusion.samplers import samplers_for, schedules_for
from studio.diffusion.upscaling.choices import of_second_pass
from studio.models.entry import ModelEntry
from studio.models.upscalers import UpscalerShelf
from studio.requests import ImageFormat, Sampler, Schedule
from tabs.blocks import seed
from tabs.forms import slider

ALL_SCHEDULES = [schedule.value for schedule in Schedule]
_USUAL_DISTILLED = 3.5
"""What the slider shows before a model that takes it is chosen."""


def build(entry: ModelEntry, ids: str) -> dict[str, Any]:
    """Sampler, schedule, steps and CFG by field name; ids: what element ids begin with."""
    with gr.Row():
        sampler = gr.Dropdown(
            samplers(entry),
            value=entry.sampler.value,
            label="Sampler",
            min_width=150,
            elem_id=f"{ids}sampler",
        )
        schedule = gr.Dropdown(
            schedules(entry.sampler, entry),
            value=Schedule.AUTOMATIC.value,
            label="Schedule",
            min_width=130,
            elem_id=f"{ids}schedule",
        )
    return {
        "sampler": sampler,
        "schedule": schedule,
        "steps": slider("steps", entry.steps, 1, elem_id=f"{ids}steps"),
        "cfg_scale": slider("cfg_scale", entry.cfg_scale, 0.5, elem_id=f"{ids}cfg"),
        "distilled_cfg_scale": slider(
            "distilled_cfg_scale",
            entry.distilled_cfg_scale or _USUAL_DISTILLED,
            0.1,
            label="Distilled CFG scale",
            visible=entry.distilled_cfg_scale is not None,
            elem_id=f"{ids}distilled-cfg",
        ),
    }


def of_model(entry: ModelEntry) -> dict[str, Any]:
    """The model's own defaults for the same, by field name."""
    return {
        "cfg_scale": entry.cfg_scale,
        "distilled_cfg_scale": entry.distilled_cfg_scale,
        "steps": entry.steps,
        "sampler": entry.sampler.value,
    }


def fitted(updates: dict[str, Any], entry: ModelEntry | None) -> None:
    """Make of new values for the same what the controls can show.

    entry: the model that they are for, None where nobody knows.
    """
    if "distilled_cfg_scale" in updates:
        value = updates.pop("distilled_cfg_scale")
        if entry is not None:
            shown = entry.distilled_cfg_scale is not None
            known = value if value is not None else entry.distilled_cfg_scale
            updates["distilled_cfg_scale"] = gr.Slider(
                value=known or _USUAL_DISTILLED, visible=shown
            )
        elif value is not None:
            updates["distilled_cfg_scale"] = value
    sampler = updates.get("sampler")
    if sampler is None and "schedule" not in updates:
        return
    # A schedule on its own is checked against its sampler when the job is submitted.
    allowed = ALL_SCHEDULES if sampler is None else schedules(sampler, entry)
    value = updates.get("schedule", Schedule.AUTOMATIC.value)
    kept = value if value in allowed else Schedule.AUTOMATIC.value
    updates["schedule"] = gr.Dropdown(allowed, value=kept)
    if sampler is not None:
        fitting = samplers(entry)
        own = entry.sampler.value if entry is not None else sampler
        updates["sampler"] = gr.Dropdown(fitting, value=sampler if sampler in fitting else own)


def build_batches(ids: str) -> dict[str, Any]:
    """How many pictures."""
    with gr.Row():
        return {
            name: slider(
                name, 1, 1, min_width=150, buttons=[], elem_id=ids + name.replace("_", "-")
            )
            for name in ("batch_count", "batch_size")
        }


def build_hires(shelf: UpscalerShelf) -> dict[str, Any]:
    """A second pass at a larger size, folded away."""
    with gr.Accordion("Hires fix", open=False):
        fields: dict[str, Any] = {
            "hires_scale": slider(
                "hires_scale", 1, 0.25, label="Enlarge by (1 for no second pass)"
            ),
            "hires_upscaler": gr.Dropdown(
                of_second_pass(shelf), value="latent", label="Upscaler", elem_id="at-hires-upscaler"
            ),
            "hires_strength": slider("hires_strength", 0.6, 0.05, label="Strength"),
            "hires_steps": slider("hires_steps", 0, 1, label="Steps (0 for as many as above)"),
        }
        same = ("Same as above", "")
        fields["hires_sampler"] = gr.Dropdown(
            [same, *((each.value, each.value) for each in Sampler)], value="", label="Sampler"
        )
        fields["hires_cfg_scale"] = slider(
            "hires_cfg_scale", 0, 0.5, label="CFG scale (0 for the same as above)"
        )
        for name, label in (("prompt", "Prompt"), ("negative_prompt", "Negative prompt")):
            fields[f"hires_{name}"] = gr.Textbox("", label=label, placeholder="same as above")
    return fields


def build_more() -> dict[str, Any]:
    """What few people change, folded away."""
    fields: dict[str, Any] = {}
    with gr.Accordion("Variation", open=False):
        fields["variation_strength"] = slider("variation_strength", 0, 0.01)
        fields["variation_seed"] = seed.number("Variation seed (-1 draws one)")
    with gr.Accordion("More", open=False):
        fields["clip_skip"] = slider("clip_skip", 1, 1, label="CLIP skip")
        fields |= build_files()
    return fields


def build_files() -> dict[str, Any]:
    """Previews and the format of files."""
    return {
        "preview_every": slider("preview_every", 2, 1, label="Steps between previews (0 for none)"),
        "image_format": gr.Radio(
            [(each.value.upper(), each.value) for each in ImageFormat],
            value=ImageFormat.PNG.value,
            label="File format",
        ),
    }


def samplers(entry: ModelEntry | None) -> list[str]:
    """Samplers that fit a model, all of them where none is known."""
    return [each.value for each in samplers_for(flow=_flow(entry))]


def schedules(sampler: str, entry: ModelEntry | None) -> list[str]:
    """Schedules that a sampler can follow with a model."""
    return [each.value for each in schedules_for(Sampler(sampler), flow=_flow(entry))]


def _flow(entry: ModelEntry | None) -> bool:
    return entry is not None and entry.family is not None and entry.family.flow
