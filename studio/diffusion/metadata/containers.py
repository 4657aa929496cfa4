"""Where PNG, JPEG and WebP files keep text, found without decoding a pixel.

Only the pieces that can hold settings are read, each up to a limit; the rest is skipped over.
"""

import io
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

from studio.diffusion.metadata import exif
from studio.errors import MetadataError

TEXT_LIMIT = 4 * 2**20
"""Bytes of one text; a ComfyUI graph with pictures inside takes about one million."""

PIXEL_LIMIT = 178_956_970
"""Pixels above which Pillow, too, takes a file for a decompression bomb."""

DOCUMENT = "atelier"
KEYWORDS = {DOCUMENT, "parameters", "prompt", "invokeai_metadata", "sd-metadata"}
JPEG_PART = 60_000

_PNG = b"\x89PNG\r\n\x1a\n"
_PIECES = 100_000
# Every marker from C0 to CF gives the picture's size but these three.
_SIZE_MARKERS = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_SCAN = 0xDA
_APP1 = 0xE1
_OWN = 0xE9


@dataclass
class Embedded:
    """Texts by keyword, and the EXIF block."""

    texts: dict[str, str] = field(default_factory=dict)
    exif: bytes = b""


def scan(stream: BinaryIO, name: str) -> Embedded:
    """Texts and EXIF of an image.

    name: what to call the file in an error.
    Raises MetadataError: not an image, cut off, damaged, or too large to be honest.
    """
    start = stream.read(12)
    if start.startswith(_PNG):
        return _png(_Pieces(stream, name, len(_PNG)))
    if start.startswith(b"\xff\xd8"):
        return _jpeg(_Pieces(stream, name, 2))
    if start[:4] == b"RIFF" and start[8:] == b"WEBP":
        return _webp(_Pieces(stream, name, len(start)), struct.unpack("<I", start[4:8])[0] + 8)
    raise MetadataError(
        f"{name} is not an image that settings can be read from;"
        " choose a PNG, JPEG or WebP file that is whole."
    )


def jpeg_segments(document: str) -> bytes:
    """A document as JPEG application segments; one alone could not hold a long prompt."""
    data = document.encode("utf-8", "replace")
    parts = [data[at : at + JPEG_PART] for at in range(0, len(data), JPEG_PART)]
    return b"".join(
        struct.pack(">BBH", 0xFF, _OWN, 2 + len(exif.SIGNATURE) + len(part)) + exif.SIGNATURE + part
        for part in parts
    )


class _Pieces:
    """Bounded steps through a file's pieces."""

    def __init__(self, stream: BinaryIO, name: str, at: int):
        self.size = stream.seek(0, io.SEEK_END)
        self._stream, self._name, self._at = stream, name, at

    def take(self, count: int) -> bytes:
        """The next bytes."""
        if self._at + count > self.size:
            raise MetadataError(f"{self._name} is cut off; copy or download it again.")
        self._stream.seek(self._at)
        self._at += count
        return self._stream.read(count)

    def skip_to(self, at: int) -> None:
        """Move on; a place beyond the end means that the file is cut off."""
        self._at = at
        self.take(0)

    def text(self, count: int) -> bytes:
        """The next bytes, if they can be a text."""
        if count > TEXT_LIMIT:
            raise self.too_large()
        return self.take(count)

    def steps(self) -> Iterator[int]:
        """Places where pieces start, as long as their number is believable."""
        for _ in range(_PIECES):
            yield self._at
        raise self.damaged()

    def check_size(self, width: int, height: int) -> None:
        """Refuse a picture of no or of absurdly many pixels."""
        if not width or not height:
            raise self.damaged()
        if width * height > PIXEL_LIMIT:
            raise MetadataError(
                f"{self._name} says it is {width:,} x {height:,} pixels;"
                f" pictures up to {PIXEL_LIMIT // 10**6} megapixels are read."
            )

    def damaged(self) -> MetadataError:
        """The error for a file that breaks its format."""
        return MetadataError(f"{self._name} is damaged; copy or download it again.")

    def too_large(self) -> MetadataError:
        """The error for a text beyond the limit."""
        limit = TEXT_LIMIT // 2**20
        return MetadataError(
            f"{self._name} holds a text of more than {limit} MB where settings stand;"
            " choose a picture with its original settings."
        )


def _png(pieces: _Pieces) -> Embedded:
    found = Embedded()
    for number, at in enumerate(pieces.steps()):
        length, kind = struct.unpack(">I4s", pieces.take(8))
        if (kind == b"IHDR") != (number == 0) or not kind.isalpha():
            raise pieces.damaged()
        if kind == b"IHDR":
            pieces.check_size(*struct.unpack(">II", pieces.take(8)))
        elif kind == b"eXIf":
            found.exif = pieces.text(length)
        elif kind in (b"tEXt", b"zTXt", b"iTXt"):
            _png_text(pieces, kind, length, found.texts)
        pieces.skip_to(at + 8 + length)
        pieces.take(4)
        if kind == b"IEND":
            break
    return found


def _png_text(pieces: _Pieces, kind: bytes, length: int, texts: dict[str, str]) -> None:
    """Read a text chunk whose keyword matters; the first of a keyword counts."""
    head = pieces.take(min(length, 80))
    keyword, separator, _ = head.partition(b"\x00")
    key = keyword.decode("latin-1")
    if not separator or key not in KEYWORDS or key in texts:
        return
    value = head[len(keyword) + 1 :] + pieces.text(length - len(head))
    if zlib.crc32(kind + keyword + b"\x00" + value) != struct.unpack(">I", pieces.take(4))[0]:
        raise pieces.damaged()
    if kind == b"tEXt":
        texts[key] = value.decode("latin-1")
    elif kind == b"zTXt":
        texts[key] = _inflated(pieces, value[1:]).decode("latin-1")
    else:
        flag, value = value[:1], value[2:]
        value = value.split(b"\x00", 2)[-1]
        plain = _inflated(pieces, value) if flag == b"\x01" else value
        texts[key] = plain.decode("utf-8", "replace")


def _inflated(pieces: _Pieces, data: bytes) -> bytes:
    """Compressed text, never more of it than the limit."""
    inflater = zlib.decompressobj()
    try:
        plain = inflater.decompress(data, TEXT_LIMIT)
    except zlib.error:
        raise pieces.damaged() from None
    if inflater.unconsumed_tail:
        raise pieces.too_large()
    return plain


def _jpeg(pieces: _Pieces) -> Embedded:
    found = Embedded()
    own: list[bytes] = []
    for at in pieces.steps():
        mark, code = pieces.take(2)
        if mark != 0xFF:
            raise pieces.damaged()
        if code == 0xFF:
            pieces.skip_to(at + 1)
            continue
        (length,) = struct.unpack(">H", pieces.take(2))
        if length < 2:
            raise pieces.damaged()
        body = pieces.take(length - 2)
        if code in _SIZE_MARKERS and len(body) >= 5:
            height, width = struct.unpack(">HH", body[1:5])
            pieces.check_size(width, height)
        elif code == _APP1 and body.startswith(b"Exif\x00\x00") and not found.exif:
            found.exif = body
        elif code == _OWN and body.startswith(exif.SIGNATURE):
            own.append(body.removeprefix(exif.SIGNATURE))
            if len(own) * JPEG_PART > TEXT_LIMIT:
                raise pieces.too_large()
        elif code == _SCAN:
            break
    if own:
        found.texts[DOCUMENT] = b"".join(own).decode("utf-8", "replace")
    return found


def _webp(pieces: _Pieces, size: int) -> Embedded:
    if size > pieces.size:
        pieces.skip_to(size)
    found = Embedded()
    for at in pieces.steps():
        if at + 8 > size:
            break
        kind, length = struct.unpack("<4sI", pieces.take(8))
        if kind == b"VP8X" and length >= 10:
            body = pieces.take(10)
            pieces.check_size(*(1 + int.from_bytes(body[i : i + 3], "little") for i in (4, 7)))
        elif kind == b"VP8 " and length >= 10:
            body = pieces.take(10)
            pieces.check_size(*(side & 0x3FFF for side in struct.unpack("<HH", body[6:10])))
        elif kind == b"VP8L" and length >= 5:
            bits = int.from_bytes(pieces.take(5)[1:], "little")
            pieces.check_size(1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF))
        elif kind == b"EXIF":
            found.exif = pieces.text(length)
        pieces.skip_to(at + 8 + length)
        if length % 2 and at + 8 + length < size:
            pieces.take(1)
    note = exif.read(found.exif).get(exif.MAKER_NOTE, b"")
    if note.startswith(exif.SIGNATURE):
        found.texts[DOCUMENT] = note.removeprefix(exif.SIGNATURE).decode("utf-8", "replace")
    return found
