"""The judge of pictures for tests: what the studio's own knows, and colours and styles beside.

What a picture shows is told by studio/training/watching/embedded_judge, which is fitted and
measured here (`fit.py`). The style is that of the nearest of the thing's own references.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from PIL import Image

from judge.style import describe_style
from studio.training.watching.embedded_judge.naming import FITTED, Namer, is_picture, stored
from studio.training.watching.embedded_judge.picture import main_colour

HERE = Path(__file__).parent
REFERENCES = HERE / "references"
STYLES = HERE / "style.npz"


@dataclass(frozen=True)
class Judge(Namer):
    """A namer that knows the `styles` of its references, too.

    `style_rows` (radii, n, k) are their figures of style, as they are and softened, which are
    compared after `style_mean` is taken away and `style_scale` divided by.
    """

    styles: np.ndarray | None = None
    style_rows: np.ndarray | None = None
    style_mean: np.ndarray | None = None
    style_scale: np.ndarray | None = None

    @classmethod
    def load(cls, path: Path = FITTED) -> Self:
        """The judge that `fit.py` stored."""
        return cls(**stored(path), **stored(STYLES))

    def style(self, image: Image.Image, thing: str) -> str:
        """The style of that reference of the thing which is nearest in style, sharp or soft."""
        own = self.things == thing
        figures = (describe_style(image) - self.style_mean) / self.style_scale
        apart = ((self.style_rows[:, own] - figures) ** 2).sum(-1).min(0)
        return str(self.styles[own][apart.argmin()])

    def colour(self, image: Image.Image) -> str | None:
        """The name of the main colour, as `main_colour` gives it."""
        return main_colour(image)

    def is_picture(self, image: Image.Image) -> bool:
        """Whether it is neither blank nor noise."""
        return is_picture(image)
