"""Uploaded files to plain pictures: whatever a person drops becomes 8-bit RGB, or one sentence.

Only the formats named here are ever decoded, and none before its header has told a size within
bounds. Pixels are converted once, at the door, so that everything behind it sees the same picture.
"""

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageCms, ImageOps

from studio.errors import InputError, first_words

MAX_PIXELS = 100_000_000
_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "AVIF")
_DEEP = {"I;16", "I;16B", "I;16L", "I", "F"}


@dataclass(frozen=True)
class Taken:
    """A picture as it came in; notes: sentences on what was changed at the door."""

    image: Image.Image
    notes: tuple[str, ...] = ()


def take_picture(data: bytes, name: str = "The file") -> Taken:
    """An upload as RGB, upright. Raises InputError in one sentence."""
    with in_words(name), opened(data, name) as image:
        notes = _animated(image, name)
        upright = ImageOps.exif_transpose(loaded(image))
        plain = eight_bits(_in_srgb(upright))
        if plain.has_transparency_data:
            plain = plain.convert("RGBA")
            if np.asarray(plain.getchannel("A")).min() < 255:
                notes += ("Its transparent parts were put on white.",)
            white = Image.new("RGBA", plain.size, "white")
            plain = Image.alpha_composite(white, plain)
        return Taken(plain.convert("RGB"), notes)


def take_mask(data: bytes, name: str = "The mask") -> Taken:
    """An upload as a mask, mode L, 255 where it is painted; upright.

    Where a file has transparent parts and one colour, what is painted is what is not transparent;
    else it is what is bright.
    """
    with in_words(name), opened(data, name) as image:
        notes = _animated(image, name)
        plain = eight_bits(ImageOps.exif_transpose(loaded(image)))
        if plain.has_transparency_data:
            pixels = np.asarray(plain.convert("RGBA"))
            alpha, light = pixels[..., 3], pixels[..., :3].max(axis=-1)
            seen = light[alpha > 0]
            if alpha.min() < 255 and (not seen.size or seen.min() == seen.max()):
                return Taken(Image.fromarray(alpha), notes)
            return Taken(Image.fromarray((light * (alpha / 255)).round().astype("u1")), notes)
        return Taken(plain.convert("L"), notes)


@contextmanager
def in_words(name: str) -> Iterator[None]:
    """Whatever a decoder raises, as an InputError."""
    try:
        yield
    except InputError:
        raise
    except MemoryError:
        raise InputError(f"{name} does not fit into memory; make it smaller.") from None
    except Exception as error:  # decoders of foreign files raise anything
        first = first_words(error)
        raise InputError(
            f"{name} is cut off or damaged ({first}); save it anew and try again."
        ) from error


def opened(data: bytes, name: str) -> Image.Image:
    """The file, identified but not decoded; its size is within bounds. InputError when not."""
    if not data:
        raise InputError(f"{name} is empty; choose a picture.")
    start = data[:1000].lstrip().lower()
    if b"<svg" in start:
        raise InputError(f"{name} is an SVG drawing, not pixels; export it as PNG first.")
    Image.init()  # or a format that was never met yet would not be known
    formats = [name for name in _FORMATS if name in Image.OPEN]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(data), formats=formats)
    except Image.DecompressionBombError:
        raise InputError(f"{name} {_too_large()}") from None
    except Image.UnidentifiedImageError:
        raise InputError(
            f"{name} is no picture that can be read; use PNG, JPEG, WebP, AVIF, TIFF, BMP or GIF."
        ) from None
    if image.width * image.height > MAX_PIXELS:
        raise InputError(f"{name} is {image.width}x{image.height} and {_too_large()}")
    return image


def _too_large() -> str:
    return f"has more than {MAX_PIXELS // 10**6} million pixels; make it smaller first."


def loaded(image: Image.Image) -> Image.Image:
    """The same picture, decoded to its last row; raises whatever its decoder raises."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a damaged EXIF block or an odd palette is no matter
        image.load()
    return image


def _animated(image: Image.Image, name: str) -> tuple[str, ...]:
    if image.format == "MPO" or getattr(image, "n_frames", 1) < 2:
        return ()
    return (f"{name} is animated; its first picture is used.",)


def eight_bits(image: Image.Image) -> Image.Image:
    """Deep grey pictures scaled to 8 bits, not cut off at 255."""
    if image.mode not in _DEEP:
        return image
    values = np.asarray(image).astype(np.float64)
    if image.mode == "F":
        values = np.nan_to_num(values) * (255 if np.nanmax(values) <= 1 else 1)
    else:
        values = values / 257
    return Image.fromarray(values.round().clip(0, 255).astype("u1"))


def _in_srgb(image: Image.Image) -> Image.Image:
    """Colours as a browser shows them; a profile that cannot be used is passed over."""
    profile = image.info.get("icc_profile")
    if image.mode not in ("RGB", "CMYK", "L") or not profile:
        return image
    with suppress(ImageCms.PyCMSError, OSError, ValueError):
        own = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if "srgb" in ImageCms.getProfileDescription(own).lower():
            return image  # a conversion to itself would still move single values
        converted = ImageCms.profileToProfile(
            image, own, ImageCms.createProfile("sRGB"), outputMode="RGB"
        )
        if converted is not None:
            return converted
    return image
