"""Writes PDFs for tests: pages of lines in a font that every reader has."""

import zlib
from collections.abc import Sequence


def pdf(pages: Sequence[Sequence[str]], compress: bool = True) -> bytes:
    """A PDF with these lines on its pages, 14 points apart; no lines, no text."""
    return from_contents([content(lines) for lines in pages], compress)


def content(lines: Sequence[str]) -> bytes:
    """What draws lines of text."""
    drawn = [b"BT /F1 11 Tf 14 TL 50 800 Td"]
    for line in lines:
        safe = line.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)")
        drawn.append(b"(" + safe.encode("cp1252") + b") Tj T*")
    return b"\n".join([*drawn, b"ET"]) if lines else b""


def from_contents(contents: Sequence[bytes], compress: bool = True) -> bytes:
    """A PDF whose pages are drawn by these operators."""
    font = b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>"
    kids = b" ".join(b"%d 0 R" % (4 + 2 * i) for i in range(len(contents)))
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [%s] /Count %d >>" % (kids, len(contents)),
        font,
    ]
    for i, each in enumerate(contents):
        objects.append(
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents %d 0 R "
            b"/Resources << /Font << /F1 3 0 R >> >> >>" % (5 + 2 * i)
        )
        data, filtered = (
            (zlib.compress(each), b"/Filter /FlateDecode ") if compress else (each, b"")
        )
        objects.append(b"<< %s/Length %d >>\nstream\n%s\nendstream" % (filtered, len(data), data))
    return assembled(objects)


def assembled(objects: Sequence[bytes]) -> bytes:
    """A file of these objects, numbered from 1; the first is the catalogue."""
    written = b"%PDF-1.7\n"
    offsets = []
    for number, each in enumerate(objects, 1):
        offsets.append(len(written))
        written += b"%d 0 obj\n%s\nendobj\n" % (number, each)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    size = len(objects) + 1
    return written + (
        b"xref\n0 %d\n0000000000 65535 f \n%strailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n"
        b"%%%%EOF\n" % (size, table, size, len(written))
    )
