"""A caption's file beside its picture, as it is on the disk."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

SUFFIX = ".txt"
SIDECARS = (SUFFIX, ".caption")
"""Of files that belong to the picture of their name, the first that is there counts."""
_LONGEST = 1_000_000
_CONTROLS = frozenset(range(32)) - set(b"\t\n\r\f")


class Text(StrEnum):
    """What a caption file holds. FOREIGN: text, but not UTF-8. BINARY: no text at all."""

    NONE = "none"
    EMPTY = "empty"
    TEXT = "text"
    FOREIGN = "foreign"
    BINARY = "binary"


@dataclass(frozen=True)
class CaptionFile:
    """What one holds; text: as far as it could be read."""

    holds: Text = Text.NONE
    text: str = ""

    @property
    def says_something(self) -> bool:
        """Whether there is a caption in it."""
        return self.holds in (Text.TEXT, Text.FOREIGN)


def caption_path(picture: Path) -> Path:
    """Where a picture's caption lies."""
    return picture.with_suffix(SUFFIX)


def read_caption(picture: Path) -> CaptionFile:
    """The caption file of a picture. One that cannot be opened is none."""
    for suffix in SIDECARS:
        try:
            with picture.with_suffix(suffix).open("rb") as file:
                return _told(file.read(_LONGEST + 1))
        except OSError:
            continue
    return CaptionFile()


def _told(data: bytes) -> CaptionFile:
    if len(data) > _LONGEST:
        return CaptionFile(Text.BINARY)
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        try:
            return CaptionFile(Text.FOREIGN, data.decode("utf-16").strip())
        except UnicodeDecodeError:
            return CaptionFile(Text.BINARY)
    if _CONTROLS.intersection(data):
        return CaptionFile(Text.BINARY)
    try:
        text = data.decode("utf-8-sig").strip()
    except UnicodeDecodeError:
        # Windows' code page, as Latin-1 has nothing but controls where it has quotes and dashes.
        return CaptionFile(Text.FOREIGN, data.decode("cp1252", "replace").strip())
    return CaptionFile(Text.TEXT if text else Text.EMPTY, text)
