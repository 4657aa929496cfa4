"""Pixels to more pixels: resampling, and real upscaling models through spandrel."""

import numpy as np
import pytest
import torch
import upscaler_files
from recorder import Recorder, Studio
from safetensors.torch import save_file

from studio.context import ModelSpec, Signal
from studio.diffusion.upscaling import enlarge as enlarging
from studio.diffusion.upscaling.choices import RESAMPLING
from studio.diffusion.upscaling.enlarge import by_model, enlarge, resample, sizes_by_model
from studio.errors import Cancelled, ModelError, RequestError


@pytest.fixture
def shelf(studio: Studio):
    """The folder of upscaling models, empty again afterwards."""
    folder = studio.services.settings.data_dir / "models" / "upscalers"
    folder.mkdir(parents=True, exist_ok=True)
    yield folder
    for path in folder.iterdir():
        studio.services.engine.models.unload("upscaler", path.stem)
        path.unlink()


@pytest.fixture
def picture() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (70, 90, 3), dtype="u1")


def test_resampling_keeps_what_is_flat_and_nearest_repeats_pixels(picture):
    flat = np.full((20, 30, 3), 77, "u1")
    for name in RESAMPLING:
        assert (resample(flat, (75, 50), name) == 77).all()
    assert np.array_equal(
        resample(picture, (180, 140), "nearest"), picture.repeat(2, 0).repeat(2, 1)
    )
    assert resample(picture, (90, 70)) is picture


@pytest.mark.parametrize("tile", [16, 37, 1000])
def test_a_model_in_tiles_gives_every_pixel_its_place(studio, shelf, picture, tile, monkeypatch):
    upscaler_files.nearest(shelf / "repeat.safetensors", scale=2)
    monkeypatch.setattr(enlarging, "MODEL_TILE", tile)
    monkeypatch.setattr(enlarging, "MODEL_OVERLAP", 8)
    made = enlarge(picture, (180, 140), "repeat", Recorder(studio.services))
    assert np.array_equal(made, picture.repeat(2, 0).repeat(2, 1))


def test_tiles_of_an_esrgan_hardly_differ_from_the_whole(studio, shelf, monkeypatch):
    upscaler_files.esrgan(shelf / "random.safetensors")
    smooth = resample(np.random.default_rng(1).integers(0, 256, (9, 9, 3), dtype="u1"), (96, 96))
    with studio.services.engine.models.borrow(ModelSpec("upscaler", "random")) as model:
        assert (model.scale, model.architecture.name) == (4, "ESRGAN")
        whole = by_model(model, smooth, (384, 384))
        monkeypatch.setattr(enlarging, "MODEL_TILE", 48)
        tiled = by_model(model, smooth, (384, 384))
    assert whole.std() > 0
    assert np.abs(whole.astype(int) - tiled).max() <= 2


def test_a_model_runs_again_until_the_size_is_reached_and_is_brought_to_it(studio, shelf, picture):
    upscaler_files.nearest(shelf / "twice.safetensors", scale=2)
    with studio.services.engine.models.borrow(ModelSpec("upscaler", "twice")) as model:
        assert sizes_by_model(model, (10, 10), (15, 15)) == [(15, 15)]
        assert sizes_by_model(model, (10, 10), (60, 60)) == [(20, 20), (40, 40), (60, 60)]
        assert len(sizes_by_model(model, (10, 10), (500, 500))) == 3
    told: list[tuple[int, int]] = []
    context = Recorder(studio.services)
    made = enlarge(picture, (270, 210), "twice", context, lambda *done: told.append(done))
    assert made.shape == (210, 270, 3)
    assert told == [(1, 2), (2, 2)]
    expected = picture.repeat(3, 0).repeat(3, 1).astype(int)
    assert np.abs(made - expected).mean() < 25  # an average of noise, in the right place


def test_a_wish_to_stop_is_seen_at_the_next_tile(studio, shelf, picture, monkeypatch):
    upscaler_files.nearest(shelf / "repeat.safetensors")
    monkeypatch.setattr(enlarging, "MODEL_TILE", 16)
    monkeypatch.setattr(enlarging, "MODEL_OVERLAP", 4)
    seen = []

    def stop(done, count):
        seen.append((done, count))
        if done == 3:
            raise Cancelled

    with pytest.raises(Cancelled):
        enlarge(picture, (180, 140), "repeat", Recorder(studio.services), stop)
    assert [done for done, _ in seen] == [1, 2, 3]
    assert seen[0][1] > 3


def test_a_batch_is_left_out_while_a_model_works_before_its_second_pass(studio, shelf):
    upscaler_files.nearest(shelf / "repeat.safetensors")
    asked = []

    def skip() -> Signal:
        asked.append(1)
        return Signal.SKIP if len(asked) == 5 else Signal.GO_ON  # after the start and three steps

    made = studio.make(
        skip,
        prompt="a red apple",
        seed=3,
        steps=3,
        hires_scale=1.5,
        hires_upscaler="repeat",
        batch_count=2,
    )
    assert [picture.seed for picture in made.pictures] == [4]
    assert made.progress[-1].seconds_left == pytest.approx(0, abs=1e-6)


def test_files_that_are_no_such_model_are_refused_in_one_sentence(studio, shelf, picture):
    (shelf / "evil.pth").write_bytes(b"\x80\x04.")
    (shelf / "torn.safetensors").write_bytes(b"hello")
    save_file({"a": torch.zeros(3)}, shelf / "other.safetensors")
    for name, words in (
        ("evil", "is a pickle, which can run any code"),
        ("nowhere", "'nowhere' is not installed. There are: lanczos"),
        ("../../etc/passwd", "is not installed"),
    ):
        with pytest.raises(RequestError, match=words) as refused:
            studio.upscale(picture, upscaler=name)
        assert refused.value.field == "upscaler"
    for name, words in (
        ("torn", "torn.safetensors could not be loaded"),
        ("other", "no upscaling model that spandrel knows"),
    ):
        with pytest.raises(ModelError, match=words):
            studio.upscale(picture, upscaler=name)
    assert not studio.services.engine.models.unload("upscaler", "torn")
