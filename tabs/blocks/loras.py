"""The picker of LoRA files: it writes their tags into the prompt, where all else finds them."""

import base64
import html
import io
from dataclasses import dataclass
from typing import Any

import gradio as gr
from PIL import Image, UnidentifiedImageError

from studio.diffusion.networks_called import with_lora
from studio.models.adapters import Lora, misfit
from studio.models.entry import ModelEntry
from studio.services import Services
from tabs.events import apart
from tabs.theme import script

_SIDE = 320
"""Pixels of a LoRA's picture, at most."""
_NONE = """<p class="at-hint">Put LoRA files (.safetensors) into <code>models/</code> of the data
folder; they are seen at once.</p>"""


@dataclass(frozen=True)
class Loras:
    """Components of the group."""

    group: gr.Accordion
    name: gr.Dropdown
    card: gr.HTML
    triggers: gr.HTML
    strength: gr.Slider
    add: gr.Button
    remove: gr.Button


def build(ids: str) -> Loras:
    """Lay the group out, folded away; ids: what element ids begin with."""
    with gr.Accordion("LoRA", open=False, elem_id=f"{ids}loras") as group:
        name = gr.Dropdown(
            [], value=None, label="LoRA", show_label=False, elem_id=f"{ids}lora", filterable=True
        )
        card = gr.HTML(_NONE, padding=False)
        triggers = gr.HTML(
            [],
            html_template='<div class="at-examples" role="group" aria-label="Trigger words"></div>',
            js_on_load=script("chips"),
            padding=False,
        )
        strength = gr.Slider(
            -2, 2, value=1, step=0.05, label="Strength", elem_id=f"{ids}lora-strength"
        )
        with gr.Row():
            add = gr.Button("Add to prompt", size="sm", elem_id=f"{ids}lora-add", min_width=120)
            remove = gr.Button("Remove", size="sm", elem_id=f"{ids}lora-remove", min_width=90)
    return Loras(group, name, card, triggers, strength, add, remove)


class LoraHandlers:
    """What the picker's controls do."""

    def __init__(self, services: Services):
        self._services = services

    def listed(self, model: str, name: str | None) -> list[Any]:
        """The LoRA files that fit a model; the chosen one stays when it does."""
        entry = self._services.catalogue.get(model or "")
        everything = self._services.catalogue.loras.entries()
        fitting = [each.name for each in everything if not _problem(each, entry)]
        chosen = name if name in fitting else None
        left = len(everything) - len(fitting)
        found = gr.Dropdown(fitting, value=chosen, interactive=bool(fitting))
        return [found, *self._shown(chosen, left, bool(fitting))]

    def chosen(self, name: str | None) -> list[Any]:
        """What a LoRA is, its trigger words and the strength that its notes recommend."""
        lora = self._services.catalogue.loras.find(name or "")
        return [*self._shown(name, 0, True), lora.strength if lora else gr.skip()]

    def added(self, prompt: str, name: str | None, strength: float) -> str:
        """The prompt with the LoRA's tag."""
        if not name:
            raise gr.Error("Choose a LoRA first.", title="Nothing to add", print_exception=False)
        return with_lora(prompt or "", name, float(strength))

    def removed(self, prompt: str, name: str | None) -> str:
        """The prompt without the LoRA's tags."""
        return with_lora(prompt or "", name, None) if name else prompt

    def word(self, prompt: str, event: gr.EventData) -> str:
        """The prompt with the trigger word that was pressed."""
        word = str(getattr(event, "text", ""))[:200].strip()
        text = (prompt or "").rstrip(" ,")
        return f"{text}, {word}" if text else word

    def _shown(self, name: str | None, left: int, some: bool) -> tuple[str, list[str]]:
        lora = self._services.catalogue.loras.find(name or "") if name else None
        if lora is not None:
            return _card(lora), list(lora.triggers)
        for_others = f"{left} more {'is' if left == 1 else 'are'} for other models."
        note = f'<p class="at-hint">{for_others}</p>' if left else ""
        return (note if some else note or _NONE), []


def wire(loras: Loras, services: Services, model: gr.Dropdown, prompt: gr.Textbox) -> None:
    """Connect the group's controls with the model and the prompt."""
    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    handlers = LoraHandlers(services)
    listing = [loras.name, loras.card, loras.triggers]
    loras.group.expand(handlers.listed, [model, loras.name], listing, **quiet)
    apart(model.change).then(
        handlers.listed, [model, loras.name], listing, trigger_mode="always_last", **quiet
    )
    loras.name.input(
        handlers.chosen, [loras.name], [loras.card, loras.triggers, loras.strength], **quiet
    )
    loras.add.click(handlers.added, [prompt, loras.name, loras.strength], [prompt], **quiet)
    loras.remove.click(handlers.removed, [prompt, loras.name], [prompt], **quiet)
    loras.triggers.choose(handlers.word, [prompt], [prompt], **quiet)


def _problem(lora: Lora, entry: ModelEntry) -> str:
    return lora.problem or (misfit(lora, entry) if entry.family else "")


def _card(lora: Lora) -> str:
    """Its picture, what it was trained on and how large it is."""
    facts = [lora.family, lora.facts.base and f"trained on {lora.facts.base}"]
    facts.append(f"{lora.size / 1e6:,.1f} MB")
    words = html.escape(" · ".join(filter(None, facts)))
    picture = _thumbnail(lora.picture())
    image = f'<img src="{picture}" alt="What {html.escape(lora.name)} does">' if picture else ""
    return f'<div class="at-lora">{image}<p class="at-hint">{words}</p></div>'


def _thumbnail(data: bytes | None) -> str:
    """A small picture as a data URI; "" for what is none."""
    if not data:
        return ""
    try:
        with Image.open(io.BytesIO(data)) as image:
            image.draft("RGB", (_SIDE, _SIDE))
            image.thumbnail((_SIDE, _SIDE))
            stream = io.BytesIO()
            image.convert("RGB").save(stream, "WEBP", quality=80)
    except (UnidentifiedImageError, OSError, ValueError, Image.DecompressionBombError):
        return ""
    return "data:image/webp;base64," + base64.b64encode(stream.getvalue()).decode()
