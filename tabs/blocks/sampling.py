"""What every tab that makes pictures asks about sampling, batches and files."""

from typing import Any

import gradio as gr

from studio.diffusion.samplers import SAMPLERS
from studio.models.catalogue import ModelEntry
from studio.requests import ImageFormat, Sampler, Schedule
from tabs.blocks import seed
from tabs.forms import slider

ALL_SCHEDULES = [schedule.value for schedule in Schedule]


def build(entry: ModelEntry, ids: str) -> dict[str, Any]:
    """Sampler, schedule, steps and CFG by field name; ids: what element ids begin with."""
    with gr.Row():
        sampler = gr.Dropdown(
            [each.value for each in Sampler],
            value=entry.sampler.value,
            label="Sampler",
            min_width=150,
            elem_id=f"{ids}sampler",
        )
        schedule = gr.Dropdown(
            schedules(entry.sampler),
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
    }


def build_batches(ids: str) -> dict[str, Any]:
    """How many pictures."""
    with gr.Row():
        return {
            name: slider(
                name, 1, 1, min_width=150, buttons=[], elem_id=ids + name.replace("_", "-")
            )
            for name in ("batch_count", "batch_size")
        }


def build_more() -> dict[str, Any]:
    """What few people change, folded away."""
    fields: dict[str, Any] = {}
    with gr.Accordion("Variation", open=False):
        fields["variation_strength"] = slider("variation_strength", 0, 0.01)
        fields["variation_seed"] = seed.number("Variation seed (-1 draws one)")
    with gr.Accordion("More", open=False):
        fields["clip_skip"] = slider("clip_skip", 1, 1, label="CLIP skip")
        fields["preview_every"] = slider(
            "preview_every", 2, 1, label="Steps between previews (0 for none)"
        )
        fields["image_format"] = gr.Radio(
            [(each.value.upper(), each.value) for each in ImageFormat],
            value=ImageFormat.PNG.value,
            label="File format",
        )
    return fields


def schedules(sampler: str) -> list[str]:
    """Schedules that a sampler can follow."""
    return [schedule.value for schedule in SAMPLERS[Sampler(sampler)].schedules]
