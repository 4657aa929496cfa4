"""Upscaling jobs on the embedded model: enlarged only, and redrawn tile by tile."""

import io
import json

import numpy as np
import pytest
from PIL import Image
from recorder import Studio

from studio.diffusion.metadata import files
from studio.diffusion.upscaling.enlarge import resample
from studio.errors import Cancelled, NotFound, RequestError
from studio.requests import UpscaleRequest


@pytest.fixture(scope="module")
def apple(studio: Studio) -> np.ndarray:
    """A picture of the embedded model's."""
    return studio.pixels(prompt="a red apple", steps=20, seed=3)


def test_without_strength_the_picture_is_just_larger_and_no_model_is_loaded(studio, apple):
    made = studio.upscale(apple, scale=2.5)
    assert np.array_equal(made.images[0], resample(apple, (320, 320)))
    (picture,) = made.pictures
    assert (picture.width, picture.height, picture.model) == (320, 320, "lanczos")
    assert "Postprocess upscale by: 2.5, Postprocess upscaler: lanczos" in picture.infotext
    assert "Steps" not in picture.infotext
    assert (
        "diffusers"
        not in json.loads(Image.open(io.BytesIO(picture.data)).text["atelier"])["versions"]
    )


def test_in_a_single_tile_it_is_image_to_image(studio, apple):
    wide = resample(apple, (256, 256))
    shared = {"prompt": "a red apple", "strength": 0.5, "seed": 5, "sampler": "Euler a"}
    edited = studio.edit(wide, steps=8, **shared).images[0]
    redrawn = studio.upscale(apple, scale=2, tile=256, steps=8, **shared).images[0]
    assert np.array_equal(edited, redrawn)


def test_tiles_keep_the_picture_at_a_low_strength_and_leave_no_seams(studio, apple):
    wide = resample(apple, (256, 256)).astype(int)
    made = studio.upscale(apple, scale=2, prompt="a red apple", strength=0.2, steps=10)
    redrawn = made.images[0].astype(int)
    assert 0 < np.abs(redrawn - wide).mean() < 12
    # Columns where a window begins or ends change no more from one to the next than others do.
    steps = np.abs(np.diff(redrawn, axis=1) - np.diff(wide, axis=1)).mean((0, 2))
    edges = steps[[63, 127, 191]].mean()
    assert edges < 2 * steps.mean()


@pytest.mark.parametrize("size", [(100, 61), (129, 64), (300, 40), (1, 1)])
def test_any_size_comes_back_exactly_as_large_as_asked(studio, size):
    pixels = np.random.default_rng(3).integers(0, 256, (size[1], size[0], 3), dtype="u1")
    made = studio.upscale(pixels, scale=1.5, strength=0.3, steps=3, tile=64, overlap=0.25)
    height, width = made.images[0].shape[:2]
    assert (width, height) == (max(1, round(size[0] * 1.5)), max(1, round(size[1] * 1.5)))


def test_progress_counts_tiles_and_passes_to_the_end(studio, apple, monkeypatch):
    monkeypatch.setattr("studio.diffusion.upscaling.upscale._TOLD_EVERY", 0)
    made = studio.upscale(apple, scale=2, strength=0.5, steps=4, preview_every=1)
    told = [event for event in made.progress if event.items > 1]
    assert {(event.unit, event.label, event.steps) for event in told} == {("tile", "pass", 9)}
    assert [event.item for event in told] == [i for i in range(1, 5) for _ in range(9)]
    assert told[-1].fraction == 1
    assert told[-1].seconds_left == 0
    assert len(made.previews) == 1


def test_a_wish_to_stop_is_seen_within_a_tile(studio, apple):
    seen = []

    def stop():
        seen.append(1)
        if len(seen) == 15:
            raise Cancelled

    with pytest.raises(Cancelled):
        studio.upscale(apple, stop, scale=2, strength=0.5, steps=4)
    assert len(seen) == 15


def test_a_picture_restores_its_settings_and_makes_itself_again(studio, apple, tmp_path):
    asked = {"prompt": "a pear, ripe", "strength": 0.4, "tile": 64, "overlap": 0.1, "steps": 3}
    made = studio.upscale(apple, scale=1.5, seed=11, **asked)
    path = tmp_path / "out.png"
    path.write_bytes(made.pictures[0].data)
    imported = files.read(path)
    assert imported.request is UpscaleRequest
    assert not imported.notes
    for name, value in (*asked.items(), ("seed", 11), ("scale", 1.5)):
        assert imported.fields[name] == value
    again = studio.upscale(
        apple, **{k: v for k, v in imported.fields.items() if k not in ("kind", "source")}
    )
    assert np.array_equal(again.images[0], made.images[0])


@pytest.mark.parametrize(
    ("fields", "field", "words"),
    [
        ({"upscaler": "waifu"}, "upscaler", "'waifu' is not installed"),
        ({"strength": 0.3, "tile": 100}, "tile", "the nearest is 96"),
        ({"strength": 0.3, "tile": 32}, "tile", "at least 64 pixels"),
        ({"strength": 0.3, "prompt": "(x:99999)"}, "prompt", "99999"),
    ],
)
def test_what_cannot_be_done_is_refused_before_the_queue(studio, apple, fields, field, words):
    with pytest.raises(RequestError, match=words) as refused:
        studio.upscale(apple, **fields)
    assert refused.value.field == field


def test_a_result_too_large_to_be_opened_again_is_refused(studio):
    broad = np.zeros((1300, 1300, 3), "u1")
    with pytest.raises(RequestError, match="10,400x10,400, but at most 100 million"):
        studio.upscale(broad, scale=8)
    with pytest.raises(RequestError, match="16,384 a side"):
        studio.upscale(np.zeros((2, 3000, 3), "u1"), scale=8)


def test_a_source_that_is_not_here_is_refused(studio):
    queue = studio.services.queue
    with pytest.raises(RequestError, match="no picture to enlarge"):
        queue.submit(UpscaleRequest())
    with pytest.raises(NotFound, match="send the picture again"):
        queue.submit(UpscaleRequest(source="0" * 64))
