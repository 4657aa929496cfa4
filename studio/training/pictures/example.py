"""A picture to learn from, before and after it has its place in a bucket."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Example:
    """A picture file of a set.

    name: within its set, with "/" between folders. sha256: of the file. size: width and height as
    it is seen, with its EXIF rotation. repeats: how often it is seen in an epoch. focus: what a cut
    keeps in the middle, in shares of width and height.
    """

    path: Path
    name: str
    sha256: str
    size: tuple[int, int]
    caption: str = ""
    repeats: int = 1
    focus: tuple[float, float] = (0.5, 0.5)


@dataclass(frozen=True)
class Placed:
    """An example in its bucket.

    bucket: width and height in pixels that the model sees. crop: left, top, right, bottom in pixels
    of the picture as it is seen, which is scaled to the bucket. scale: by how much; above 1 it is
    enlarged.
    """

    example: Example
    bucket: tuple[int, int]
    crop: tuple[float, float, float, float]
    scale: float
