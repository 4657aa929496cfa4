"""A masked apple becomes a blue car, in every way that a hole can be filled and put back."""

from itertools import product

import numpy as np
import pytest
from judge.judge import Judge
from PIL import Image
from recorder import Studio

from studio.diffusion.editing import masks
from studio.requests import Blend, MaskedContent

FEATHER = 4
KNOWN = (("a yellow star", "star"), ("a blue fish", "fish"), ("a pizza", "pizza"))
SHADES = {"red": {"red", "orange", "pink"}, "blue": {"blue"}, "green": {"green", "teal"}}
CASES = [(content, blend, seed) for content, blend, seed in product(MaskedContent, Blend, (1, 2))]


@pytest.fixture(scope="module")
def apples(studio: Studio) -> list[np.ndarray]:
    return [studio.pixels(prompt="a red apple", steps=20, seed=seed) for seed in (3, 8)]


def around(apple: np.ndarray) -> np.ndarray:
    """A mask of the apple and a little more, as a person paints it."""
    far = np.abs(apple.astype(int) - np.median(apple[:6], axis=(0, 1))).max(-1) > 40
    return masks.grown(np.where(far, 255, 0).astype("u1"), 14)


def edited(studio: Studio, apple: np.ndarray, prompt: str, case: tuple) -> np.ndarray:
    content, blend, seed = case
    fields = {"masked_content": content, "blend": blend, "seed": seed, "feather": FEATHER}
    made = studio.edit(apple, around(apple), prompt=prompt, strength=1, steps=20, **fields)
    return made.images[0]


@pytest.fixture(scope="module")
def replaced(studio: Studio, apples) -> list[tuple[np.ndarray, np.ndarray]]:
    """Source and result of each case."""
    sources = [apples[number % len(apples)] for number in range(len(CASES))]
    return [
        (apple, edited(studio, apple, "a blue car", case))
        for apple, case in zip(sources, CASES, strict=True)
    ]


def test_outside_every_pixel_is_the_sources(replaced):
    assert len(replaced) >= 30
    for apple, result in replaced:
        outside = masks.feathered(around(apple), FEATHER) == 0
        assert 0.05 < outside.mean() < 0.8
        assert np.array_equal(result[outside], apple[outside])


def test_inside_the_judge_sees_something_else_and_it_is_blue(replaced, judge: Judge):
    pictures = [Image.fromarray(result) for _, result in replaced]
    first = [judge.rank(picture)[0][0] for picture in pictures]
    blue = [judge.colour(picture) == "blue" for picture in pictures]
    assert np.mean([name == "apple" for name in first]) <= 0.05
    assert np.mean(blue) >= 0.9, np.mean(blue)


def test_what_is_asked_for_is_what_is_seen(studio, apples, judge: Judge):
    """With things that the model knows well, for how well it knows a car is not the edit's."""
    seen = []
    for number, case in enumerate(CASES):
        prompt, thing = KNOWN[number % len(KNOWN)]
        result = edited(studio, apples[0], prompt, case)
        seen.append(judge.recognises(Image.fromarray(result), thing))
    assert np.mean(seen) >= 0.9, np.mean(seen)


def test_a_painted_blob_gives_its_colour_to_what_is_drawn(studio, judge: Judge):
    """Sketch colour: the canvas's paint is the picture that is started from."""
    y, x = np.mgrid[:128, :128]
    blob = (x - 64) ** 2 + (y - 70) ** 2 < 40**2
    kept = 0
    for colour, name in (((220, 38, 38), "red"), ((37, 99, 235), "blue"), ((22, 163, 74), "green")):
        sketch = np.where(blob[..., None], colour, 255).astype("u1")
        for seed in (1, 2, 3):
            made = studio.edit(sketch, prompt="a balloon", strength=0.7, steps=20, seed=seed)
            kept += judge.colour(Image.fromarray(made.images[0])) in SHADES[name]
    assert kept >= 8, f"{kept} of 9"
