"""Recolouring, backgrounds and pairs, on drawings made here and on the judge's references."""

import numpy as np
import pytest
from PIL import Image

from studio.training.watching.embedded_judge.picture import background, colour_names, main_colour
from training.embedded.variants import (
    COLOURS,
    GROUNDS,
    WHITE,
    beside,
    can_be_recoloured,
    jittered,
    laid_on,
    main_region,
    recoloured,
    split,
)


def disc(colour, eye=(20, 20, 20)):
    """A shaded disc of a colour with a dark dot, transparent around: (128, 128, 4)."""
    y, x = np.mgrid[:128, :128]
    picture = np.zeros((128, 128, 4), "u1")
    shade = (0.7 + 0.3 * x / 127)[..., None]
    picture[..., :3] = np.array(colour) * shade
    picture[(x - 50) ** 2 + (y - 50) ** 2 < 100, :3] = eye
    picture[..., 3] = ((x - 64) ** 2 + (y - 64) ** 2 < 55**2) * 255
    return picture


def as_image(pixels):
    return Image.fromarray(np.rint(pixels * 255).astype("u1"))


@pytest.mark.parametrize("own", [(220, 40, 42), (52, 112, 226), (235, 235, 235)])
@pytest.mark.parametrize("colour", COLOURS)
def test_a_drawing_takes_a_colour_and_keeps_its_eye_and_outline(own, colour):
    picture = disc(own)
    region = main_region(*split(picture))
    assert can_be_recoloured(region)
    made = recoloured(picture, region, COLOURS[colour])
    assert main_colour(as_image(laid_on(made, WHITE))) == colour
    assert np.array_equal(made[..., 3], picture[..., 3])
    assert np.abs(made[50, 50, :3].astype(int) - 20).max() <= 3
    light = made[64, 20:110, :3].mean(-1)
    assert light[-5:].mean() > light[:5].mean(), "shades are kept"


def test_a_drawing_of_many_colours_takes_none():
    picture = disc((200, 200, 200))
    hues = [(230, 40, 40), (40, 200, 60), (50, 80, 230), (240, 200, 40), (160, 60, 200)]
    for i, hue in enumerate(hues):
        picture[i * 26 : (i + 1) * 26, :, :3] = hue
    assert not can_be_recoloured(main_region(*split(picture)))


def test_a_background_fills_what_is_transparent():
    pixels = laid_on(disc((220, 40, 42)), (0, 0, 255))
    assert pixels[0, 0].tolist() == [0, 0, 1]
    assert pixels[64, 100, 0] > 0.6


def test_jitter_keeps_the_name():
    rng = np.random.default_rng(0)
    image = disc((235, 235, 235))
    for name, colour in GROUNDS.items():
        for _ in range(20):
            made = laid_on(image, jittered(colour, rng))
            assert str(colour_names(background(made))) == name


@pytest.mark.parametrize("right", [False, True])
def test_half_of_a_pair_keeps_to_its_side(right):
    pixels = beside(disc((220, 40, 42)), WHITE, right)
    empty = pixels[:, :64] if right else pixels[:, 64:]
    assert (empty == 1).all()
    full = pixels[:, 64:] if right else pixels[:, :64]
    assert (full[32:96] < 1).any()
    assert (full[:32] == 1).all()
