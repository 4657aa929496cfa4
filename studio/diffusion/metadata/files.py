"""Pictures with their settings inside: saved for every tool, read from any of six.

Where things stand in a file:

| format | text as AUTOMATIC1111 reads it | Atelier's own record |
| --- | --- | --- |
| PNG | chunk `parameters` (tEXt, or iTXt beyond Latin-1) | chunk `atelier` |
| JPEG | EXIF UserComment | segments APP9, as EXIF ends at 64 KB |
| WebP | EXIF UserComment | EXIF MakerNote |
"""

from pathlib import Path
from typing import BinaryIO

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from studio.diffusion.metadata import a1111, comfyui, exif, fooocus, invokeai, swarmui
from studio.diffusion.metadata.containers import DOCUMENT, Embedded, jpeg_segments, scan
from studio.diffusion.metadata.document import json_object, restore, with_text
from studio.diffusion.metadata.imported import Imported
from studio.errors import MetadataError
from studio.requests import ImageFormat

QUALITY = 95
"""Of JPEG and WebP. WebP is lossy, too: who wants every bit takes PNG."""

_PARAMETERS = "parameters"
_SEGMENT_LIMIT = 65_533
# Savers of ComfyUI that write both mean `parameters` to be the reading for other tools.
_ORDER = (_PARAMETERS, *invokeai.KEYWORDS, "prompt", DOCUMENT)


def save(
    image: Image.Image, target: BinaryIO, format: ImageFormat, text: str, document: str
) -> None:
    """Write a picture with its settings.

    text: as `infotext.write` gives it. document: as `Document.to_json` gives it.
    In a JPEG, a text of more than about 32,000 characters is left out, as EXIF cannot hold it;
    the document is always there. Raises OSError when the target cannot be written.
    """
    if format is ImageFormat.PNG:
        info = PngInfo()
        info.add_text(_PARAMETERS, text)
        info.add_text(DOCUMENT, document)
        image.save(target, format="PNG", pnginfo=info)
    elif format is ImageFormat.JPEG:
        block = exif.write(text)
        image.convert("RGB").save(
            target,
            format="JPEG",
            quality=QUALITY,
            subsampling="4:4:4",
            exif=block if len(block) <= _SEGMENT_LIMIT else b"",
            extra=jpeg_segments(document),
        )
    else:
        image.save(target, format="WEBP", quality=QUALITY, exif=exif.write(text, document))


def read(source: str | Path | BinaryIO, name: str = "") -> Imported:
    """Settings of a PNG, JPEG or WebP file; pixels are never decoded.

    name: what to call the file in an error, by default its own name.
    Raises MetadataError: no image, cut off or damaged, absurdly large, or without settings.
    """
    if not isinstance(source, (str, Path)):
        own = getattr(source, "name", "")
        source.seek(0)
        return _read(source, name or (Path(own).name if isinstance(own, str) else "") or "The file")
    name = name or Path(source).name
    try:
        with Path(source).open("rb") as stream:
            return _read(stream, name)
    except OSError as error:
        reason = error.strerror or str(error)
        raise MetadataError(f"{name} could not be opened: {reason}.") from None


def read_text(text: str) -> Imported:
    """Settings of a text or JSON on its own, as people copy them from a web page.

    Raises MetadataError: nothing in it can be understood.
    """
    imported = _from_text(text)
    if not imported.fields:
        raise MetadataError(
            "The text holds no settings that can be read;"
            " paste all of it, to the line that begins with Steps."
        )
    return imported


def _read(stream: BinaryIO, name: str) -> Imported:
    found = scan(stream, name)
    texts = _with_exif(found)
    imported = _interpret(texts)
    if imported is None:
        raise MetadataError(
            f"{name} carries no settings; choose a picture as Atelier, AUTOMATIC1111, ComfyUI,"
            " InvokeAI, SwarmUI or Fooocus saved it."
        )
    if not imported.fields:
        raise MetadataError(
            f"{name} carries text in the place of settings, but nothing in it can be understood."
        )
    return imported


def _with_exif(found: Embedded) -> dict[str, str]:
    """Texts by the keyword that a PNG has for them, those of the EXIF block among them."""
    texts = dict(found.texts)
    tags = exif.read(found.exif)
    # ComfyUI's savers put the graph into a tag of the camera, after the word "prompt".
    for tag in (exif.MODEL, exif.MAKE, exif.DESCRIPTION):
        word, _, rest = tags.get(tag, b"").decode("utf-8", "replace").partition(":")
        if word.casefold() == "prompt":
            texts.setdefault("prompt", rest.rstrip("\x00"))
    if remark := exif.comment(tags.get(exif.USER_COMMENT, b"")):
        texts.setdefault(_PARAMETERS, remark)
    return texts


def _interpret(texts: dict[str, str]) -> Imported | None:
    """The first reading that gives fields, else the first at all, else None."""
    plain = texts.get(_PARAMETERS, "")
    if DOCUMENT in texts and (own := restore(texts[DOCUMENT])):
        return with_text(own, plain) if plain else own
    readings = (_from_text(texts[key]) for key in _ORDER if key in texts)
    first: Imported | None = None
    for reading in readings:
        if reading.fields:
            return reading
        first = first or reading
    return first


def _from_text(text: str) -> Imported:
    """Settings of a text of any form, told apart by what is in it."""
    data = json_object(text)
    if data is None:
        return a1111.load(text)
    if own := restore(text):
        return own
    if swarmui.KEY in data:
        return swarmui.load(data, text)
    if invokeai.matches(data):
        return invokeai.load(data, text)
    if comfyui.matches(data):
        return comfyui.load(data, text)
    if fooocus.matches(data):
        return fooocus.load(data, text)
    return a1111.load(text)
