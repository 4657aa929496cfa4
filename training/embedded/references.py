"""The drawings that the judge of the tests compares with, as one sheet of pictures a set."""

import json
import math
from pathlib import Path

import numpy as np
from PIL import Image

from training.embedded.latents import drawings
from training.embedded.sets import SETS
from training.embedded.variants import WHITE, laid_on
from training.embedded.workshop import ROOT

FOLDER = ROOT / "tests" / "judge" / "references"
COLUMNS = 20
SIDE = 128
QUALITY = 60


def write(folder: Path = FOLDER) -> None:
    """Write `SET.webp` with all drawings of a set in rows of 20, and index.json in their order."""
    folder.mkdir(parents=True, exist_ok=True)
    found = [(thing.name, icon, picture) for thing, icon, picture in drawings()]
    index = {}
    for art in SETS:
        own = [(name, icon.icon, picture) for name, icon, picture in found if icon.set == art.name]
        rows = math.ceil(len(own) / COLUMNS)
        sheet = np.ones((rows * SIDE, COLUMNS * SIDE, 3), "f4")
        for i, (_, _, picture) in enumerate(own):
            top, left = i // COLUMNS * SIDE, i % COLUMNS * SIDE
            sheet[top : top + SIDE, left : left + SIDE] = laid_on(picture, WHITE)
        image = Image.fromarray(np.rint(sheet * 255).astype("u1"))
        image.save(folder / f"{art.name}.webp", quality=QUALITY, method=6)
        index[art.name] = {
            "style": art.style,
            "licence": art.licence,
            "drawings": [[name, icon] for name, icon, _ in own],
        }
    text = json.dumps(index, indent=1)
    (folder / "index.json").write_text(text + "\n", encoding="utf-8")
