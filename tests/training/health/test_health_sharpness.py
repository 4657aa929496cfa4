"""Blur is told from calm, and in pixels."""

import numpy as np
import pytest
from drawn import face, noisy, portrait, resaved, scene, seen, sky, smeared, texture
from PIL import Image

from studio.training.health.finding import Kind, Severity
from studio.training.health.looks import blurred
from studio.training.health.seen import Sight
from studio.training.health.sharpness import BLURRED, radii, radius, radius_at

SHARP = {"scene": scene, "face": face, "texture": texture, "portrait": portrait, "sky": sky}


def grey(image: Image.Image) -> np.ndarray:
    return np.asarray(image.convert("L"))


@pytest.mark.parametrize("known", [1.0, 2.0, 3.0])
def test_a_radius_is_what_it_was_smeared_by(known):
    found = radius(grey(smeared(face(512), known)))
    assert found == pytest.approx(known, rel=0.1)


@pytest.mark.parametrize("draw", SHARP.values(), ids=SHARP)
def test_sharp_pictures_are_not_called_blurred(draw):
    for image in (draw(), noisy(draw()), resaved(draw())):
        found = radius(grey(image))
        assert found is not None
        assert found < 0.5 * BLURRED


@pytest.mark.parametrize("draw", [scene, face, portrait, sky, texture])
def test_blurred_pictures_are_found_even_with_noise(draw):
    assert radius(grey(smeared(draw(), 4))) > BLURRED
    assert radius(grey(noisy(smeared(draw(), 4), 2))) > BLURRED


def test_what_has_no_edge_is_not_judged():
    plain = Image.new("RGB", (256, 256), (200, 30, 40))
    slope = Image.fromarray(np.tile(np.linspace(0, 255, 512).astype("u1"), (512, 1)))
    assert radius(grey(plain)) is None
    assert radius(grey(slope)) is None
    assert blurred([seen(plain)], Sight(256)) == []


def test_it_is_measured_at_the_size_of_training():
    soft = smeared(scene(1024), 4)  # 4 pixels of 1024 are 1 of 256
    measured = radii(grey(soft))
    assert [size for size, _ in measured] == [64, 128, 256, 512, 1024]
    assert radius_at(measured, 1024) == pytest.approx(3.6, abs=0.5)
    assert radius_at(measured, 768) == pytest.approx(2.7, abs=0.4)
    assert radius_at(measured, 256) < 1.2
    assert blurred([seen(soft)], Sight(256)) == []
    (finding,) = blurred([seen(soft, "soft.png"), seen(scene(512), "sharp.png")], Sight(1024))
    assert (finding.kind, finding.severity) == (Kind.BLURRED, Severity.WARN)
    assert finding.pictures == ("soft.png",)
    assert "1024 pixels" in finding.sentence


def test_sizes_between_levels_and_of_long_pictures():
    assert [size for size, _ in radii(grey(scene(shape=(300, 100))))] == [64, 128, 173]
    assert radius_at((), 512) is None
    assert radius_at(((64, 1.0), (300, 3.0)), 512) == 3.0
