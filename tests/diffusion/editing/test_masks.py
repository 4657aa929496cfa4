"""Masks, ground and blends: plain arithmetic, checked by what it promises."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from studio.diffusion.editing import ground, masks
from studio.diffusion.editing.blend import blended
from studio.diffusion.editing.hold import free_latents, hold_at
from studio.diffusion.samplers import executed
from studio.requests import Blend, Curve, ExtendFill, Resize


def square(side: int = 64, start: int = 20, end: int = 44) -> np.ndarray:
    mask = np.zeros((side, side), "u1")
    mask[start:end, start:end] = 255
    return mask


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype="u1")


def distances(mask: np.ndarray) -> np.ndarray:
    """From each pixel to the nearest one of the mask, one by one."""
    ys, xs = np.nonzero(mask)
    grid_y, grid_x = np.indices(mask.shape)
    return np.sqrt((grid_y[..., None] - ys) ** 2 + (grid_x[..., None] - xs) ** 2).min(axis=-1)


@pytest.mark.parametrize("pixels", [1, 3, 8])
def test_a_mask_grows_by_so_many_pixels_and_no_more(pixels):
    away = distances(square())
    grown = masks.grown(square(), pixels) > 0
    assert grown[away <= pixels - 0.5].all()
    assert not grown[away > pixels + 0.5].any()


def test_shrinking_undoes_growing_of_a_square_and_a_mask_at_the_border_stays_there():
    assert np.array_equal(masks.grown(masks.grown(square(), 5), -5), square())
    half = np.zeros((32, 32), "u1")
    half[:, :10] = 255
    shrunk = masks.grown(half, -3) > 0
    assert shrunk[:, :7].all()
    assert not shrunk[:, 7:].any()
    assert masks.grown(np.full((9, 9), 255, "u1"), -4).all()


@pytest.mark.parametrize("pixels", [0, 1, 4, 16])
def test_a_feather_falls_from_one_at_the_edge_to_nothing(pixels):
    soft = masks.feathered(square(), pixels)
    away = distances(square())
    assert (soft[square() > 0] == 1).all()
    assert (soft[away >= pixels + 1] == 0).all()
    if pixels:
        assert (soft[(away >= 1) & (away <= pixels)] > 0).all()
        row = soft[32, 44 : 44 + pixels]
        assert (np.diff(row) < 0).all()


def test_a_feather_of_nothing_is_nothing():
    assert not masks.feathered(np.zeros((8, 8), "u1"), 5).any()


def test_a_latent_is_free_when_any_of_its_pixels_is():
    mask = np.zeros((32, 48), "u1")
    mask[9, 17] = 255
    free = free_latents(mask, 8)
    assert free.shape == (1, 1, 4, 6)
    assert free.sum() == 1
    assert free[0, 0, 1, 2] == 1


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 40), st.floats(0.3, 3), st.integers(0, 63), st.integers(0, 47))
def test_a_frame_holds_its_mask_and_lies_inside(padding, aspect, x, y):
    mask = np.zeros((48, 64), "u1")
    mask[y, x] = 255
    box = masks.frame(mask, padding, aspect)
    assert 0 <= box.left <= x < box.right <= 64
    assert 0 <= box.top <= y < box.bottom <= 48


def test_a_frame_has_padding_all_around_and_the_aspect():
    box = masks.frame(square(200, 90, 110), 10, 2.0)
    assert box.size == (80, 40)
    assert (box.left, box.right, box.top, box.bottom) == (60, 140, 80, 120)


def test_a_thin_line_of_a_mask_survives_any_size():
    mask = np.zeros((400, 400), "u1")
    mask[200] = 255
    small = masks.resized(mask, 32, 32)
    assert set(np.unique(small)) == {0, 255}
    assert small.max(axis=0).all()


@pytest.mark.parametrize("blend", list(Blend))
@pytest.mark.parametrize("feather", [0, 6])
def test_no_blend_touches_what_lies_outside(blend, feather):
    source, made = noise(64, 64, 1), noise(64, 64, 2)
    soft = masks.feathered(square(), feather)
    result = blended(source, made, soft, blend)
    assert result.dtype == np.uint8
    assert np.array_equal(result[soft == 0], source[soft == 0])
    assert not np.array_equal(result[soft == 1], source[soft == 1])
    everything = blended(source, made, np.ones((64, 64), "f4"), blend)
    assert everything.shape == source.shape


def test_blends_put_the_new_content_in_the_middle_as_it_is():
    source, made = noise(64, 64, 1), noise(64, 64, 2)
    soft = masks.feathered(square(), 6)
    for blend in (Blend.NORMAL, Blend.FEATHER):
        assert np.array_equal(blended(source, made, soft, blend)[soft == 1], made[soft == 1])


def test_a_step_in_colour_is_smoother_the_softer_the_blend():
    source, made = np.full((96, 96, 3), 100, "u1"), np.full((96, 96, 3), 180, "u1")
    soft = masks.feathered(square(96, 32, 64), 12)
    steps = {
        blend: np.abs(np.diff(blended(source, made, soft, blend)[48, :, 0].astype(int))).max()
        for blend in Blend
    }
    assert steps[Blend.NORMAL] == 80
    assert steps[Blend.FEATHER] < 20
    assert steps[Blend.PYRAMID] < 20
    assert steps[Blend.POISSON] <= 2  # no gradient at all, so it takes on the source's colour


def test_poisson_takes_the_sources_colours_and_the_new_contents_edges():
    source = np.full((64, 64, 3), 60, "u1")
    made = np.full((64, 64, 3), 160, "u1")
    made[28:36, 28:36] = 220
    result = blended(source, made, masks.feathered(square(), 2), Blend.POISSON).astype(int)
    assert abs(result[24, 24, 0] - 60) < 12
    assert result[32, 32, 0] - result[24, 24, 0] > 40


@pytest.mark.parametrize("resize", list(Resize))
@pytest.mark.parametrize("size", [(40, 40), (80, 20), (31, 97)])
def test_every_way_of_resizing_gives_the_size(resize, size):
    assert ground.fitted(noise(30, 50), *size, resize).shape[:2] == size[::-1]


def test_cropping_keeps_the_middle_and_filling_keeps_all():
    picture = np.zeros((40, 80, 3), "u1")
    picture[:, 39:41] = 255
    cropped = ground.fitted(picture, 40, 40, Resize.CROP)
    assert cropped[:, 19:21].min() == 255
    filled = ground.fitted(picture, 80, 80, Resize.FILL)
    assert np.array_equal(filled[20:60], picture)
    assert np.array_equal(filled[0], picture[0])


def test_new_ground_mirrors_stretches_or_is_noise():
    picture = noise(10, 20)
    sides = (6, 0, 25, 0)
    mirror = ground.extended(picture, sides, ExtendFill.MIRROR, 1)
    assert mirror.shape == (35, 26, 3)
    assert np.array_equal(mirror[25:, :6], picture[:, :6][:, ::-1])
    assert np.array_equal(mirror[15:25, 6:], picture[::-1])
    stretched = ground.extended(picture, sides, ExtendFill.STRETCH, 1)
    assert (stretched[25:, :6] == picture[:, :1]).all()
    noisy = [ground.extended(picture, sides, ExtendFill.NOISE, seed) for seed in (1, 1, 2)]
    assert np.array_equal(noisy[0], noisy[1])
    assert not np.array_equal(noisy[0], noisy[2])
    for grown in (mirror, stretched, *noisy):
        assert np.array_equal(grown[25:, 6:], picture)
    new = ground.new_ground((10, 20), sides)
    assert new.shape == (35, 26)
    assert not new[25:, 6:].any()
    assert (new > 0).sum() == 35 * 26 - 200


def test_a_hole_is_filled_with_what_is_around_it():
    picture = np.zeros((64, 64, 3), "u1")
    picture[:, :32] = (200, 0, 0)
    picture[:, 32:] = (0, 0, 200)
    full = ground.filled(picture, square())
    assert np.array_equal(full[square() == 0], picture[square() == 0])
    assert full[32, 21, 0] > 120 > full[32, 21, 2]
    assert full[32, 42, 2] > 120 > full[32, 42, 0]
    assert (ground.filled(picture, np.full((64, 64), 255, "u1")) == 127).all()


def test_padding_reaches_the_factor_and_leaves_the_picture():
    picture = noise(30, 41)
    wide = ground.padded(picture, 8)
    assert wide.shape == (32, 48, 3)
    assert np.array_equal(wide[:30, :41], picture)
    assert ground.padded(wide, 8) is wide
    assert ground.padded(noise(1, 1), 8).shape == (8, 8, 3)


@pytest.mark.parametrize(
    ("steps", "strength", "left"),
    [(20, 0.75, 15), (20, 1, 20), (20, 0.01, 1), (100, 0.29, 29), (1, 0.5, 1), (30, 0.999, 29)],
)
def test_a_strength_leaves_its_share_of_the_steps(steps, strength, left):
    assert executed(steps, strength) == left


@pytest.mark.parametrize("curve", [Curve.LINEAR, Curve.COSINE])
def test_curves_fall_from_one_to_nothing(curve):
    values = [hold_at(position / 10, curve) for position in range(11)]
    assert values[0] == pytest.approx(1)
    assert values[-1] == pytest.approx(0)
    assert (np.diff(values) < 0).all()


def test_own_points_are_joined_by_lines_in_their_order():
    points = [(0.5, 0.2), (0.25, 1.0)]
    found = [hold_at(x, Curve.POINTS, points) for x in (0, 0.25, 0.375, 0.5, 1)]
    assert found == pytest.approx([1, 1, 0.6, 0.2, 0.2])
    assert hold_at(0.5, Curve.POINTS, [(0.5, 1), (0.5, 0)]) in (0, 1)
    assert hold_at(0.3, Curve.CONSTANT) == 0
