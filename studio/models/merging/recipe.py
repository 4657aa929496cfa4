"""How a model was made, written into it: in a file's header or in a file of its folder."""

import json
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

import studio
from studio.models.headers import HeaderError, read_header

KEY = "atelier.recipe"
"""Under this name in a safetensors file's metadata."""
FILE = "atelier-recipe.json"


class Ingredient(BaseModel):
    """A model or LoRA that took part.

    role: "A", "base", "LoRA". sha256: of a model's denoiser or single file, of a LoRA's file.
    """

    model_config = ConfigDict(frozen=True)

    role: str
    id: str
    sha256: str
    weight: float | None = None


class Recipe(BaseModel):
    """A method, what went into it, and how; blocks: weights by a block's name."""

    model_config = ConfigDict(frozen=True)

    method: str
    parents: tuple[Ingredient, ...]
    settings: dict[str, str | int | float | bool] = {}
    blocks: dict[str, float] = {}
    blocks_c: dict[str, float] = {}
    notes: tuple[str, ...] = ()
    versions: dict[str, str] = {}
    date: str = ""

    def dated(self) -> "Recipe":
        """With the versions and the time of now."""
        import safetensors
        import torch

        versions = {
            "atelier": studio.__version__,
            "torch": torch.__version__,
            "safetensors": safetensors.__version__,
        }
        now = datetime.now(UTC).isoformat(timespec="seconds")
        return self.model_copy(update={"versions": versions, "date": now})

    def json_text(self) -> str:
        """As it is stored."""
        return self.model_dump_json(exclude_defaults=True)

    def told(self) -> str:
        """In one line for people."""
        parts = [
            f"{each.role} {each.id}" + ("" if each.weight is None else f" × {each.weight:g}")
            for each in self.parents
        ]
        by_block = " by block" if self.blocks or self.blocks_c else ""
        return f"{self.method}{by_block}: {', '.join(parts)} ({self.date[:10]})"


def metadata(recipe: Recipe, title: str, architecture: str = "") -> dict[str, str]:
    """What stands in the header of a file: the recipe, and what ModelSpec has for it.

    Source: https://github.com/Stability-AI/ModelSpec, version 1.0.0.
    """
    notes = {
        "format": "pt",
        KEY: recipe.json_text(),
        "modelspec.sai_model_spec": "1.0.0",
        "modelspec.title": title,
        "modelspec.date": recipe.date,
        "modelspec.merged_from": ", ".join(each.id for each in recipe.parents),
    }
    return notes | ({"modelspec.architecture": architecture} if architecture else {})


def read_recipe(path: Path) -> Recipe | None:
    """The recipe of a model's file or folder; None when it has none that can be read."""
    try:
        if path.is_dir():
            text = (path / FILE).read_text("utf-8")
        else:
            text = read_header(path).metadata.get(KEY, "")
        return Recipe.model_validate(json.loads(text)) if text else None
    except (OSError, HeaderError, ValueError, ValidationError, RecursionError):
        return None
