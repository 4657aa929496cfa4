"""The judge is measured on references that it was not shown, and on noise."""

import numpy as np
import pytest
from PIL import Image, ImageFilter

from judge.calibrate import round_trip
from judge.fit import (
    References,
    accuracy,
    both_ways,
    confusions,
    described,
    false_acceptance,
    held_back,
    mirrored,
    on_background,
    recoloured,
    references,
    softened,
)
from judge.judge import Judge
from studio.training.watching.embedded_judge.picture import halves

MARGIN = 0.025  # below the accuracy in the docstring of judge.judge
SOFT_STYLE = 0.9
HUES = {
    "red": 0,
    "orange": 27,
    "yellow": 52,
    "green": 120,
    "teal": 178,
    "blue": 220,
    "purple": 275,
    "pink": 325,
}
VIVID = ("balloon", "butterfly", "dress", "heart", "star", "umbrella", "whale", "t-shirt")


@pytest.fixture(scope="module")
def pictures() -> References:
    return references()


@pytest.fixture(scope="module")
def judge() -> Judge:
    return Judge.load()


@pytest.fixture(scope="module")
def learned(pictures: References) -> np.ndarray:
    return described(pictures.images)


@pytest.fixture(scope="module")
def rankings(pictures: References, learned: np.ndarray) -> list[tuple[str, list[str]]]:
    mirror_images = described([mirrored(image) for image in pictures.images])
    return held_back(pictures, learned, np.stack([learned, mirror_images], axis=1))


def noise(kind: str, radius: float, rng: np.random.Generator) -> Image.Image:
    """Noise of full contrast, blurred by a radius in pixels."""
    values = rng.normal(size=(160, 160, 1 if kind == "grey" else 3))
    image = Image.fromarray(
        np.uint8(np.clip(values.repeat(3 // values.shape[2], 2) * 50 + 128, 0, 255))
    )
    blurred = np.asarray(image.filter(ImageFilter.GaussianBlur(radius)), float)[16:144, 16:144]
    blurred = 128 + (blurred - blurred.mean()) / blurred.std() * 60
    if kind == "confetti":
        blurred = np.where(blurred > 160, 255, 40)
    return Image.fromarray(np.uint8(np.clip(blurred, 0, 255)))


def test_things_of_an_unseen_set_are_named(rankings):
    found = accuracy(rankings)
    assert found[1] > 0.769 - MARGIN
    assert found[3] > 0.868 - MARGIN
    assert found[5] > 0.900 - MARGIN


def test_other_things_are_rarely_accepted(rankings):
    assert false_acceptance(rankings, 1) < 0.001
    assert false_acceptance(rankings, 3) < 0.01
    (_, most), *_ = confusions(rankings, 1).most_common(1)
    assert most <= 5, "one thing is taken for another in most sets"


def test_colour_does_not_hide_the_thing(pictures, learned):
    rng = np.random.default_rng(1)
    images = list(pictures.images)
    asked = np.isin(pictures.families, ("noto", "twemoji"))
    for i in np.flatnonzero(asked):
        images[i] = recoloured(images[i], rng.uniform(0.15, 0.85))
    queries = np.zeros((len(images), 2, learned.shape[-1]), "f4")
    queries[asked] = both_ways([images[i] for i in np.flatnonzero(asked)])
    rankings = held_back(pictures, learned, queries, families=("noto", "twemoji"))
    assert len(rankings) == 716
    assert accuracy(rankings)[1] > 0.68
    assert accuracy(rankings)[3] > 0.8


def test_the_stored_judge_is_that_of_the_references(judge, pictures, learned):
    np.testing.assert_allclose(judge.mean, learned.mean(0), atol=2e-3)
    assert judge.things.tolist() == pictures.things.tolist()
    assert judge.styles.tolist() == pictures.styles.tolist()


@pytest.mark.parametrize("radius", [0, 0.5, 1.0, 1.6])
def test_a_softened_reference_is_of_its_own_style(judge, pictures, radius):
    right = [
        judge.style(softened(pictures.images[i], radius), pictures.things[i]) == pictures.styles[i]
        for i in range(0, len(pictures.images), 23)
    ]
    assert np.mean(right) > SOFT_STYLE


def test_an_autoencoder_does_not_change_the_style_of_a_drawing(judge, pictures):
    trip = round_trip()
    for style in np.unique(pictures.styles):
        own = np.flatnonzero(pictures.styles == style)[::30]
        named = [judge.style(trip(pictures.images[i]), pictures.things[i]) for i in own]
        assert named.count(style) > 0.7 * len(own), style


def test_halves_of_a_pair_are_judged_apart(judge, pictures):
    canvas = Image.new("RGB", (128, 128), (70, 120, 160))
    asked = ("banana", "umbrella")
    for place, thing in enumerate(asked):
        image = pictures.images[np.flatnonzero(pictures.things == thing)[2]]
        small = on_background(image, (70, 120, 160)).resize((64, 64))
        canvas.paste(small, (64 * place, 32))
    assert [judge.rank(half)[0][0] for half in halves(canvas)] == list(asked)


def test_a_reference_is_its_own_nearest(judge, pictures):
    for i in range(0, len(pictures.images), 47):
        image = pictures.images[i]
        assert judge.rank(image)[0] == (pictures.things[i], pytest.approx(1, abs=1e-3))
        assert judge.rank(mirrored(image))[0][0] == pictures.things[i]
        enlarged = on_background(image, (70, 120, 160)).resize((320, 320))
        assert judge.recognises(enlarged, pictures.things[i], top=3)


def test_the_ranking_holds_every_thing_once_in_order(judge, pictures):
    ranking = judge.rank(pictures.images[0])
    assert len(ranking) == len({thing for thing, _ in ranking}) == 358
    scores = [score for _, score in ranking]
    assert scores == sorted(scores, reverse=True)
    assert -1 <= scores[-1] <= scores[0] <= 1.001


def test_an_unknown_thing_is_refused(judge, pictures):
    with pytest.raises(ValueError, match="no reference shows 'a unicorn'"):
        judge.recognises(pictures.images[0], "a unicorn")


def test_references_are_pictures(judge, pictures):
    assert all(judge.is_picture(image) for image in pictures.images[::14])
    assert all(judge.is_picture(on_background(i, (40, 90, 200))) for i in pictures.images[::170])


@pytest.mark.parametrize(
    ("kind", "radius"),
    [(kind, radius) for kind in ("grey", "coloured") for radius in (0, 1, 2, 4, 7)]
    + [("confetti", radius) for radius in (0, 1, 2, 4)],
)
def test_noise_is_no_picture(judge, kind, radius):
    rng = np.random.default_rng(radius)
    images = [noise(kind, radius, rng) for _ in range(10)]
    assert not any(judge.is_picture(image) for image in images)
    assert not judge.recognises(images[0], judge.rank(images[0])[0][0])


@pytest.mark.parametrize("colour", ["white", "black", "grey", "orange"])
def test_blank_and_faint_images_are_no_pictures(judge, pictures, colour):
    blank = Image.new("RGB", (128, 128), colour)
    assert not judge.is_picture(blank)
    assert judge.colour(blank) is None
    assert judge.rank(blank)
    assert not judge.is_picture(Image.blend(blank, pictures.images[3], 0.1))


def test_transparent_parts_count_as_white(judge, pictures):
    image = pictures.images[8]
    alpha = Image.fromarray(np.uint8((np.asarray(image).min(-1) < 250) * 255))
    cut_out = image.copy()
    cut_out.putalpha(alpha)
    assert judge.rank(cut_out)[0][0] == pictures.things[8]


def test_colours_of_recoloured_references_are_named(judge, pictures):
    right = {name: [] for name in HUES}
    for i in np.flatnonzero(np.isin(pictures.things, VIVID)):
        hsv = np.array(pictures.images[i].convert("HSV"))
        for name, degrees in HUES.items():
            hsv[..., 0] = round(degrees / 360 * 255)
            channels = [Image.fromarray(hsv[..., channel]) for channel in range(3)]
            image = Image.merge("HSV", channels).convert("RGB")
            right[name].append(judge.colour(image) == name)
    shares = {name: np.mean(values) for name, values in right.items()}
    assert np.mean(list(shares.values())) > 0.95
    assert min(shares.values()) > 0.75, shares  # a dark orange is brown


@pytest.mark.parametrize(
    ("thing", "colour"),
    [
        ("lemon", "yellow"),
        ("tomato", "red"),
        ("basketball", "orange"),
        ("whale", "blue"),
        ("bear", "brown"),
        ("cloud", "white"),
        ("pig face", "pink"),
        ("eggplant", "purple"),
    ],
)
def test_most_references_have_the_colour_that_people_name(judge, pictures, thing, colour):
    chosen = np.flatnonzero(pictures.things == thing)
    named = [judge.colour(pictures.images[i]) for i in chosen]
    assert named.count(colour) > len(named) / 2


def test_black_and_grey_are_named(judge):
    for colour, name in (((20, 20, 20), "black"), ((130, 130, 130), "grey")):
        image = Image.new("RGB", (128, 128), "white")
        image.paste(colour, (30, 30, 100, 90))
        assert judge.colour(image) == name
