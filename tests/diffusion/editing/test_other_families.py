"""Edits, second passes and tiles on Stable Diffusion XL's pipeline, tiny and of random weights."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from recorder import Studio, clean_environment
from tiny_models import tiny_xl

from studio.diffusion.editing import masks
from studio.models.catalogue import Catalogue
from studio.services import build_services
from studio.settings import Settings

ASKED = {"model": "tiny-xl", "prompt": "a blue car", "steps": 4, "cfg_scale": 3}


@pytest.fixture(scope="module")
def xl(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    folder = tmp_path_factory.mktemp("xl")
    tokenizer = Catalogue(Path("/nonexistent")).get("").folder / "tokenizer"
    tiny_xl(folder / "models" / "tiny-xl", tokenizer)
    with pytest.MonkeyPatch.context() as patch:
        clean_environment(patch)
        built = build_services(Settings(data_dir=folder, device="cpu", dtype="float32"))
    yield Studio(built)
    built.stop()


@pytest.fixture(scope="module")
def source() -> np.ndarray:
    return np.random.default_rng(5).integers(0, 256, (64, 96, 3), dtype="u1")


def test_a_strength_of_nothing_returns_the_source_and_others_change_it(xl, source):
    """How far says nothing here: an untrained autoencoder gives noise back whatever it is given."""
    none, half, full = (
        xl.edit(source, strength=strength, **ASKED).images[0] for strength in (0, 0.5, 1)
    )
    assert np.array_equal(none, source)
    assert not np.array_equal(half, source)
    assert not np.array_equal(half, full)


def test_outside_the_feather_nothing_changes(xl, source):
    mask = np.zeros((64, 96), "u1")
    mask[16:48, 30:70] = 255
    made = xl.edit(source, mask, strength=0.8, feather=6, **ASKED).images[0]
    outside = masks.feathered(mask, 6) == 0
    assert np.array_equal(made[outside], source[outside])
    assert not np.array_equal(made, source)


def test_new_ground_is_painted(xl, source):
    made = xl.edit(source, extend_right=32, strength=1, **ASKED).images[0]
    assert made.shape == (64, 128, 3)
    assert np.array_equal(made[:, :80], source[:, :80])


@pytest.mark.parametrize("upscaler", ["latent", "lanczos"])
def test_each_pass_is_told_its_own_size(xl, upscaler):
    told = []

    def look(_unet, _args, fields) -> None:
        told.append(fields["added_cond_kwargs"]["time_ids"][0, :2].tolist())

    with xl.borrow("tiny-xl") as pipe:
        hook = pipe.unet.register_forward_pre_hook(look, with_kwargs=True)
        try:
            large = xl.pixels(
                **ASKED, width=64, height=96, hires_scale=1.5, hires_upscaler=upscaler
            )
        finally:
            hook.remove()
    assert large.shape == (144, 96, 3)
    assert told[0] == [96, 64]
    assert told[-1] == [144, 96]


def test_it_is_redrawn_in_tiles(xl, source):
    made = xl.upscale(source, scale=2, strength=0.5, tile=64, **ASKED).images[0]
    whole = xl.upscale(source, scale=2, strength=0, upscaler="lanczos").images[0]
    assert made.shape == whole.shape == (128, 192, 3)
    assert np.abs(made.astype(int) - whole).mean() > 1
