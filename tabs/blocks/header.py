"""The header above all tabs: the model in use, the device, the jobs, light and dark."""

import logging
from dataclasses import dataclass

import gradio as gr

from studio.models.entry import ModelEntry
from studio.services import Services
from tabs.theme import icon, script

log = logging.getLogger(__name__)
_MOON = (
    '<svg viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="1.8" '
    'stroke-linecap="round"><path d="M20 14.5A8.5 8.5 0 1 1 9.5 4a7 7 0 0 0 10.5 10.5z"/></svg>'
)
_TOGGLE = """
element.querySelector("button").addEventListener("click", () =>
  window.atelier.theme(document.body.classList.contains("dark") ? "light" : "dark"));
"""


@dataclass(frozen=True)
class Header:
    """Components of the header that tabs listen to."""

    model: gr.Dropdown


def build(services: Services) -> Header:
    """Lay the header out."""
    with gr.Row(elem_id="at-header"):
        gr.HTML(
            html_template=f'<div class="at-brand">{icon()}<span>Atelier</span></div>',
            elem_id="at-brand",
        )
        model = gr.Dropdown(
            choices=choices(services),
            value=model_at_start(services).id,
            show_label=False,
            label="Model",
            container=False,
            elem_id="at-model",
        )
        gr.HTML(
            html_template='<div class="at-status" role="status">Getting ready …</div>',
            js_on_load=script("header"),
            elem_id="at-status",
        )
        gr.HTML(
            html_template='<button class="at-icon" type="button" title="Light or dark" '
            f'aria-label="Light or dark">{_MOON}</button>',
            js_on_load=_TOGGLE,
            elem_id="at-theme-box",
        )
    return Header(model)


def model_at_start(services: Services) -> ModelEntry:
    """The default model, or the first that is whole when that one is damaged.

    Raises ModelError when none is whole.
    """
    default = services.catalogue.get("")
    whole = [entry for entry in services.catalogue.entries() if not entry.problem]
    if default.problem and whole:
        log.warning("%s %s is in use instead.", default.problem, whole[0].title)
        return whole[0]
    return services.catalogue.usable("")


def choices(services: Services) -> list[tuple[str, str]]:
    """Models that can be used, as (title, id)."""
    return [(entry.title, entry.id) for entry in services.catalogue.entries() if not entry.problem]
