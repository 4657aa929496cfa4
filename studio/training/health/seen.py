"""What all checks work on: a picture with its caption and its place, and what training wants."""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from studio.training.health.caption_file import CaptionFile
from studio.training.health.looked import Looked
from studio.training.pictures.example import Example, Placed

SUFFIXES = frozenset((".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".avif"))
"""Of files that are taken for pictures; what they are is told by their content."""
FOREIGN_SUFFIXES = frozenset(
    (
        ".jfif",
        ".heic",
        ".heif",
        ".jxl",
        ".svg",
        ".psd",
        ".xcf",
        ".raw",
        ".dng",
        ".cr2",
        ".nef",
        ".arw",
    )
)
"""Of files that are pictures for a person, and cannot be read here."""
TOKEN_LIMIT = 75
"""What a CLIP text encoder reads of a text, without its begin and end."""


@dataclass(frozen=True)
class Sight:
    """What the model sees. side: of the area that pictures are scaled to, in pixels.

    multiple: that the sides of buckets are of. count_tokens: of a text, without begin and end;
    None where they are not counted. limit: how many it reads.
    """

    side: int
    multiple: int = 64
    count_tokens: Callable[[str], int] | None = None
    limit: int = TOKEN_LIMIT


@dataclass(frozen=True)
class Seen:
    """A picture. placed: in its bucket, None where nobody has placed it yet."""

    example: Example
    looked: Looked
    caption_file: CaptionFile = field(default_factory=CaptionFile)
    placed: Placed | None = None

    @property
    def name(self) -> str:
        """Within its set."""
        return self.example.name

    @property
    def caption(self) -> str:
        """What it is learnt with."""
        return self.example.caption.strip()


def files_of(folder: Path) -> dict[str, Path]:
    """All files of a set by their names within it, in order.

    What begins with a dot is left alone, as is what lies behind a link to a folder.
    Raises OSError when the folder cannot be listed.
    """

    def refuse(error: OSError) -> None:
        if Path(error.filename or folder) == folder:
            raise error

    found: dict[str, Path] = {}
    for place, folders, files in os.walk(folder, onerror=refuse):
        folders[:] = sorted(each for each in folders if not each.startswith("."))
        for name in files:
            path = Path(place, name)
            if not name.startswith(".") and path.is_file():
                found[path.relative_to(folder).as_posix()] = path
    return dict(sorted(found.items()))


def is_picture(name: str) -> bool:
    """Whether a file is taken for a picture."""
    return Path(name).suffix.lower() in SUFFIXES
