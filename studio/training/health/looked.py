"""What one look at a picture file tells, from which all checks are made."""

import base64
import hashlib
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from studio.errors import InputError
from studio.store.intake import eight_bits, in_words, loaded, opened
from studio.training.health.likeness import Likeness, likeness
from studio.training.health.sharpness import LEVELS, Radii, radii
from studio.training.health.wording import shown

LARGEST_FILE = 200_000_000
"""Bytes. What is larger is no picture that anybody trains on, and would fill the memory."""
_GREY_MEAN, _GREY_TAIL, _TAIL = 2.0, 10.0, 99.5
"""Levels by which a grey picture's channels may differ: on average, and all but half a percent of
the pixels. A scan or a saved JPEG of a grey picture has up to that."""
_SAMPLES = (256, 256)


@dataclass(frozen=True)
class Looked:
    """A file and its picture. Where fault is not "", nothing behind it is known.

    fault: why it cannot be read, in one sentence. size: as it is seen. mode: Pillow's, of the
    file. turned: EXIF's orientation, 1 to 8. transparent: share of its pixels that are not opaque.
    grey: whether it has no colours. radii: of what its edges are smeared by.
    """

    sha256: str = ""
    fault: str = ""
    size: tuple[int, int] = (0, 0)
    format: str = ""
    mode: str = ""
    turned: int = 1
    transparent: float = 0.0
    grey: bool = False
    radii: Radii = ()
    likeness: Likeness | None = None

    def to_json(self) -> dict[str, Any]:
        """All of it as JSON can hold it."""
        alike = self.likeness
        return {
            **{name: getattr(self, name) for name in _PLAIN},
            "likeness": None
            if alike is None
            else [base64.b64encode(getattr(alike, name)).decode() for name in _ALIKE],
        }


_PLAIN = ("sha256", "fault", "size", "format", "mode", "turned", "transparent", "grey", "radii")
_ALIKE = ("straight", "mirrored", "miniature")


def from_json(told: dict[str, Any]) -> Looked:
    """What to_json has made; LookupError, ValueError or TypeError when it is anything else."""
    plain = {name: told[name] for name in _PLAIN}
    width, height = plain["size"]
    plain["size"] = (int(width), int(height))
    plain["radii"] = tuple((int(size), found) for size, found in plain["radii"])
    alike = told["likeness"]
    parts = None if alike is None else [base64.b64decode(part, validate=True) for part in alike]
    return Looked(**plain, likeness=None if parts is None else Likeness(*parts))


def read(path: Path) -> bytes:
    """A file's bytes; InputError when it cannot be had or is too large."""
    name = shown(path.name)
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise InputError(f"{name} has more than {LARGEST_FILE // 10**6} MB; make it smaller.")
        return path.read_bytes()
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"{name} cannot be opened ({reason}); check the file.") from None


def look(data: bytes, name: str) -> Looked:
    """Look at a file's content; one that cannot be decoded to its end has a fault."""
    sha256 = hashlib.sha256(data).hexdigest()
    try:
        with in_words(name), opened(data, name) as image:
            return _looked(image, sha256)
    except InputError as error:
        return Looked(sha256, fault=str(error))


def _looked(image: Image.Image, sha256: str) -> Looked:
    format, mode, turned = image.format or "", image.mode, image.getexif().get(0x0112, 1)
    turned = turned if turned in range(1, 9) else 1
    width, height = image.size[::-1] if turned > 4 else image.size
    small, transparent = _small(image)
    upright = ImageOps.exif_transpose(small) if turned > 1 else small
    grey = upright.convert("L")
    return Looked(
        sha256,
        size=(width, height),
        format=format,
        mode=mode,
        turned=turned,
        transparent=transparent,
        grey=_is_grey(upright),
        radii=radii(np.asarray(grey)),
        likeness=likeness(upright, grey),
    )


def _small(image: Image.Image) -> tuple[Image.Image, float]:
    """A picture in RGB, on white, not much larger than is looked at; the share not opaque."""
    share = LEVELS[-1] / math.sqrt(image.width * image.height)
    size = (max(1, round(image.width * share)), max(1, round(image.height * share)))
    if share < 1:
        image.draft(None, size)  # a JPEG is decoded to its end, but to fewer pixels
    exif = image.getexif()
    plain = eight_bits(loaded(image))
    transparent = 0.0
    if plain.has_transparency_data:
        plain = plain.convert("RGBA")
        transparent = float((np.asarray(plain.getchannel("A")) < 255).mean())
        if transparent:
            plain = Image.alpha_composite(Image.new("RGBA", plain.size, "white"), plain)
    plain = plain if plain.mode == "RGB" else plain.convert("RGB")
    if share < 1 and plain.width > size[0]:
        plain = plain.resize(size, Image.Resampling.BOX, reducing_gap=1.0)
    plain.info.pop("exif", None)
    plain.getexif().update(exif)
    return plain, transparent


def _is_grey(image: Image.Image) -> bool:
    few = np.asarray(image.resize(_SAMPLES, Image.Resampling.NEAREST)).astype(np.int16)
    colour = few.max(axis=-1) - few.min(axis=-1)
    return bool(colour.mean() <= _GREY_MEAN and np.percentile(colour, _TAIL) <= _GREY_TAIL)
