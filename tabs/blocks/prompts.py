"""The prompt boxes with their token counts, examples and the buttons that start and stop."""

from dataclasses import dataclass

import gradio as gr

from studio.models.entry import ModelEntry
from tabs.theme import script


@dataclass(frozen=True)
class Prompts:
    """Components of the group."""

    prompt: gr.Textbox
    negative: gr.Textbox
    prompt_count: gr.HTML
    negative_count: gr.HTML
    examples: gr.HTML
    run: gr.Button
    skip: gr.Button
    cancel: gr.Button


def build(entry: ModelEntry, ids: str, verb: str = "Generate") -> Prompts:
    """Lay the group out, with the model's own examples; ids: what element ids begin with."""
    boxes = build_boxes(entry, ids)
    return Prompts(*boxes, *build_buttons(ids, verb))


def build_boxes(
    entry: ModelEntry, ids: str
) -> tuple[gr.Textbox, gr.Textbox, gr.HTML, gr.HTML, gr.HTML]:
    """Prompt, negative prompt, their counts and the examples."""
    with gr.Column(min_width=0, elem_classes="at-counted"):
        prompt = gr.Textbox(
            "",
            label="Prompt",
            lines=3,
            max_lines=10,
            placeholder=entry.examples[0] if entry.examples else "",
            elem_id=f"{ids}prompt",
        )
        prompt_count = gr.HTML(counter(0, 0), elem_classes="at-hint", padding=False)
    with gr.Column(min_width=0, elem_classes="at-counted"):
        negative = gr.Textbox(
            "", label="Negative prompt", lines=1, max_lines=6, elem_id=f"{ids}negative"
        )
        negative_count = gr.HTML(counter(0, 0), elem_classes="at-hint", padding=False)
    examples = gr.HTML(
        list(entry.examples),
        html_template='<div class="at-examples" role="group" aria-label="Examples"></div>',
        js_on_load=script("chips"),
        padding=False,
    )
    return prompt, negative, prompt_count, negative_count, examples


def build_buttons(
    ids: str, verb: str, skips: bool = True
) -> tuple[gr.Button, gr.Button, gr.Button]:
    """Run, skip and cancel; skips: whether a job has parts that can be left out."""
    with gr.Row(elem_classes="at-run-row"):
        run = gr.Button(
            verb,
            variant="primary",
            scale=3,
            elem_id=f"{ids}run",
            min_width=120,
            elem_classes="at-members",
        )
        # The stage's script lets these be pressed while a job runs.
        skip = gr.Button(
            "Skip",
            scale=1,
            elem_id=f"{ids}skip",
            min_width=72,
            interactive=False,
            visible=skips,
        )
        cancel = gr.Button(
            "Cancel", scale=1, elem_id=f"{ids}cancel", min_width=72, interactive=False
        )
    return run, skip, cancel


def counter(count: int, limit: int) -> str:
    """A token count as people read it; nothing before anything is typed."""
    return f"{count} of {limit} tokens" if count else ""
