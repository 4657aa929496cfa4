"""A picture as the model sees it: upright, on white, cut and scaled to its bucket."""

from PIL import Image, ImageDraw, ImageEnhance, ImageOps

from studio.errors import DataError, InputError
from studio.store.intake import take_picture
from studio.training.pictures.example import Example, Placed

_DIMMED = 0.35
_LINE = "#ff2d6f"


def cut(placed: Placed, flip: bool = False) -> Image.Image:
    """The part of a picture that its bucket takes, as RGB of the bucket's size; flip: mirrored.

    Raises InputError when the file cannot be decoded, DataError when it is another one by now.
    """
    image = upright(placed.example)
    # Lanczos over the exact box, so that half pixels of a cut count by half.
    scaled = image.resize(placed.bucket, Image.Resampling.LANCZOS, box=placed.crop)
    return ImageOps.mirror(scaled) if flip else scaled


def preview(placed: Placed, longest: int = 512) -> Image.Image:
    """The whole picture for the page, RGB: what is cut off is dark, the cut has a frame.

    longest: its longer side in pixels.
    """
    image = upright(placed.example)
    share = longest / max(image.size)
    small = image.resize(_scaled(image.size, share), Image.Resampling.BICUBIC, reducing_gap=2.0)
    left, top, right, bottom = (round(edge * share) for edge in placed.crop)
    box = (left, top, max(right, left + 1), max(bottom, top + 1))
    shown = ImageEnhance.Brightness(small).enhance(_DIMMED)
    shown.paste(small.crop(box), box)
    width = max(1, longest // 200)
    ImageDraw.Draw(shown).rectangle((left, top, box[2] - 1, box[3] - 1), outline=_LINE, width=width)
    return shown


def thumbnail(example: Example, longest: int = 256) -> Image.Image:
    """A picture for lists, RGB; longest: its longer side in pixels, never enlarged."""
    image = upright(example)
    share = min(1.0, longest / max(image.size))
    return image.resize(_scaled(image.size, share), Image.Resampling.BICUBIC, reducing_gap=2.0)


def upright(example: Example) -> Image.Image:
    """The whole picture as RGB, turned as its EXIF data say, transparency on white.

    Raises InputError when the file cannot be decoded, DataError when it is another one by now.
    """
    try:
        content = example.path.read_bytes()
    except OSError as error:
        reason = (error.strerror or "it is gone").lower()
        raise InputError(
            f"{example.name!r} cannot be read ({reason}); put it back or remove it from the set."
        ) from error
    image = take_picture(content, repr(example.name)).image
    if image.size != example.size:
        raise DataError(
            f"{example.name!r} was {example.size[0]}x{example.size[1]} and is now "
            f"{image.width}x{image.height}; begin again with the picture as it is now."
        )
    return image


def _scaled(size: tuple[int, int], share: float) -> tuple[int, int]:
    return max(1, round(size[0] * share)), max(1, round(size[1] * share))
