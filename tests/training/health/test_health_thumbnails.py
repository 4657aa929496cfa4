"""Thumbnails are upright, small and made once."""

import io

import numpy as np
import pytest
from drawn import encoded, scene
from PIL import Image

from studio.errors import InputError
from studio.training.health.thumbnails import thumbnail


def opened(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    assert image.format == "WEBP"
    return image


def test_a_thumbnail_is_upright_and_fits(tmp_path):
    image = Image.new("RGB", (400, 200), "red")
    image.paste("blue", (0, 0, 200, 200))  # left; turned a quarter clockwise it is at the top
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "turned.jpg"
    path.write_bytes(encoded(image, "JPEG", exif=exif))
    small = opened(thumbnail(path, 100, tmp_path / "cache"))
    assert small.size == (50, 100)
    pixels = np.asarray(small.convert("RGB")).astype(int)
    assert pixels[20, 25, 2] > 200
    assert pixels[80, 25, 0] > 200
    assert 0x0112 not in small.getexif()


def test_it_is_made_once_for_a_content_and_size(tmp_path):
    cache = tmp_path / "cache"
    path = tmp_path / "a.png"
    path.write_bytes(encoded(scene(200)))
    first = thumbnail(path, 64, cache)
    thumbnail(path, 32, cache)
    kept = {file.name: file for file in cache.rglob("*.webp")}
    assert len(kept) == 2
    next(file for name, file in kept.items() if name.endswith("-64.webp")).write_bytes(b"kept")
    assert thumbnail(path, 64, cache) == b"kept"
    path.write_bytes(encoded(scene(200, 1)))
    assert thumbnail(path, 64, cache) not in (b"kept", first)


def test_transparency_and_small_pictures_stay(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(encoded(Image.new("RGBA", (20, 10), (255, 0, 0, 0))))
    small = opened(thumbnail(path, 64, tmp_path / "cache"))
    assert small.size == (20, 10)
    assert small.mode == "RGBA"


def test_what_cannot_be_read_is_said_in_one_sentence(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(encoded(scene(200))[:500])
    with pytest.raises(InputError, match=r"a\.png is cut off"):
        thumbnail(path, 64, tmp_path / "cache")
    with pytest.raises(InputError, match="cannot be opened"):
        thumbnail(tmp_path / "absent.png", 64, tmp_path / "cache")
