"""`atelier edit`: what it changes, what it leaves, and what it refuses."""

import numpy as np
import pytest
from PIL import Image

from studio.diffusion.metadata import files


def test_a_masked_part_of_a_picture_is_changed_and_the_rest_is_not(atelier, data, tmp_path):
    pixels = np.random.default_rng(2).integers(0, 256, (100, 130, 3), dtype="u1")
    Image.fromarray(pixels).save(tmp_path / "in.png")
    mask = np.zeros((100, 130), "u1")
    mask[30:60, 40:90] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    made = atelier(
        *("edit", "in.png", "--mask", "mask.png", "--prompt", "a blue car", "--strength", 0.8),
        *("--feather", 8, "--steps", 3, "--seed", 3, "-o", "out.png"),
    )
    assert made.code == 0, made.err
    assert made.out.splitlines() == ["out.png"]
    changed = np.asarray(Image.open(tmp_path / "out.png"))
    outside = np.ones((100, 130), bool)
    outside[21:69, 31:99] = False
    assert np.array_equal(changed[outside], pixels[outside])
    assert not np.array_equal(changed, pixels)
    [kept] = (data / "outputs").rglob("*.mask.png")
    assert np.array_equal(np.asarray(Image.open(kept).convert("L")), mask)
    fields = files.read(tmp_path / "out.png").fields
    assert (fields["strength"], fields["feather"]) == (0.8, 8)


def test_new_ground_is_added_and_the_person_is_told_what_was_changed(atelier, tmp_path):
    Image.new("RGBA", (64, 64), (9, 9, 9, 0)).save(tmp_path / "in.png")
    made = atelier(
        *("edit", "in.png", "--extend", "left=32", "--extend", "top=8", "--steps", 1),
        *("--prompt", "a beach", "-o", "wide.jpg"),
    )
    assert made.code == 0, made.err
    assert "put on white" in made.err
    with Image.open(tmp_path / "wide.jpg") as wide:
        assert wide.size == (96, 72)


def test_a_folder_gives_one_result_for_each_picture(atelier, tmp_path):
    folder, target = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    target.mkdir()
    for name, colour in (("a.png", "red"), ("b.jpg", "blue")):
        Image.new("RGB", (64, 64), colour).save(folder / name)
    (folder / "broken.png").write_text("hello")
    (folder / "notes.txt").write_text("hello")
    made = atelier("edit", folder, "--prompt", "a cat", "--steps", 1, "-o", target)
    assert made.code == 1
    assert made.err.splitlines()[-2].startswith("broken.png: ")
    assert "1 of 3 pictures" in made.err
    assert sorted(path.name for path in target.iterdir()) == ["a.png", "b.png"]
    assert made.out.splitlines() == [str(target / "a.png"), str(target / "b.png")]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["missing.png"], "missing.png"),
        (["in.png", "--extend", "left"], "left=128"),
        (["in.png", "--extend", "up=3"], "left=128"),
        (["in.png", "--extend", "left=9999"], "Extend left"),
        (["in.png", "--strength", "2"], "Strength"),
        (["in.png", "--blend", "glue"], "Blend"),
        (["in.png", "--mask", "empty.png"], "nothing to change"),
        (["in.png", "--mask", "text.png"], "text.png is no picture"),
        (["in.png", "--mask", "wide.png"], "90x30"),
        (["text.png"], "text.png is no picture"),
        (["empty"], "holds no pictures"),
        ([".", "-o", "file.png"], "must be a folder"),
    ],
)
def test_an_edit_that_cannot_be_done_is_refused_in_one_sentence(
    atelier, tmp_path, arguments, words
):
    Image.new("RGB", (64, 64), "red").save(tmp_path / "in.png")
    Image.new("L", (64, 64), 0).save(tmp_path / "empty.png")
    Image.new("L", (90, 30), 255).save(tmp_path / "wide.png")
    (tmp_path / "text.png").write_text("hello")
    (tmp_path / "empty").mkdir()
    assert words in atelier("edit", *arguments).sentence()
