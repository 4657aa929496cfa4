"""Word files (.docx): paragraphs, headings and the rows of tables."""

import io
import zipfile
import zlib
from collections.abc import Iterator
from typing import Any

from studio.errors import DataError
from studio.reader.layout import Block, Layout, Limits

_WORDS = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_FALLBACK = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"
_UNSEEN = {f"{_WORDS}{name}" for name in ("pPr", "rPr", "del", "moveFrom", "instrText")}
_UNSEEN.add(_FALLBACK)
"""What Word does not show: properties, text that was deleted or moved away, field codes, and the
second copy of a drawing that old programs get."""
_PARAGRAPH, _TEXT, _ROW, _CELL = (f"{_WORDS}{name}" for name in ("p", "t", "tr", "tc"))
_MARKS = {
    f"{_WORDS}tab": "\t",
    f"{_WORDS}br": "\n",
    f"{_WORDS}cr": "\n",
    f"{_WORDS}noBreakHyphen": "-",
}
_MOST_MEMBERS = 10_000


def read(content: bytes, name: str, limits: Limits) -> Layout:
    """The text that Word shows, blocks numbered as paragraphs, each with the heading above it.

    A row of a table is one paragraph, its cells between tabs. Raises DataError when the file is no
    .docx, is damaged or unpacks to more than the limits allow.
    """
    _check_archive(content, name, limits)
    body, headings = _opened(content, name)
    parts: list[str] = []
    blocks: list[Block] = []
    at = 0
    under = ""
    for text, style in _paragraphs(body):
        text = text.replace("\x00", "").strip()
        if not text:
            continue
        heading = style in headings
        if heading:
            under = " ".join(text.split())
        blocks.append(Block(at, at + len(text), len(blocks) + 1, heading, under))
        parts.append(text)
        at += len(text) + 2
        limits.check_characters(at, name)
    return Layout("\n\n".join(parts), blocks)


def _check_archive(content: bytes, name: str, limits: Limits) -> None:
    """What is told of sizes can be relied on: no more than that is ever unpacked."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError, UnicodeError):
        raise DataError(
            f"{name} is no .docx file, or damaged; save it again and try that."
        ) from None
    xml = sum(each.file_size for each in members if each.filename.endswith((".xml", ".rels")))
    unpacked = sum(each.file_size for each in members)
    if unpacked > limits.unpacked or xml > limits.unpacked / 4 or len(members) > _MOST_MEMBERS:
        raise DataError(
            f"{name} unpacks to {unpacked / 1e6:,.0f} MB in {len(members):,} parts, which is more "
            "than is read at once; give a part of it."
        )
    if "word/document.xml" not in {each.filename for each in members}:
        raise DataError(f"{name} is an archive, but no Word document; check the file.")


def _opened(content: bytes, name: str) -> tuple[Any, set[str]]:
    """The body of the document, and the styles that are headings."""
    import docx
    from docx.opc.exceptions import OpcError
    from lxml import etree

    try:
        document = docx.Document(io.BytesIO(content))
        body = document.element.body
        headings = {
            style.style_id
            for style in document.styles
            if (style.name or "").startswith("Heading") or style.name == "Title"
        }
    except (
        *(OpcError, etree.LxmlError, zipfile.BadZipFile, zlib.error),
        *(LookupError, ValueError, TypeError, AttributeError, RuntimeError, OSError, EOFError),
    ) as error:
        reason = str(error).rstrip(".")[:200] or type(error).__name__
        raise DataError(
            f"{name} is a damaged Word file ({reason}); save it again and try that."
        ) from None
    # Office Open XML has no use for them, but attacks have.
    if body is None or body.getroottree().docinfo.internalDTD is not None:
        raise DataError(f"{name} is no Word file: its document has entities or no body.")
    return body, headings


def _paragraphs(element: Any) -> Iterator[tuple[str, str]]:
    """Text and style of each paragraph under an element, rows of tables as one."""
    for child in element:
        if child.tag == _PARAGRAPH:
            yield _text(child), _style(child)
        elif child.tag == _ROW:
            yield "\t".join(" ".join(_text(cell).split()) for cell in _cells(child)), ""
        elif child.tag not in _UNSEEN:
            # Tables, content controls, insertions and the like hold paragraphs, too.
            yield from _paragraphs(child)


def _cells(element: Any) -> Iterator[Any]:
    for child in element:
        if child.tag == _CELL:
            yield child
        elif child.tag not in _UNSEEN:
            yield from _cells(child)


def _text(element: Any) -> str:
    parts: list[str] = []
    _collect(element, parts)
    return "".join(parts)


def _collect(element: Any, parts: list[str]) -> None:
    for child in element:
        if child.tag == _TEXT:
            parts.append(child.text or "")
        elif child.tag in _MARKS:
            parts.append(_MARKS[child.tag])
        elif child.tag not in _UNSEEN:
            _collect(child, parts)
            if child.tag == _PARAGRAPH:
                # One of a text box or of a cell.
                parts.append("\n")


def _style(paragraph: Any) -> str:
    properties = paragraph.find(f"{_WORDS}pPr/{_WORDS}pStyle")
    return "" if properties is None else properties.get(f"{_WORDS}val", "")
