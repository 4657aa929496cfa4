"""`atelier upscale` and the second pass of `atelier generate`."""

import numpy as np
import pytest
import upscaler_files
from PIL import Image

from studio.diffusion.metadata import files


@pytest.fixture
def small(tmp_path):
    pixels = np.random.default_rng(2).integers(0, 256, (50, 70, 3), dtype="u1")
    Image.fromarray(pixels).save(tmp_path / "in.png")
    return pixels


def test_a_picture_is_enlarged_by_a_model_of_the_data_folder(atelier, data, small, tmp_path):
    upscaler_files.nearest(data / "models" / "upscalers" / "repeat.safetensors")
    made = atelier(*("upscale", "in.png", "--scale", 2, "--upscaler", "repeat", "-o", "out.png"))
    assert made.code == 0, made.err
    assert made.out.splitlines() == ["out.png"]
    large = np.asarray(Image.open(tmp_path / "out.png"))
    assert np.array_equal(large, small.repeat(2, 0).repeat(2, 1))
    assert files.read(tmp_path / "out.png").fields["upscaler"] == "repeat"
    listed = atelier("models")
    assert "repeat" in listed.out


def test_it_is_redrawn_in_tiles(atelier, small, tmp_path):
    made = atelier(
        *("upscale", "in.png", "--scale", 2, "--strength", 0.3, "--steps", 3, "--tile", 64),
        *("--prompt", "a green leaf", "--seed", 5, "-o", "out.png"),
    )
    assert made.code == 0, made.err
    with Image.open(tmp_path / "out.png") as image:
        assert image.size == (140, 100)
    assert files.read(tmp_path / "out.png").fields["tile"] == 64


def test_a_folder_gives_one_result_for_each_picture(atelier, small, tmp_path):
    target = tmp_path / "out"
    folder = tmp_path / "in"
    for made in (target, folder):
        made.mkdir()
    for name in ("a.png", "b.jpg"):
        Image.new("RGB", (20, 10), "red").save(folder / name)
    made = atelier("upscale", folder, "--scale", 3, "-o", target)
    assert made.code == 0, made.err
    assert sorted(path.name for path in target.iterdir()) == ["a.png", "b.png"]
    for path in target.iterdir():
        with Image.open(path) as image:
            assert image.size == (60, 30)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--scale", 9), "less than or equal to 8"),
        (("--upscaler", "waifu"), "'waifu' is not installed"),
        (("--strength", 0.3, "--tile", 65), "Tile is 65"),
    ],
)
def test_what_cannot_be_done_is_told_in_one_sentence(atelier, small, options, words):
    made = atelier("upscale", "in.png", *options)
    assert made.code == 1
    assert words in made.err
    assert "Traceback" not in made.err


def test_a_picture_is_made_with_a_second_pass(atelier, tmp_path):
    made = atelier(
        *("generate", "a red apple", "--steps", 2, "--hires", 1.5, "--hires-upscaler", "lanczos"),
        *("--hires-strength", 0.5, "--hires-steps", 2, "-o", "out.png"),
    )
    assert made.code == 0, made.err
    with Image.open(tmp_path / "out.png") as image:
        assert image.size == (192, 192)
