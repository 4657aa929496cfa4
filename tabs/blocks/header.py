"""The header above all tabs: the model in use, the device, the jobs, light and dark."""

import logging
from dataclasses import dataclass
from typing import Any

import gradio as gr

from studio.models.entry import ModelEntry
from studio.password import has_accounts
from studio.people import EVERYBODY, HOME, Person, acting_as
from studio.services import Services
from tabs.theme import icon, script

log = logging.getLogger(__name__)
_MOON = (
    '<svg viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="1.8" '
    'stroke-linecap="round"><path d="M20 14.5A8.5 8.5 0 1 1 9.5 4a7 7 0 0 0 10.5 10.5z"/></svg>'
)
_DOOR = (
    '<svg viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="1.8" '
    'stroke-linecap="round" stroke-linejoin="round">'
    '<path d="M10 4H5v16h5M14 8l4 4-4 4M18 12H9"/></svg>'
)
_PERSON = (
    '<svg viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="1.8" '
    'stroke-linecap="round"><circle cx="12" cy="8" r="3.5"/><path d="M5 20a7 7 0 0 1 14 0"/></svg>'
)
_ME = f"""
<button class="at-icon at-account" type="button" aria-haspopup="dialog" aria-expanded="false"
  aria-controls="at-me" title="You" aria-label="You and your use">{_PERSON}<span></span></button>
<div class="at-me" id="at-me" role="dialog" aria-label="You and your use" hidden>
  <header><b></b><small></small></header>
  <h3>Your use</h3>
  <dl></dl>
  <p class="at-hint"></p>
  <a href="account">Password, tokens and browsers</a>
</div>
"""
_SHIELD = (
    '<svg viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="1.8" '
    'stroke-linecap="round" stroke-linejoin="round">'
    '<path d="M12 3l7 3v5c0 4.5-3 8-7 10-4-2-7-5.5-7-10V6zM9 12l2 2 4-4"/></svg>'
)
_LEAVE = """
element.querySelector("button").addEventListener("click", async () => {
  await fetch("logout", { method: "POST" });
  location.reload();
});
"""
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
            choices=choices_at_start(services),
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
        guarded = has_accounts(services.settings)
        gr.HTML(
            html_template='<a class="at-icon" href="admin" title="Administration" '
            f'aria-label="Administration"{" hidden" * guarded}>{_SHIELD}</a>',
            elem_id="at-admin-box",
        )
        if guarded:
            gr.HTML(
                html_template=_ME,
                js_on_load=script("account"),
                elem_id="at-account-box",
            )
            gr.HTML(
                html_template='<button class="at-icon" type="button" title="Log out" '
                f'aria-label="Log out">{_DOOR}</button>',
                js_on_load=_LEAVE,
                elem_id="at-leave-box",
            )
    return Header(model)


def model_at_start(services: Services) -> ModelEntry:
    """The default model, or the first that is whole when that one is damaged.

    Raises ModelError when none is whole.
    """
    with acting_as(for_whom(services)):
        if not services.catalogue.entries():  # every model is limited or somebody's
            with acting_as(HOME):
                return services.catalogue.usable("")
        return _model_at_start(services)


def for_whom(services: Services) -> Person:
    """For whom a page is built: with accounts all people get the same one, until it is loaded."""
    return EVERYBODY if has_accounts(services.settings) else HOME


def choices_at_start(services: Services) -> list[tuple[str, str]]:
    """Models as `choices` that everybody may know of, with the one that the page begins with."""
    with acting_as(for_whom(services)):
        found = choices(services)
    entry = model_at_start(services)
    return found or [(entry.title, entry.id)]


def wire(services: Services, page: gr.Blocks, model: gr.Dropdown, *others: gr.Dropdown) -> None:
    """With accounts give a page, once it is loaded, the models of the person who looks at it."""

    def own(*chosen: str) -> list[Any]:
        found = choices(services)
        ids = [each for _, each in found]
        if not ids:  # that the one of the start may not be used, is said when it is
            return [gr.skip() for _ in chosen]
        return [
            gr.Dropdown(found) if value in ids else gr.Dropdown(found, value=ids[0])
            for value in chosen
        ]

    if has_accounts(services.settings):
        lists = [model, *others]
        # Not by the queue, for whose answer each page that is opened would begin a stream.
        page.load(own, lists, lists, queue=False, show_progress="hidden", api_visibility="private")


def _model_at_start(services: Services) -> ModelEntry:
    default = services.catalogue.get("")
    whole = [entry for entry in services.catalogue.entries() if not entry.problem]
    if default.problem and whole:
        log.warning("%s %s is in use instead.", default.problem, whole[0].title)
        return whole[0]
    return services.catalogue.usable("")


def choices(services: Services) -> list[tuple[str, str]]:
    """Models that can be used, as (title, id)."""
    return [(entry.title, entry.id) for entry in services.catalogue.entries() if not entry.problem]
