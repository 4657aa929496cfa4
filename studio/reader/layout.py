"""What is taken from a file of any kind: its text and layout, and how much of it at most."""

from collections.abc import Iterable
from dataclasses import dataclass

from studio.errors import DataError


@dataclass(frozen=True, slots=True)
class Limits:
    """How much of a document is read; more is refused, as files may be made to fill a machine.

    bytes: of the file. unpacked: bytes of all that a .docx file holds, and of its XML a quarter of
    that. page: bytes of one page's unpacked drawing. seconds: for the text of a PDF.
    """

    bytes: int = 40_000_000
    characters: int = 20_000_000
    pages: int = 5_000
    unpacked: int = 200_000_000
    page: int = 30_000_000
    seconds: float = 120.0

    def check_characters(self, count: int, name: str) -> None:
        """Raises DataError when a text is too long."""
        if count > self.characters:
            raise DataError(
                f"{name} has more than {self.characters:,} characters, which is more than is read "
                "at once; give a part of it."
            )


LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Block:
    """A paragraph, heading, list item or table row, as the layout has it.

    number: which paragraph it is, from 1. unit: what is numbered, such as "page"; blocks of other
    numbers are joined unless they are pages. under: the heading above it.
    """

    start: int
    end: int
    number: int
    heading: bool = False
    under: str = ""
    unit: str = "paragraph"

    def __len__(self) -> int:
        return self.end - self.start


@dataclass(frozen=True, slots=True)
class Layout:
    """A text and its blocks in order; notices: what was left out or guessed."""

    text: str
    blocks: Iterable[Block]
    notices: tuple[str, ...] = ()
