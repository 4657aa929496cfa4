"""The networks that a prompt calls for: `<lora:name:0.8>`, which model wears them, and how much."""

import math
import re
from collections.abc import Iterator

from studio.context import ModelSpec, Worn
from studio.diffusion.prompt import NetworkTag, strip_networks
from studio.errors import RequestError
from studio.models.adapters import LoraShelf, lora_hash
from studio.models.entry import ModelEntry
from studio.models.speedups import loader_of
from studio.requests import PictureRequest

_KINDS = ("lora", "lyco")
STRENGTH_LIMIT = 10.0


def spec_of(request: PictureRequest, entry: ModelEntry, shelf: LoraShelf) -> ModelSpec:
    """What a job borrows: its model with its speed-ups and the LoRAs that its prompt calls for."""
    chosen = tuple(each.value for each in request.speedups)
    loras = loras_of(request.prompt, shelf)
    return ModelSpec(loader_of(chosen), entry.id, "text2image", loras, speedups=chosen)


def loras_of(prompt: str, shelf: LoraShelf) -> tuple[Worn, ...]:
    """The installed LoRAs of a prompt, each once: of several tags for one, the last one counts.

    As in AUTOMATIC1111, `<lora:name:a>` weighs text encoders and denoiser by a, and
    `<lora:name:a:b>` weighs the text encoders by a and the denoiser by b.
    """
    worn: dict[str, Worn] = {}
    for tag in _called(prompt):
        lora = shelf.find(tag.args[0])
        if lora is not None:
            numbers = [_strength(arg, tag) for arg in tag.args[1:3]] or [1.0]
            worn[lora.name] = Worn(lora.name, numbers[-1], numbers[0], lora.version)
    return tuple(each for each in worn.values() if each.strength or each.text_strength)


def check_loras(prompt: str, entry: ModelEntry, shelf: LoraShelf) -> None:
    """ModelError or RequestError for a LoRA that is damaged, for other models, or too strong."""
    for worn in loras_of(prompt, shelf):
        shelf.usable(worn.name, entry)


def missing_networks(prompt: str, shelf: LoraShelf) -> Iterator[NetworkTag]:
    """Tags of a prompt that nothing here answers to."""
    for tag in strip_networks(prompt)[1]:
        if tag.kind not in _KINDS or not shelf.find(tag.args[0]):
            yield tag


def with_lora(prompt: str, name: str, strength: float | None) -> str:
    """The prompt with a LoRA of this strength, in place of a tag for it or at the end.

    strength: None takes its tags away.
    """
    own = re.compile(rf"\s*<(?:{'|'.join(_KINDS)}):{re.escape(name)}(?::[^>]*)?>", re.IGNORECASE)
    tag = "" if strength is None else f" <lora:{name}:{strength:g}>"
    first = own.search(prompt)
    if first is not None:  # it stays where it is, for people know their prompts by sight
        rest = own.sub("", prompt[first.end() :])
        return (prompt[: first.start()] + tag + rest).lstrip(" ")
    return (prompt.rstrip() + tag).lstrip(" ")


def prompts_of(request: PictureRequest) -> list[str]:
    """All texts that a job shows to a model."""
    fields = ("prompt", "negative_prompt", "hires_prompt", "hires_negative_prompt")
    return [text for field in fields if (text := getattr(request, field, ""))]


def hashes_of(prompt: str, shelf: LoraShelf) -> dict[str, str]:
    """The hashes of a prompt's LoRAs by name, for the record in a picture."""
    found = ((worn.name, shelf.find(worn.name)) for worn in loras_of(prompt, shelf))
    return {name: lora_hash(lora) for name, lora in found if lora is not None}


def _called(prompt: str) -> Iterator[NetworkTag]:
    return (tag for tag in strip_networks(prompt)[1] if tag.kind in _KINDS)


def _strength(text: str, tag: NetworkTag) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not abs(value) <= STRENGTH_LIMIT:
        raise RequestError(
            f"The strength of LoRA {tag.args[0]!r} is {text[:20]!r}, but must be a number from "
            f"{-STRENGTH_LIMIT:g} to {STRENGTH_LIMIT:g}.",
            field="prompt",
        )
    return value
