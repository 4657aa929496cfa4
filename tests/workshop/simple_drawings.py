"""A handful of simple drawings in place of the real sets."""

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np

from training.embedded.collect import Icon
from training.embedded.recipes import Recipe
from training.embedded.sets import SETS

TINY = Recipe(start=None, taught=False, widths=(32, 32, 64), batch=4, warmup=2)
"""A recipe that takes seconds."""

DRAWN = {
    "cat": (246, 140, 30),
    "dog": (150, 90, 50),
    "red-apple": (220, 40, 42),
    "banana": (250, 212, 50),
    "automobile": (52, 112, 226),
    "umbrella": (140, 70, 202),
}


def drawing(label: str, set_number: int) -> np.ndarray:
    """A blot of the label's colour; its outline depends on the label, its shade on the set."""
    y, x = np.mgrid[:128, :128] / 127 - 0.5
    sides = 2 + list(DRAWN).index(label)
    radius = 0.3 + 0.12 * np.cos(sides * np.arctan2(y, x))
    inside = np.hypot(x, y) < radius
    picture = np.zeros((128, 128, 4), "u1")
    picture[..., :3] = np.array(DRAWN[label]) * (0.8 + 0.02 * set_number)
    picture[..., 3] = inside * 255
    return picture


def draw_art(folder: Path) -> None:
    """Write `art/` with six drawings in each of the seven sets, as the stage `collect` would."""
    icons = [Icon(art.name, label, label) for art in SETS for label in DRAWN]
    pictures = [drawing(label, i) for i in range(len(SETS)) for label in DRAWN]
    art = folder / "art"
    art.mkdir()
    (art / "index.json").write_text(json.dumps([asdict(icon) for icon in icons]))
    np.save(art / "pictures.npy", np.stack(pictures))
