"""What is the same picture again is told from what only looks like it."""

import numpy as np
import pytest
from drawn import encoded, face, noisy, portrait, resaved, scene, seen, texture
from PIL import Image, ImageOps

from studio.training.health.doubles import class_pictures, doubles
from studio.training.health.finding import FixKind, Kind
from studio.training.health.likeness import alike, likeness

DRAWN = {"scene": scene, "face": face, "texture": texture, "portrait": portrait}


def of(image: Image.Image):
    return likeness(image, image.convert("L"))


def cropped(image: Image.Image, share: float) -> Image.Image:
    edge = round(image.width * share / 2)
    return image.crop((edge, edge, image.width - edge, image.height - edge))


AGAIN = {
    "resaved": resaved,
    "smaller": lambda image: image.resize((200, 200)),
    "noisy": noisy,
    "cropped": lambda image: cropped(image, 0.02),
    "mirrored": ImageOps.mirror,
    "mirrored and resaved": lambda image: resaved(ImageOps.mirror(image)),
}


@pytest.mark.parametrize("draw", DRAWN.values(), ids=DRAWN)
@pytest.mark.parametrize("change", AGAIN.values(), ids=AGAIN)
def test_the_same_picture_again_is_found(draw, change):
    first = draw(512)
    assert alike([of(first), of(change(first))]) == [[0, 1]]


def test_unlike_pictures_are_not_taken_for_each_other():
    """All pairs of 120 pictures of four sorts."""
    images = [draw(256, seed) for draw in (scene, texture, portrait) for seed in range(30)]
    colours = np.random.default_rng(5).permutation(
        [(r, g, b) for r in (60, 150, 240) for g in (60, 150, 240) for b in (60, 150, 240)]
    )
    images += [face(256, colour=tuple(int(v) for v in colour)) for colour in colours]
    images += [face(256, mouth) for mouth in ("frown", "open")]
    images += [face(256, shift=shift) for shift in (0.1, 0.2)]
    assert alike([of(image) for image in images]) == []


def test_groups_have_no_chains():
    """Each of a group is like the first: slow changes do not run together."""
    slow = [of(face(256, shift=step / 100)) for step in range(0, 40, 2)]
    groups = alike(slow)
    assert groups
    for first, *others in groups:
        assert all(alike([slow[first], slow[other]]) for other in others)
    assert max(len(group) for group in groups) < len(slow) / 2


def test_many_are_compared_across_blocks():
    looks = [of(texture(32, seed)) for seed in range(300)]
    looks[280] = looks[3]
    assert alike(looks) == [[3, 280]]
    assert alike([looks[0]] * 600) == [list(range(600))]
    assert alike(looks[:1]) == []


def test_exact_and_near_doubles_are_found_apart_and_the_best_is_kept(tmp_path):
    original = scene(512)
    data = encoded(original)
    small = original.resize((300, 300))
    pictures = [
        seen(small, "small.png"),
        seen(data, "b.png"),
        seen(data, "a.png"),
        seen(texture(), "other.png"),
    ]
    exact, near = doubles(pictures)
    assert (exact.kind, exact.groups) == (Kind.DUPLICATES, (("a.png", "b.png"),))
    assert (near.kind, near.groups) == (Kind.LOOKALIKES, (("a.png", "small.png"),))
    assert exact.fix.kind is FixKind.LEAVE_OUT
    assert exact.fix.arguments.pictures == ("b.png",)
    assert near.fix.arguments.pictures == ("small.png",)

    captioned = tmp_path / "z.png"
    captioned.write_bytes(data)
    captioned.with_suffix(".txt").write_text("discs")
    (exact,) = doubles([seen(data, "a.png"), seen(captioned)])
    assert exact.groups == (("z.png", "a.png"),)


def test_pictures_of_the_class_among_the_subject_s(tmp_path):
    data = encoded(scene(128))
    (tmp_path / "class-1.png").write_bytes(data)
    (tmp_path / "class-2.png").write_bytes(encoded(scene(128, 1)))
    ours = []
    for name, content in {"a.png": data, "b.png": encoded(scene(128, 2))}.items():
        (tmp_path / name).write_bytes(content)
        ours.append(seen(tmp_path / name))
    others = [tmp_path / "class-1.png", tmp_path / "class-2.png", tmp_path / "gone.png"]
    (finding,) = class_pictures(ours, others)
    assert finding.kind is Kind.CLASS_PICTURES
    assert finding.pictures == ("a.png",)
    assert class_pictures(ours, others[1:]) == []
