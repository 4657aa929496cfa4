"""Small pictures of large ones, for the page."""

import hashlib
import io
import secrets
from contextlib import suppress
from pathlib import Path

from PIL import Image, ImageOps

from studio.store.intake import eight_bits, in_words, loaded, opened
from studio.training.health.looked import read
from studio.training.health.wording import shown

_QUALITY = 80
LARGEST = 2048
"""Pixels of the longer side."""


def thumbnail(path: Path, side: int, cache: Path) -> bytes:
    """A picture as WebP, upright, with its longer side of at most `side` pixels.

    cache: folder of those made, by the files' content. InputError when it cannot be read.
    """
    side = max(1, min(side, LARGEST))
    data = read(path)
    digest = hashlib.sha256(data).hexdigest()
    place = cache / digest[:2] / f"{digest}-{side}.webp"
    with suppress(OSError):
        if kept := place.read_bytes():
            return kept
    with in_words(shown(path.name)), opened(data, shown(path.name)) as image:
        made = _small(image, side)
    aside = place.with_name(f"{place.name}.{secrets.token_hex(4)}")
    with suppress(OSError):  # it is made again, that is all
        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            aside.write_bytes(made)
            aside.replace(place)
        finally:
            aside.unlink(missing_ok=True)
    return made


def _small(image: Image.Image, side: int) -> bytes:
    image.draft(None, (side, side))
    profile = image.info.get("icc_profile") if image.mode in ("RGB", "RGBA") else None
    plain = eight_bits(ImageOps.exif_transpose(loaded(image)))
    mode = "RGBA" if plain.has_transparency_data else "RGB"
    plain = plain.convert(mode)
    plain.thumbnail((side, side), Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    plain.save(stream, "WEBP", quality=_QUALITY, method=2, icc_profile=profile or b"", exif=b"")
    return stream.getvalue()
