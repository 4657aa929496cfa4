"""Pictures as they travel: base64 in, base64 out."""

import base64
import binascii
import io
import re

from PIL import Image

from studio.errors import InputError

_URI = re.compile(r"data:[\w.+/-]*(?:;[\w=.-]+)*;base64,", re.ASCII)
_LONGEST_URI = 200


def decoded(text: str, name: str, limit: int) -> bytes:
    """The file that a text holds; InputError in one sentence when it holds none.

    name: what to call it in a message. limit: bytes, 0 for any number.
    """
    text = text.strip()
    if text[:8].lower().startswith(("http://", "https:/", "file://")):
        raise InputError(
            f"{name} is an address; this server fetches none, so send the picture itself as base64."
        )
    uri = _URI.match(text[:_LONGEST_URI])
    packed = text[uri.end() :] if uri else text
    if not packed:
        raise InputError(f"{name} is empty; send a picture as base64.")
    if limit and len(packed) * 3 // 4 > limit:
        raise InputError(f"{name} has more than {limit / 10**6:g} MB; make it smaller.")
    try:
        return base64.b64decode(packed + "=" * (-len(packed) % 4))
    except (binascii.Error, ValueError):
        raise InputError(f"{name} is no base64; send a picture file as base64.") from None


def encoded(data: bytes) -> str:
    """A file as a text."""
    return base64.b64encode(data).decode("ascii")


def as_png(data: bytes) -> bytes:
    """A picture of ours in the format that programs expect of previews."""
    stream = io.BytesIO()
    with Image.open(io.BytesIO(data)) as image:
        image.convert("RGB").save(stream, "PNG", compress_level=1)
    return stream.getvalue()


def cut_to(data: bytes, width: int, height: int) -> bytes:
    """The middle of a picture of ours, in its own format, as it is where it is no larger."""
    with Image.open(io.BytesIO(data)) as image:
        if image.size == (width, height):
            return data
        left, top = (image.width - width) // 2, (image.height - height) // 2
        stream = io.BytesIO()
        cut = image.crop((left, top, left + width, top + height))
        cut.save(stream, image.format or "PNG", quality=95)
    return stream.getvalue()
