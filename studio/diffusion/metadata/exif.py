"""The two EXIF fields that carry settings in JPEG and WebP files.

Not left to Pillow: it writes a user comment as BYTE, where piexif and with it AUTOMATIC1111 read
only UNDEFINED, and it warns about damaged blocks, where this reader just finds nothing.
"""

import struct

from PIL import ExifTags

USER_COMMENT = int(ExifTags.Base.UserComment)
MAKER_NOTE = int(ExifTags.Base.MakerNote)
MAKE = int(ExifTags.Base.Make)
MODEL = int(ExifTags.Base.Model)
DESCRIPTION = int(ExifTags.Base.ImageDescription)
SIGNATURE = b"Atelier\x00"

_UNICODE = b"UNICODE\x00"
_CODES = (_UNICODE, b"ASCII\x00\x00\x00", b"JIS\x00\x00\x00\x00\x00", bytes(8))
_WANTED = {USER_COMMENT, MAKER_NOTE, MAKE, MODEL, DESCRIPTION}
_SUB_BLOCK = int(ExifTags.IFD.Exif)
_LONG = 4
_UNDEFINED = 7
_BYTE_TYPES = {1, 2, _UNDEFINED}
_SUB_START = 26
_ENTRIES = 1000


def write(comment: str, document: str = "") -> bytes:
    """An EXIF block with the comment in the form that piexif and its readers expect.

    That is big-endian UTF-16 after the word UNICODE, whatever the block's own byte order.
    document: goes into the maker's note, the place EXIF leaves to whoever made the picture.
    Source: TIFF 6.0 section 2, Exif 2.3 section 4.6.
    """
    values = {USER_COMMENT: _UNICODE + comment.encode("utf-16-be", "replace")}
    if document:
        values[MAKER_NOTE] = SIGNATURE + document.encode("utf-8", "replace")
    # piexif does not know a bare big-endian block, which is how WebP would hold it.
    head = struct.pack("<2sHI", b"II", 42, 8)
    first = struct.pack("<HHHIII", 1, _SUB_BLOCK, _LONG, 1, _SUB_START, 0)
    entries = struct.pack("<H", len(values))
    at = _SUB_START + 2 + 12 * len(values) + 4
    for tag, value in sorted(values.items()):
        entries += struct.pack("<HHII", tag, _UNDEFINED, len(value), at)
        at += len(value)
    data = b"".join(value for _, value in sorted(values.items()))
    return b"Exif\x00\x00" + head + first + entries + bytes(4) + data


def read(data: bytes) -> dict[int, bytes]:
    """Raw values of the tags that may carry settings; empty when the block is damaged."""
    while data.startswith(b"Exif\x00\x00"):
        data = data[6:]
    order = {b"II": "<", b"MM": ">"}.get(data[:2])
    if order is None:
        return {}
    try:
        (first,) = struct.unpack_from(f"{order}I", data, 4)
        tags, sub = _block(data, order, first)
        if sub:
            tags |= _block(data, order, sub)[0]
    except struct.error:
        return {}
    return tags


def comment(data: bytes) -> str:
    """The text of a user comment, by its eight-byte code or, without one, as UTF-8."""
    code, text = data[:8], data[8:]
    if code == _UNICODE:
        return _utf16(text)
    return (text if code in _CODES else data).decode("utf-8", "replace").strip("\x00 ")


def _block(data: bytes, order: str, offset: int) -> tuple[dict[int, bytes], int]:
    """Wanted values of one block, and where its sub-block starts (0 for none)."""
    tags: dict[int, bytes] = {}
    sub = 0
    (count,) = struct.unpack_from(f"{order}H", data, offset)
    for index in range(min(count, _ENTRIES)):
        at = offset + 2 + 12 * index
        tag, kind, size, value = struct.unpack_from(f"{order}HHII", data, at)
        if tag == _SUB_BLOCK:
            sub = value
        elif tag in _WANTED and kind in _BYTE_TYPES:
            start = value if size > 4 else at + 8
            tags[tag] = data[start : start + size]
    return tags, sub


def _utf16(data: bytes) -> str:
    """Text in the byte order of its mark or, as most writers leave that out, the likelier one."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16", "replace").strip("\x00")
    little = data[1::2].count(0) > data[0::2].count(0)
    return data.decode("utf-16-le" if little else "utf-16-be", "replace").strip("\x00")
