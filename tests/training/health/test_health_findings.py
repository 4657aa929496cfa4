"""Files, sizes, shapes and colours: what is found, and what is left in peace."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from drawn import encoded, scene, seen
from PIL import Image

from studio.training.health import files, looks
from studio.training.health.finding import FixKind, Kind, Severity
from studio.training.health.likeness import Likeness
from studio.training.health.looked import Looked
from studio.training.health.seen import Seen, Sight
from studio.training.health.wording import named, shown
from studio.training.pictures.example import Example, Placed


def sized(width: int, height: int, name: str = "a.png", repeats: int = 1) -> Seen:
    """A sound picture of this size, of which nothing else matters."""
    looked = Looked("", size=(width, height), likeness=Likeness(b"", b"", b""))
    return Seen(Example(Path(name), name, "", (0, 0), repeats=repeats), looked)


def test_files_that_cannot_be_read_stop_a_training():
    pictures = [seen(b"x", "bad.png"), seen(scene(64), "good.png"), seen(b"", "empty.png")]
    (finding,) = files.unreadable(pictures)
    assert (finding.kind, finding.severity) == (Kind.UNREADABLE, Severity.STOP)
    assert finding.pictures == finding.fix.arguments.pictures == ("bad.png", "empty.png")
    assert "bad.png" in finding.sentence
    assert "1 more file" in finding.sentence
    assert files.unreadable(pictures[1:2]) == []


@pytest.mark.parametrize(
    ("size", "bad"),
    [((1, 1), True), ((63, 500), True), ((500, 63), True), ((64, 64), False)],
)
def test_pictures_of_a_few_pixels_stop_it_too(size, bad):
    found = files.tiny([sized(*size)])
    assert bool(found) is bad
    if bad:
        assert found[0].severity is Severity.STOP
        assert "{}x{}".format(*size) in found[0].sentence
        assert [each.kind for each in files.few([sized(*size)])] == [Kind.NO_PICTURES]


@pytest.mark.parametrize(
    ("number", "severity"), [(0, "stop"), (1, "warn"), (4, "warn"), (5, None), (50, None)]
)
def test_how_many_pictures_are_too_few(number, severity):
    found = files.few([sized(512, 512, f"{n}.png") for n in range(number)])
    assert [each.severity for each in found] == ([severity] if severity else [])


def test_folders_that_are_seen_too_often():
    cats = [sized(512, 512, f"cat/{n}.png") for n in range(20)]
    dogs = [sized(512, 512, f"dog/{n}.png", repeats=2) for n in range(3)]
    (finding,) = files.unbalanced([*cats, *dogs])
    assert finding.severity is Severity.HINT
    assert "cat" in finding.sentence
    assert "3 times" in finding.sentence
    assert finding.pictures == tuple(each.name for each in dogs)
    assert files.unbalanced(cats) == []
    assert files.unbalanced([*cats, *(replace_repeats(dog, 3) for dog in dogs)]) == []


def replace_repeats(picture: Seen, repeats: int) -> Seen:
    return replace(picture, example=replace(picture.example, repeats=repeats))


def test_foreign_formats_are_named():
    there = {name: Path(name) for name in ("a.png", "b.HEIC", "notes.md", "c.txt")}
    (finding,) = files.unsupported(there)
    assert finding.pictures == ("b.HEIC",)


def test_pictures_that_exif_alone_turns():
    exif = Image.Exif()
    exif[0x0112] = 6
    on_side = seen(encoded(scene(100), "JPEG", exif=exif), "side.jpg")
    (finding,) = files.turned([on_side, seen(scene(100))])
    assert (finding.severity, finding.fix.kind) == (Severity.HINT, FixKind.TURN)
    assert finding.pictures == ("side.jpg",)


def test_buckets_of_a_shape():
    sight = Sight(512, 64)
    assert looks.cut((512, 512), sight, True) == (1, 0)
    scale, lost = looks.cut((1600, 1200), sight, True)  # 576 x 448
    assert scale == pytest.approx(max(576 / 1600, 448 / 1200))
    assert lost == pytest.approx(1 - (576 / 448) / (4 / 3), abs=1e-6)
    assert looks.cut((1600, 1200), sight, False) == (512 / 1200, pytest.approx(0.25))


@pytest.mark.parametrize("shape", [(1, 1), (3, 2), (2, 3), (4, 3), (16, 9), (9, 16), (5, 4)])
@pytest.mark.parametrize("side", [512, 768, 1024])
def test_usual_photographs_lose_little_in_buckets(shape, side):
    photo = sized(shape[0] * 300, shape[1] * 300)
    assert looks.cut_off([photo], Sight(side), buckets=True) == []


def test_a_square_of_a_long_picture_is_warned_of_and_buckets_mend_it():
    photo, square = sized(1600, 900, "wide.jpg"), sized(600, 600)
    (finding,) = looks.cut_off([photo, square], Sight(512), buckets=False)
    assert finding.pictures == ("wide.jpg",)
    assert "44%" in finding.sentence
    assert finding.fix.kind is FixKind.BUCKETS
    placed = Placed(photo.example, (512, 512), (0, 0, 900, 900), 512 / 900)
    (finding,) = looks.cut_off([replace(photo, placed=placed)], Sight(512), buckets=True)
    assert finding.fix is None


@pytest.mark.parametrize(
    ("size", "bad"), [((512, 512), False), ((420, 420), False), ((400, 400), True)]
)
def test_pictures_that_must_be_enlarged(size, bad):
    found = looks.enlarged([sized(*size)], Sight(512), buckets=True)
    assert bool(found) is bad
    if bad:
        assert "1.3 times" in found[0].sentence
        placed = Placed(sized(*size).example, (256, 256), (0, 0, 400, 400), 0.64)
        small = replace(sized(*size), placed=placed)
        assert looks.enlarged([small], Sight(512), buckets=True) == []


def test_one_of_a_kind_among_alike():
    photos = [sized(600, 400, f"{n}.jpg") for n in range(8)]
    tower = sized(300, 900, "tower.jpg")
    (finding,) = looks.odd_shape([*photos, tower], buckets=True)
    assert (finding.pictures, finding.severity) == (("tower.jpg",), Severity.HINT)
    assert looks.odd_shape([*photos, tower], buckets=False) == []
    twins = [tower, sized(300, 900, "spire.jpg")]
    assert looks.odd_shape([*photos, *twins], buckets=True) == []
    assert looks.odd_shape([*photos[:2], tower], buckets=True) == []


def test_transparent_parts():
    image = scene(128).convert("RGBA")
    alpha = np.full((128, 128), 255, np.uint8)
    alpha[0, :10] = 0
    image.putalpha(Image.fromarray(alpha))
    corner = seen(image, "corner.png")
    assert looks.transparent([corner]) == []
    alpha[:, :10] = 128
    image.putalpha(Image.fromarray(alpha))
    (finding,) = looks.transparent([corner, seen(image, "glass.png")])
    assert (finding.pictures, finding.fix.kind) == (("glass.png",), FixKind.FLATTEN)


def test_grey_among_colours():
    colour = [seen(scene(128, n), f"{n}.png") for n in range(3)]
    grey = seen(scene(128, 9).convert("L"), "old.png")
    (finding,) = looks.grey([*colour, grey])
    assert finding.pictures == ("old.png",)
    assert finding.sentence.startswith("1 of 4 pictures is grey")
    assert looks.grey(colour) == []
    assert looks.grey([grey]) == []


def test_names_in_sentences_stay_on_their_line():
    assert shown('a\n"b"\t é\udcff.png') == 'a?"b"? é?.png'
    assert len(shown("x" * 500)) < 70
    assert named(["a", "b"]) == "a and b"
    assert named(["a", "b", "c", "d", "e"]) == "a, b, c and 2 more"
    assert (named(["a"]), named([])) == ("a", "")
