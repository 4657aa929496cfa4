"""What every tab that makes pictures asks about sampling, batches and files."""

from typing import Any

import gradio as gr

from studio.diffusion.samplers import SAMPLERS
from studio.diffusion.upscaling.choices import of_second_pass
from studio.models.catalogue import ModelEntry
from studio.models.upscalers import UpscalerShelf
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


def schedules(sampler: str) -> list[str]:
    """Schedules that a sampler can follow."""
    return [schedule.value for schedule in SAMPLERS[Sampler(sampler)].schedules]
