"""The model that ships behaves as large ones do: number formats, CFG, negative prompts."""

from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline
from judge.judge import Judge
from PIL import Image
from recorder import Studio

from studio.models.catalogue import Catalogue

THINGS = (
    "banana", "butterfly", "cactus", "carrot", "castle", "crown", "door", "guitar", "key", "lemon",
    "lion", "penguin", "rocket", "trophy", "umbrella", "whale",
)  # fmt: skip
RED = ("a tomato", "an apple", "a strawberry", "a rose", "a heart", "a fire truck")
FOLDER_MB = 60


@pytest.fixture(scope="module")
def folder() -> Path:
    return Catalogue(Path("/nonexistent")).get("").path


def likeness(studio: Studio, judge: Judge, cfg: float) -> float:
    """How much pictures of the things are like the nearest drawings of these, on average."""
    likenesses = []
    for thing in THINGS:
        made = studio.pixels(prompt=f"a {thing}", cfg_scale=cfg, steps=10)
        likenesses.append(dict(judge.rank(Image.fromarray(made)))[thing])
    return float(np.mean(likenesses))


@pytest.mark.slow
def test_recognition_rises_to_the_best_guidance_and_falls_beyond(
    studio: Studio, judge: Judge
) -> None:
    best = Catalogue(Path("/nonexistent")).get("").cfg_scale
    found = {cfg: likeness(studio, judge, cfg) for cfg in (1.0, best, 30.0)}
    assert found[best] > 0.7, found
    assert found[1.0] + 0.05 < found[best] > found[30.0] + 0.05, found


def test_a_negative_colour_removes_it(studio: Studio, judge: Judge) -> None:
    """Things that are red by themselves are so no more, and are pictures still."""
    left = []
    for prompt in RED:
        unwanted = prompt.replace(" ", " red ", 1)
        plain, other = (
            Image.fromarray(studio.pixels(prompt=prompt, negative_prompt=negative, steps=12))
            for negative in ("", unwanted)
        )
        assert judge.is_picture(other), prompt
        if judge.colour(plain) == "red":
            left.append(judge.colour(other) == "red")
    assert len(left) >= 3, "Too few of them are red to begin with."
    assert np.mean(left) <= 0.34, left


@pytest.mark.parametrize("dtype", [None, torch.float32, torch.bfloat16, torch.float16])
def test_the_folder_loads_in_every_number_format_without_a_word(
    folder: Path, judge: Judge, dtype: torch.dtype | None
) -> None:
    pipe = StableDiffusionPipeline.from_pretrained(folder, **({"dtype": dtype} if dtype else {}))
    kinds = {part.dtype for part in (pipe.unet, pipe.vae, pipe.text_encoder)}
    assert kinds == {dtype or torch.float32}
    pipe.set_progress_bar_config(disable=True)
    (image,) = pipe(
        "a red apple",
        num_inference_steps=8,
        guidance_scale=4,
        width=128,
        height=128,
        generator=torch.Generator().manual_seed(1),
    ).images
    assert judge.recognises(image, "apple"), judge.rank(image)[:3]
    assert judge.colour(image) == "red"


def test_the_folder_is_small(folder: Path) -> None:
    assert sum(p.stat().st_size for p in folder.rglob("*") if p.is_file()) <= FOLDER_MB * 1e6
