"""Plain text and Markdown: which characters the bytes of a file stand for."""

import codecs
import re

from studio.errors import DataError
from studio.reader.layout import Layout, Limits
from studio.reader.passages import text_blocks

_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    # Before UTF-16, whose mark is the beginning of this one.
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")


def read(content: bytes, name: str, limits: Limits, markdown: bool = False) -> Layout:
    """The text of a file without its byte order mark, all else as it is, line ends too.

    UTF-8, or UTF-16 and UTF-32 with a mark, or else Windows-1252, which is told in a notice.
    Raises DataError when it is none of these or too long.
    """
    text, notices = _decoded(content, name)
    limits.check_characters(len(text), name)
    refuse_nul(text, name)
    return Layout(text, text_blocks(text, markdown), notices)


def refuse_nul(text: str, name: str) -> None:
    """Raises DataError when a text holds NUL characters, which no text does."""
    at = text.find("\x00")
    if at >= 0:
        line = text.count("\n", 0, at) + 1
        raise DataError(
            f"{name} holds a NUL character (character {at}, line {line}), so it is damaged or no "
            "text; save it as UTF-8 text."
        )


def _decoded(content: bytes, name: str) -> tuple[str, tuple[str, ...]]:
    for mark, encoding in _BOMS:
        if content.startswith(mark):
            try:
                return content[len(mark) :].decode(encoding), ()
            except UnicodeDecodeError as error:
                raise DataError(
                    f"{name} begins as {encoding[:6].upper()} text but is damaged "
                    f"(byte {error.start + len(mark)}); save it as UTF-8 text."
                ) from None
    try:
        return content.decode("utf-8"), ()
    except UnicodeDecodeError as error:
        first = error.start
    try:
        text = content.decode("cp1252")
    except UnicodeDecodeError:
        text = ""
    if not text or _CONTROL.search(text):
        raise DataError(
            f"{name} is not text, or in an encoding that is not known (byte {first}); save it as "
            "UTF-8 text."
        )
    return text, (
        "The file is not UTF-8, so it was read as Windows-1252; if letters look wrong, save it as "
        "UTF-8.",
    )
