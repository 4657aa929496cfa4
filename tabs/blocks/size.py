"""Width and height with the model's own sizes and a button that swaps the two."""

from dataclasses import dataclass

import gradio as gr

from studio.models.entry import ModelEntry
from tabs.forms import slider


@dataclass(frozen=True)
class Size:
    """Components of the group."""

    presets: gr.Radio
    width: gr.Slider
    height: gr.Slider
    swap: gr.Button


def build(entry: ModelEntry) -> Size:
    """Lay the group out for a model."""
    presets = gr.Radio(
        choices(entry),
        value=f"{entry.width}x{entry.height}",
        label="Size",
        elem_id="at-presets",
    )
    with gr.Row(elem_classes="at-inline"):
        width = slider(
            "width", entry.width, entry.multiple, min_width=110, buttons=[], elem_id="at-width"
        )
        swap = gr.Button("Swap", min_width=60, elem_id="at-swap")
        height = slider(
            "height", entry.height, entry.multiple, min_width=110, buttons=[], elem_id="at-height"
        )
    return Size(presets, width, height, swap)


def choices(entry: ModelEntry) -> list[tuple[str, str]]:
    """A model's own sizes, as (label, value)."""
    return [(f"{w} × {h}", f"{w}x{h}") for w, h in entry.sizes]


def wire(size: Size) -> None:
    """All in the browser: no round trip for moving numbers from one box to another."""
    both = [size.width, size.height]
    size.presets.input(
        None,
        [size.presets, *both],
        both,
        js="(preset, w, h) => preset ? preset.split('x').map(Number) : [w, h]",
    )
    size.swap.click(None, both, both, js="(w, h) => [h, w]")
    gr.on(
        [size.width.change, size.height.change],
        None,
        both,
        [size.presets],
        js="(w, h) => `${w}x${h}`",
        show_progress="hidden",
    )
