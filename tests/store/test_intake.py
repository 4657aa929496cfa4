"""What a person may drop: each sort of file becomes plain pixels or is refused in one sentence."""

import io
import struct
import zlib
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, ImageCms

from studio.errors import InputError, NotFound
from studio.store.inputs import InputStore, hash_of
from studio.store.intake import take_mask, take_picture


def encoded(image: Image.Image, format: str = "PNG", **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format, **options)
    return stream.getvalue()


def gradient(mode: str = "RGB", width: int = 40, height: int = 24) -> Image.Image:
    """A picture whose every pixel tells where it is."""
    x, y = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    pixels = np.stack([x, y, 255 - x], axis=-1).round().astype("u1")
    return Image.fromarray(pixels).convert(mode)


def refusal(take: Callable[..., object], data: bytes) -> str:
    with pytest.raises(InputError) as caught:
        take(data, "cat.png")
    message = str(caught.value)
    assert message.startswith("cat.png")
    assert message.endswith(".")
    assert "\n" not in message
    return message


def png_of_size(width: int, height: int) -> bytes:
    """A PNG file whose header claims a size; there is next to nothing behind it."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        crc = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + crc

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


@pytest.mark.parametrize("format", ["PNG", "BMP", "TIFF", "WEBP"])
def test_pixels_arrive_as_they_are(format):
    options = {"lossless": True} if format == "WEBP" else {}
    taken = take_picture(encoded(gradient(), format, **options))
    assert taken.image.mode == "RGB"
    assert taken.notes == ()
    assert np.array_equal(np.asarray(taken.image), np.asarray(gradient()))


def test_transparent_parts_are_put_on_white_and_the_person_is_told():
    image = gradient("RGBA")
    image.putalpha(Image.new("L", image.size, 255))
    assert take_picture(encoded(image)).notes == ()
    image.putpixel((0, 0), (10, 20, 30, 0))
    taken = take_picture(encoded(image))
    assert taken.image.getpixel((0, 0)) == (255, 255, 255)
    assert taken.image.getpixel((5, 5)) == gradient().getpixel((5, 5))
    assert len(taken.notes) == 1


def test_a_palette_becomes_its_colours_and_its_transparent_entry_white():
    image = gradient().quantize(16)
    taken = take_picture(encoded(image)).image
    assert np.array_equal(np.asarray(taken), np.asarray(image.convert("RGB")))
    through = take_picture(encoded(image, transparency=image.getpixel((3, 3)))).image
    assert through.getpixel((3, 3)) == (255, 255, 255)


@pytest.mark.parametrize(("format", "mode"), [("PNG", "I;16"), ("TIFF", "I;16"), ("TIFF", "F")])
def test_deep_greys_are_scaled_not_cut_off(format, mode):
    grey = np.asarray(gradient("L")).astype("f4")
    deep = (grey * 257).astype("u2") if mode == "I;16" else grey / 255
    taken = take_picture(encoded(Image.fromarray(deep), format)).image
    assert np.array_equal(np.asarray(taken)[..., 0], grey.astype("u1"))


def test_cmyk_becomes_rgb():
    taken = take_picture(encoded(gradient("CMYK"), "TIFF")).image
    assert taken.mode == "RGB"
    expected = np.asarray(gradient()).astype(int)
    assert np.abs(np.asarray(taken).astype(int) - expected).mean() < 3


def test_a_turned_photo_stands_upright():
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    taken = take_picture(encoded(gradient(), exif=exif.tobytes())).image
    assert taken.size == (24, 40)
    assert np.array_equal(np.asarray(taken), np.asarray(gradient().rotate(-90, expand=True)))


def test_colours_of_another_profile_are_brought_to_srgb():
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    same = take_picture(encoded(gradient(), icc_profile=lab)).image
    assert np.array_equal(np.asarray(same), np.asarray(gradient()))
    broken = take_picture(encoded(gradient(), icc_profile=b"no profile")).image
    assert np.array_equal(np.asarray(broken), np.asarray(gradient()))


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG"])
def test_the_first_picture_of_an_animation_is_used(format):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue", "lime")]
    data = encoded(frames[0], format, save_all=True, append_images=frames[1:])
    taken = take_picture(data, "cat.png")
    red, green, blue = taken.image.getpixel((4, 4))
    assert red > 200
    assert max(green, blue) < 60
    assert taken.notes == ("cat.png is animated; its first picture is used.",)


def test_one_pixel_is_a_picture():
    assert take_picture(encoded(Image.new("RGB", (1, 1), "red"))).image.size == (1, 1)


def test_absurd_sizes_are_refused_before_anything_is_decoded():
    assert "12000x12000" in refusal(take_picture, png_of_size(12_000, 12_000))
    assert "100 million" in refusal(take_picture, png_of_size(20_000, 20_000))
    assert "100 million" in refusal(take_picture, png_of_size(2**31 - 1, 2**31 - 1))


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (b"", "empty"),
        (b"<?xml version='1.0'?><svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
        (b"  <SVG></SVG>", "SVG"),
        (b"hello", "no picture"),
        (b"%PDF-1.7", "no picture"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "no picture"),
        (encoded(gradient(width=400, height=300))[:700], "cut off or damaged"),
        (encoded(gradient(), "JPEG")[:400], "cut off or damaged"),
        (encoded(gradient())[:20], "cut off or damaged"),
    ],
)
def test_what_is_no_picture_is_refused_in_one_sentence(data, word):
    assert word in refusal(take_picture, data)
    assert word in refusal(take_mask, data)


def test_a_mask_is_what_is_bright():
    mask = np.zeros((10, 12), "u1")
    mask[2:5, 3:9] = 255
    for image in (Image.fromarray(mask), Image.fromarray(mask).convert("RGB")):
        taken = take_mask(encoded(image)).image
        assert taken.mode == "L"
        assert np.array_equal(np.asarray(taken), mask)


def test_a_mask_of_one_colour_is_what_is_not_transparent():
    alpha = np.zeros((10, 12), "u1")
    alpha[2:5, 3:9] = 255
    for colour in ((0, 0, 0), (255, 255, 255), (200, 30, 30)):
        image = Image.new("RGBA", (12, 10), colour)
        image.putalpha(Image.fromarray(alpha))
        assert np.array_equal(np.asarray(take_mask(encoded(image)).image), alpha)


def test_an_input_is_found_by_the_hash_of_its_pixels(tmp_path):
    store = InputStore(tmp_path)
    kept = store.add_picture(encoded(gradient()), "cat.png")
    assert (kept.width, kept.height) == (40, 24)
    assert kept.hash == hash_of(gradient())
    assert store.add_picture(encoded(gradient(), "BMP")).hash == kept.hash
    assert np.array_equal(np.asarray(store.open(kept.hash)), np.asarray(gradient()))
    assert len(list(tmp_path.rglob("*"))) == 3  # inputs, a folder in it, one file
    mask = store.add_mask(encoded(gradient("L")))
    assert store.open(mask.hash).mode == "L"


@pytest.mark.parametrize(
    "digest", ["", "..", "../../etc/passwd", "A" * 64, "0" * 63, "0" * 64 + "\n"]
)
def test_nothing_but_a_hash_opens_an_input(tmp_path, digest):
    with pytest.raises(NotFound, match="no hash"):
        InputStore(tmp_path).open(digest)


def test_an_input_that_is_gone_is_told_of(tmp_path):
    with pytest.raises(NotFound, match="send the picture again"):
        InputStore(tmp_path).open("0" * 64)
