"""Buckets: their shapes, which pictures go where, what is cut off, and repeats by balance."""

import math
from pathlib import Path

import pytest

from studio.training.pictures.buckets import balanced_repeats, crop_of, place, shapes, step_of
from studio.training.pictures.example import Example


def example(width, height, focus=(0.5, 0.5)):
    return Example(Path("x.png"), "x.png", "0", (width, height), focus=focus)


def kohyas(side):
    """The shapes of kohya's make_bucket_resolutions with its defaults for that side."""
    found = {(side, side)}
    for width in range(side // 2, side * 2 + 1, 64):
        height = min(side * 2, side * side // width // 64 * 64)
        if height >= side // 2:
            found |= {(width, height), (height, width)}
    return sorted(found)


@pytest.mark.parametrize("side", [512, 768, 1024])
def test_shapes_of_real_models_are_kohyas(side):
    assert shapes(side, 8) == kohyas(side)


@pytest.mark.parametrize(
    ("side", "multiple"),
    [(64, 8), (128, 8), (128, 4), (200, 8), (256, 16), (500, 8), (512, 8), (1024, 64), (300, 24)],
)
def test_all_shapes_fit_the_model_and_none_is_larger_than_the_square(side, multiple):
    found = shapes(side, multiple)
    least = math.lcm(multiple, 8)
    for width, height in found:
        assert width % least == height % least == 0
        assert width * height <= side * side
        assert side / 2 <= max(width, height) <= 2 * side
        assert (height, width) in found
    assert (side // least * least,) * 2 in found


def test_small_models_have_smaller_steps_and_no_shape_beyond_the_largest_side():
    assert [step_of(side, 8) for side in (64, 128, 256, 512, 1024)] == [8, 16, 32, 64, 64]
    assert step_of(128, 64) == 64
    assert len(shapes(128, 8)) > 8
    assert max(max(shape) for shape in shapes(128, 8, largest=160)) == 160


def test_a_picture_goes_where_least_of_it_is_cut_off():
    sizes = [(100, 100), (300, 200), (200, 300), (4000, 1000), (9000, 10), (10, 9000), (1, 1)]
    placed = place([example(*size) for size in sizes], 512, 8)
    for size, each in zip(sizes, placed, strict=True):
        shares = [
            min(w / h, size[0] / size[1]) / max(w / h, size[0] / size[1]) for w, h in shapes(512, 8)
        ]
        left, top, right, bottom = each.crop
        kept = (right - left) * (bottom - top) / (size[0] * size[1])
        assert kept == pytest.approx(max(shares))
        assert each.scale == pytest.approx(max(each.bucket[0] / size[0], each.bucket[1] / size[1]))
    assert [each.bucket for each in placed[:4]] == [(512, 512), (640, 384), (384, 640), (1024, 256)]
    assert placed[-1].scale == 512


def test_shapes_are_not_kept_where_that_is_not_wanted():
    placed = place([example(300, 100), example(100, 300)], 128, 8, keep_shapes=False)
    assert [each.bucket for each in placed] == [(128, 128), (128, 128)]
    assert [each.crop for each in placed] == [(100, 0, 200, 100), (0, 100, 100, 200)]


@pytest.mark.parametrize(
    ("focus", "crop"),
    [
        ((0.5, 0.5), (100, 0, 200, 100)),
        ((0.4, 0.0), (70, 0, 170, 100)),
        ((0.0, 0.9), (0, 0, 100, 100)),
        ((1.0, 1.0), (200, 0, 300, 100)),
    ],
)
def test_the_focus_is_kept_in_the_middle_as_far_as_the_picture_goes(focus, crop):
    assert crop_of((300, 100), (64, 64), focus) == pytest.approx(crop)


def test_folders_of_unlike_size_count_alike():
    assert balanced_repeats({"a": 40, "b": 10, "c": 15}) == {"a": 1, "b": 4, "c": 3}
    assert balanced_repeats({"a": 1000, "b": 1}) == {"a": 1, "b": 100}
    assert balanced_repeats({".": 5}) == {".": 1}
    assert balanced_repeats({}) == {}


def test_what_names_of_folders_say_of_repeats_is_done():
    told = {"10_sks dog": 10, "1_dog": 1, "more": None, "0_off": 0}
    counts = {"10_sks dog": 5, "1_dog": 50, "more": 3, "0_off": 2}
    assert balanced_repeats(counts, told) == {"10_sks dog": 10, "1_dog": 1, "more": 1, "0_off": 0}
    assert balanced_repeats({"a": 4, "b": 2}, {"a": None, "b": None}) == {"a": 1, "b": 2}
