"""Copies of training pictures are found, and new pictures of the same are not called copies."""

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from studio.errors import DataError
from studio.training.watching.embedded_judge.judge import EmbeddedJudge
from studio.training.watching.memorised import CopyCheck, in_words, nearness


def drawing(x: int, y: int, size: int, turn: float, ground: str = "white") -> Image.Image:
    """A creature somewhere in the picture."""
    image = Image.new("RGB", (128, 128), ground)
    sprite = Image.new("RGBA", (96, 96))
    draw = ImageDraw.Draw(sprite)
    draw.ellipse((20, 30, 76, 90), fill="#2a7", outline="black", width=3)
    draw.polygon([(26, 40), (34, 4), (48, 34)], fill="#c33")
    draw.rectangle((52, 46, 66, 60), fill="white", outline="black", width=2)
    draw.line((20, 80, 2, 92), fill="black", width=5)
    made = sprite.rotate(turn, Image.Resampling.BICUBIC).resize((size, size))
    image.paste(made, (x, y), made)
    return image


TRAINING = [
    drawing(10, 16, 96, 0),
    drawing(40, 40, 60, 30, "#cde"),
    drawing(0, 50, 76, -40),
    drawing(50, 4, 70, 80, "#fda"),
    drawing(20, 20, 100, 150),
]
NAMES = [f"{i}.png" for i in range(len(TRAINING))]
NEW = [drawing(30, 5, 84, -90, "#aac"), drawing(5, 5, 64, 200), drawing(45, 30, 80, 55)]


def copied(image: Image.Image, shift: int = 4) -> Image.Image:
    """As a model gives a picture back: soft, noisy, in other light, shifted a little."""
    moved = image.transform(
        image.size, Image.Transform.AFFINE, (1, 0, -shift, 0, 1, shift),
        fillcolor=image.getpixel((0, 0)),
    )  # fmt: skip
    soft = np.asarray(moved.filter(ImageFilter.GaussianBlur(0.8)), "f4")
    noise = np.random.default_rng(0).normal(0, 6, soft.shape)
    return Image.fromarray((soft * 0.96 + noise).clip(0, 255).astype("u1"))


@pytest.fixture(params=[False, True], ids=["pixels alone", "with the judge"])
def check(request: pytest.FixtureRequest) -> CopyCheck:
    return CopyCheck(TRAINING, EmbeddedJudge() if request.param else None)


def test_copies_are_found_with_what_they_are_copies_of(check: CopyCheck):
    found = check([copied(image) for image in TRAINING])
    assert [each.training for each in found] == list(range(len(TRAINING)))
    assert all(each.copied and each.nearness >= each.limit for each in found)


def test_a_mirrored_copy_is_a_copy(check: CopyCheck):
    mirrored = copied(TRAINING[1]).transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    (found,) = check([mirrored])
    assert (found.training, found.copied) == (1, True)


def test_new_pictures_of_the_subject_are_none(check: CopyCheck):
    assert not any(each.copied for each in check(NEW))


def test_neither_are_blank_ones_and_noise(check: CopyCheck):
    noise = np.random.default_rng(1).integers(0, 256, (128, 128, 3), dtype="u1")
    found = check([Image.new("RGB", (64, 64)), Image.fromarray(noise)])
    assert not any(each.copied for each in found)
    assert all(np.isfinite(each.nearness) for each in found)


def test_the_more_alike_training_pictures_are_the_nearer_a_copy_must_be():
    alike = [drawing(10 + i, 16, 96, 9 * i) for i in range(5)]
    apart = CopyCheck(TRAINING)([NEW[0]])[0].limit
    assert CopyCheck(alike)([NEW[0]])[0].limit > apart


def test_a_picture_that_is_in_there_twice_does_not_hide_copies():
    assert CopyCheck([*TRAINING, TRAINING[0]])([copied(TRAINING[2])])[0].copied


def test_one_training_picture_is_enough():
    first, second = CopyCheck(TRAINING[:1])([copied(TRAINING[0]), NEW[0]])
    assert (first.copied, second.copied) == (True, False)


def test_sizes_and_modes_may_differ():
    large = TRAINING[0].resize((500, 500)).convert("RGBA")
    assert CopyCheck(TRAINING)([large])[0].copied


def test_no_training_pictures_are_refused_and_no_samples_are_not():
    with pytest.raises(DataError, match="no training pictures"):
        CopyCheck([])
    assert CopyCheck(TRAINING)([]) == []


def test_nearness_is_1_for_the_same_and_the_same_both_ways():
    near = nearness(TRAINING, TRAINING, closest=5)
    assert np.diag(near) == pytest.approx(np.ones(5), abs=1e-5)
    assert near == pytest.approx(near.T, abs=0.02)
    assert near.max() <= 1 + 1e-5


def test_only_the_closest_are_looked_at():
    assert np.isfinite(nearness(NEW, TRAINING, closest=2)).sum() == 2 * len(NEW)


def test_it_is_said_in_words():
    check = CopyCheck(TRAINING)
    bad = in_words(check([copied(TRAINING[2]), *NEW]), NAMES)
    assert bad.startswith("1 of 4 samples is a copy of training pictures, the nearest of 2.png (")
    assert bad.endswith("take an earlier checkpoint or more pictures.")
    good = in_words(check(NEW[:1]), NAMES)
    assert good.startswith("None of 1 sample is a copy")
    assert in_words([], NAMES) == "No sample was compared with the training pictures."
