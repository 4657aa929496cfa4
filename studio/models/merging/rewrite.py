"""A new model like an old one, in which some tensors are others."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from studio.errors import ModelError
from studio.models.headers import Header
from studio.models.merging.output import FLOATS, FORMATS, Meter, Writer, staged
from studio.models.merging.parents import Key, Parent, is_number
from studio.models.merging.recipe import FILE, Recipe, metadata

if TYPE_CHECKING:
    from torch import Tensor

_LEFT_OUT = ("notes.json", FILE)
_KEPT = ("modelspec.architecture", "modelspec.prediction_type", "modelspec.resolution")
"""What a file says of itself that is true of what is made of it as well."""
_NOTES = 4096
"""Bytes of metadata besides the recipe, at most."""


def target(root: Path, first: Parent, name: str) -> Path:
    """Where a model of this name goes: a folder or a file, as the first parent is one."""
    return root / (f"{name}.safetensors" if first.entry.original else name)


def rewritten(
    first: Parent,
    place: Path,
    recipe: Recipe,
    change: Callable[[Key, "Tensor"], "Tensor | None"],
    *,
    root: Path,
    stored: str,
    meter: Meter,
) -> None:
    """Write a model like the first parent to a place, each tensor as `change` gives it.

    change: float32 numbers for a tensor, None for one that stays. stored: "same" or a number
    format. Raises ModelError for numbers that do not fit the format, Cancelled, StorageError.
    """
    needed = sum(_bytes(header, stored) for header in first.headers.values())
    with staged(root, place, needed) as made:
        name = place.name.removesuffix(".safetensors")
        if first.entry.original is None:
            _copy_folder(first.entry.path, made, name)
            (made / FILE).write_text(recipe.json_text(), encoding="utf-8")
        for file, header in first.headers.items():
            notes = dict(header.metadata)
            path = made / file
            if first.entry.original is not None:
                path = made
                kept = {key: notes[key] for key in _KEPT if key in notes}
                notes = metadata(recipe, name) | kept
            _write(path, file, first, notes, change, stored, meter)
    card, beside = first.entry.path.with_suffix(".toml"), place.with_name(f"{name}.toml")
    if first.entry.original is not None and card.is_file() and not beside.exists():
        # It may say where the model's other parts are, and what suits it.
        beside.write_text(titled(card.read_text("utf-8"), name), encoding="utf-8")


def _write(
    path: Path,
    file: str,
    first: Parent,
    notes: dict[str, str],
    change: Callable[[Key, "Tensor"], "Tensor | None"],
    stored: str,
    meter: Meter,
) -> None:
    import torch

    listed = list(first.keys(file))
    room = sum(len(key) + 6 * len(text) for key, text in notes.items()) + _NOTES
    with Writer(path, (each.name for _, each in listed), room) as writer:
        for key, each in listed:
            tensor = first.read(key)
            numbers = change(key, tensor)
            kind = each.format
            if kind in FLOATS and stored != "same":
                kind = FORMATS[stored]
                tensor = tensor.to(getattr(torch, stored))
            if numbers is not None:
                tensor = numbers.to(tensor.dtype)
                if not is_number(tensor, finite=True):
                    raise ModelError(
                        f"The result does not fit {str(tensor.dtype).removeprefix('torch.')} in "
                        f"{each.name}; store it as bfloat16 or float32, or choose smaller weights."
                    )
            writer.add(each.name, tensor, kind)
            meter.next(tensor.numel())
        writer.finish(notes)


def _bytes(header: Header, stored: str) -> int:
    if stored == "same":
        return header.size
    return header.numbers() * (4 if stored == "float32" else 2) + len(header.shapes) * 300


def _copy_folder(source: Path, made: Path, name: str) -> None:
    """All of a model's folder but its weights: configurations, tokenizers, its card."""
    for path in source.rglob("*"):
        place = made / path.relative_to(source)
        if path.is_dir():
            place.mkdir(parents=True, exist_ok=True)
        elif path.suffix in (".json", ".txt", ".model", ".toml") and path.name not in _LEFT_OUT:
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, place)
    card = made / "atelier.toml"
    if card.is_file():
        card.write_text(titled(card.read_text("utf-8"), name), encoding="utf-8")


def titled(card: str, name: str) -> str:
    """A card's text with the name of the new model in place of the old one's title."""
    return re.sub(r"^title\s*=.*$", lambda _: f'title = "{name}"', card, count=1, flags=re.M)
