"""What the model sees of a picture file: turned, on white, cut, scaled, mirrored."""

import warnings

import numpy as np
import pytest
from drawn_sets import drawn, encoded
from PIL import Image

from studio.errors import DataError, InputError
from studio.training.pictures.buckets import place
from studio.training.pictures.crops import cut, preview, thumbnail
from studio.training.pictures.examples import examples, survey
from studio.training.pictures.notes import set_focus
from studio.training_requests import Pictures

WANTED = Pictures(pictures="x")


def placed(folder, side=64, shapes=True):
    return place(examples(folder, WANTED), side, 8, shapes)


def one(folder, name, content, **options):
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(content)
    return placed(folder, **options)[0]


def near(image, colour, most=6):
    return np.abs(np.asarray(image).astype(int) - colour).max() <= most


@pytest.mark.parametrize(
    ("name", "kind", "mode"),
    [
        ("a.png", "PNG", "RGB"),
        ("a.png", "PNG", "P"),
        ("a.png", "PNG", "L"),
        ("a.png", "PNG", "1"),
        ("a.jpg", "JPEG", "CMYK"),
        ("a.jpeg", "JPEG", "L"),
        ("a.webp", "WEBP", "RGBA"),
        ("a.bmp", "BMP", "RGB"),
        ("a.gif", "GIF", "P"),
        ("a.avif", "AVIF", "RGB"),
        ("a.tif", "TIFF", "CMYK"),
    ],
)
def test_every_sort_of_picture_becomes_rgb_of_the_buckets_size(tmp_path, name, kind, mode):
    drawn_one = drawn(3, (90, 60), mode)
    found = one(tmp_path / "set", name, encoded(drawn_one, kind))
    image = cut(found)
    assert (image.mode, image.size) == ("RGB", found.bucket)
    # The bucket has the picture's shape: nothing but its scale has changed.
    wanted = drawn_one.convert("RGBA" if mode == "RGBA" else "RGB").convert("RGB")
    wanted = wanted.resize(found.bucket, Image.Resampling.LANCZOS, box=found.crop)
    apart = np.abs(np.asarray(image).astype(int) - np.asarray(wanted)).mean()
    assert apart < (12 if kind in ("JPEG", "AVIF", "WEBP") else 4)


def test_deep_grey_is_scaled_and_not_cut_off(tmp_path):
    deep = Image.fromarray(np.full((40, 40), 128 * 257, dtype=np.uint16))
    assert near(cut(one(tmp_path / "set", "a.png", encoded(deep))), 128, 1)


def test_transparency_lies_on_white(tmp_path):
    clear = Image.new("RGBA", (40, 40), (0, 0, 0, 0))
    assert near(cut(one(tmp_path / "set", "a.png", encoded(clear))), 255, 0)


def test_the_first_picture_of_an_animation_is_taken(tmp_path):
    red, blue = Image.new("RGB", (32, 32), "red"), Image.new("RGB", (32, 32), "blue")
    content = encoded(red, "GIF", save_all=True, append_images=[blue])
    assert near(cut(one(tmp_path / "set", "a.gif", content)), (255, 0, 0), 0)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("turn", range(1, 9))
def test_a_picture_is_turned_as_its_exif_data_say(tmp_path, kind, turn):
    exif = Image.Exif()
    exif[0x0112] = turn
    seen = Image.new("RGB", (64, 32), "blue")
    seen.paste("red", (0, 0, 32, 32))  # red on the left, as a person sees it
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }.get(turn)
    stored = seen if undo is None else seen.transpose(undo)
    options = {} if kind == "PNG" else {"quality": 95}
    found = one(tmp_path / "set", f"a.{kind.lower()}", encoded(stored, kind, exif=exif, **options))
    assert found.example.size == (64, 32)
    image = cut(found)
    assert image.width > image.height
    assert near(image.crop((2, 2, image.width // 2 - 4, 30)), (255, 0, 0), 40)
    mirrored = cut(found, flip=True)
    assert near(mirrored.crop((2, 2, image.width // 2 - 4, 30)), (0, 0, 255), 40)
    assert np.array_equal(np.asarray(mirrored)[:, ::-1], np.asarray(image))


def test_the_focus_of_the_editor_decides_what_is_cut(tmp_path):
    wide = Image.new("RGB", (300, 100), "white")
    wide.paste("green", (0, 0, 100, 100))
    folder = tmp_path / "set"
    inside = (8, 8, 56, 56)  # at the edge the neighbours are seen, as in the scaled whole
    assert near(cut(one(folder, "a b.png", encoded(wide), shapes=False)).crop(inside), 255, 0)
    set_focus(folder, "a b.png", (0.1, 0.5))
    assert near(cut(placed(folder, shapes=False)[0]).crop(inside), (0, 128, 0), 0)
    set_focus(folder, "a b.png", None)
    assert near(cut(placed(folder, shapes=False)[0]).crop(inside), 255, 0)


def test_a_picture_of_one_pixel_survives(tmp_path):
    image = cut(one(tmp_path / "set", "a.png", encoded(Image.new("RGB", (1, 1), "red"))))
    assert image.size == (64, 64)
    assert near(image, (255, 0, 0), 0)
    found = placed(tmp_path / "set")[0]
    assert max(preview(found, 100).size) == 100
    assert thumbnail(found.example).size == (1, 1)


@pytest.mark.parametrize("size", [(5000, 3), (3, 5000), (7, 13)])
def test_extreme_shapes_are_cut_and_shown(tmp_path, size):
    found = one(tmp_path / "set", "a.png", encoded(drawn(1, size)))
    assert cut(found).size == found.bucket
    assert max(preview(found, 200).size) == 200


def test_the_preview_darkens_what_is_cut_off(tmp_path):
    found = one(
        tmp_path / "set", "a.png", encoded(Image.new("RGB", (300, 100), "white")), shapes=False
    )
    shown = np.asarray(preview(found, 300)).astype(int)
    assert shown.shape == (100, 300, 3)
    assert shown[50, 50].max() < 100
    assert shown[50, 150].min() == 255
    assert shown[50, 100].tolist() not in ([255] * 3, shown[50, 50].tolist())


def test_files_that_are_spoilt_or_changed_are_told_in_one_sentence(tmp_path):
    content = encoded(drawn(1, (200, 200)))
    found = one(tmp_path / "set", "it's.png", content[: len(content) // 2])
    with pytest.raises(InputError, match=r"it's\.png.* is cut off or damaged"):
        cut(found)
    found.example.path.write_bytes(encoded(drawn(1, (20, 200))))
    with pytest.raises(DataError, match="was 200x200 and is now 20x200"):
        cut(found)
    found.example.path.unlink()
    with pytest.raises(InputError, match="cannot be read"):
        cut(found)
    with pytest.raises(DataError, match="no pictures"):
        examples(tmp_path / "set", WANTED)


def test_damaged_exif_data_do_no_harm(tmp_path):
    plain = encoded(drawn(2, (30, 20)), "JPEG")
    spoilt = plain[:2] + b"\xff\xe1\x00\x10Exif\x00\x00II*\x00\xff\xff\xff\xff" + plain[2:]
    (tmp_path / "a.jpg").write_bytes(spoilt)
    assert [each.size for each in survey(tmp_path, WANTED).examples] == [(30, 20)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert cut(placed(tmp_path)[0]).mode == "RGB"
