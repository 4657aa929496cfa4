"""Files of every sort are looked at; none is an exception, and none is looked at twice."""

import io
import json
import warnings
from dataclasses import replace

import numpy as np
import pytest
from drawn import encoded, scene, seen
from PIL import Image, ImageOps

from studio.errors import Cancelled
from studio.training.health.likeness import alike
from studio.training.health.looked import Looked, from_json, look
from studio.training.health.looker import Looker

FORMATS = {
    "PNG": {},
    "JPEG": {"quality": 90},
    "progressive": {"format": "JPEG", "progressive": True},
    "WEBP": {"quality": 90},
    "lossless": {"format": "WEBP", "lossless": True},
    "GIF": {},
    "TIFF": {},
    "BMP": {},
}


def content(case: str, image: Image.Image) -> bytes:
    options = dict(FORMATS[case])
    return encoded(image, str(options.pop("format", case)), **options)


@pytest.mark.parametrize("case", FORMATS)
def test_whole_files_are_read_and_cut_off_ones_are_not(case):
    data = content(case, scene(256))
    whole = look(data, "a")
    assert whole.fault == ""
    assert whole.size == (256, 256)
    for share in (0.2, 0.5, 0.9):
        cut = look(data[: int(len(data) * share)], "cut.png")
        assert cut.fault.startswith("cut.png"), share
        assert cut.size == (0, 0)


@pytest.mark.parametrize("progressive", [False, True])
def test_large_jpegs_are_decoded_to_their_end_though_at_a_smaller_size(progressive):
    image = scene(shape=(2600, 2000))
    data = encoded(image, "JPEG", quality=90, progressive=progressive)
    found = look(data, "large.jpg")
    assert (found.fault, found.size) == ("", (2600, 2000))
    assert look(data[: int(len(data) * 0.9)], "large.jpg").fault
    at_full = look(encoded(image.resize((1300, 1000), Image.Resampling.BOX)), "small.png")
    assert alike([found.likeness, at_full.likeness])


@pytest.mark.parametrize(
    ("data", "part"),
    [
        (b"", "is empty"),
        (b"no picture at all", "no picture that can be read"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
    ],
)
def test_what_is_no_picture_has_a_sentence(data, part):
    assert part in look(data, "a\nb.png").fault


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_are_seen_as_exif_turns_them(orientation):
    image = scene(shape=(300, 200))
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(image, "JPEG", quality=95, exif=exif)
    found = look(data, "a.jpg")
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    assert found.turned == orientation
    assert found.size == upright.size
    assert found.likeness.miniature == look(encoded(upright), "b.png").likeness.miniature


def test_transparency_is_measured_and_put_on_white():
    solid = scene(100).convert("RGBA")
    assert look(encoded(solid), "a").transparent == 0
    alpha = np.full((100, 100), 255, np.uint8)
    alpha[:, :25] = 0
    solid.putalpha(Image.fromarray(alpha))
    found = look(encoded(solid), "a")
    assert found.transparent == pytest.approx(0.25)
    left = np.frombuffer(found.likeness.miniature, np.uint8).reshape(16, 16, 3)[:, :3]
    assert (left == 255).all()
    palette = Image.new("P", (80, 80), 0)
    assert look(encoded(palette, "GIF", transparency=0), "a.gif").transparent == 1


def test_deep_and_odd_modes_are_looked_at():
    deep = Image.fromarray(np.linspace(0, 65535, 128 * 128).reshape(128, 128).astype("u2"))
    found = look(encoded(deep), "deep.png")
    assert (found.fault, found.grey) == ("", True)
    assert max(found.likeness.miniature) > 200  # not cut off
    assert look(encoded(scene(128).convert("CMYK"), "JPEG"), "c.jpg").fault == ""
    assert look(encoded(scene(128).convert("1")), "one.png").grey
    assert not look(encoded(scene(128)), "colour.png").grey
    assert look(encoded(scene(128).convert("L"), "JPEG", quality=50), "grey.jpg").grey
    assert look(encoded(Image.new("RGB", (1, 1))), "dot.png").size == (1, 1)
    assert look(encoded(Image.new("RGB", (3000, 1))), "line.png").size == (3000, 1)


def test_a_look_survives_json():
    found = look(encoded(scene(200)), "a")
    assert from_json(json.loads(json.dumps(found.to_json()))) == found
    assert seen(scene(200)).looked == found


def test_looks_are_remembered_by_content(tmp_path):
    looker = Looker(tmp_path / "cache")
    (tmp_path / "a.png").write_bytes(encoded(scene(200)))
    (tmp_path / "b.png").write_bytes(b"broken")
    paths = [tmp_path / "a.png", tmp_path / "b.png", tmp_path / "absent.png", tmp_path]
    first = looker.look_all(paths)
    assert [bool(each.fault) for each in first] == [False, True, True, True]
    kept = [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    assert [path.stem for path in kept] == [first[0].sha256]

    # What is remembered is what is told, and under whatever name the file has by now.
    told = json.loads(kept[0].read_text()) | {"mode": "remembered"}
    kept[0].write_text(json.dumps(told))
    (tmp_path / "a.png").rename(tmp_path / "c.png")
    assert looker.look(tmp_path / "c.png") == replace(first[0], mode="remembered")
    for spoilt in ("{", "[]", "{}", '"x"', json.dumps(told | {"size": 3, "sha256": "0"})):
        kept[0].write_text(spoilt)
        assert looker.look(tmp_path / "c.png") == first[0]


def test_a_cache_that_cannot_be_written_is_no_matter(tmp_path):
    (tmp_path / "in-the-way").write_text("")
    (tmp_path / "a.png").write_bytes(encoded(scene(100)))
    assert Looker(tmp_path / "in-the-way").look(tmp_path / "a.png").fault == ""


def test_progress_is_told_and_may_cancel(tmp_path):
    paths = []
    for number in range(12):
        paths.append(tmp_path / f"{number}.png")
        paths[-1].write_bytes(encoded(scene(100, number)))
    told = []
    before = list(warnings.filters)
    looked = Looker(tmp_path / "cache", threads=3).look_all(paths, lambda *at: told.append(at))
    assert told == [(done, 12) for done in range(1, 13)]
    assert warnings.filters == before
    assert [each.sha256 for each in looked] == [look(p.read_bytes(), "").sha256 for p in paths]

    def stop(done: int, of: int) -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        Looker(tmp_path / "other", threads=1).look_all(paths, stop)
    assert len(list((tmp_path / "other").rglob("*.json"))) < 12


def test_a_fault_is_never_remembered(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(b"broken")
    looker = Looker(tmp_path / "cache")
    assert "a.png" in looker.look(path).fault
    path.rename(tmp_path / "b.png")
    assert "b.png" in looker.look(tmp_path / "b.png").fault
    assert not (tmp_path / "cache").exists()
    assert Looked().likeness is None
