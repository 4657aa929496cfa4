"""Models made for inpainting: nine channels, of which five tell of the hole."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from recorder import Studio, clean_environment
from safetensors.torch import load_file, save_file

from studio.services import build_services
from studio.settings import Settings

WEIGHTS = "unet/diffusion_pytorch_model.safetensors"


@pytest.fixture(scope="module")
def nine(tmp_path_factory: pytest.TempPathFactory, studio: Studio) -> Iterator[Studio]:
    """The embedded model with five more channels that weigh nothing ("silent") or something."""
    folder = tmp_path_factory.mktemp("nine")
    source = studio.services.catalogue.get("").path
    for name, weight in (("silent", 0.0), ("listening", 0.2)):
        target = folder / "models" / name
        shutil.copytree(source, target)
        _widen(target, weight)
    with pytest.MonkeyPatch.context() as patch:
        clean_environment(patch)
        built = build_services(Settings(data_dir=folder, device="cpu", dtype="float32"))
    yield Studio(built)
    built.stop()


def _widen(folder: Path, weight: float) -> None:
    index = json.loads((folder / "model_index.json").read_text())
    index["_class_name"] = "StableDiffusionInpaintPipeline"
    (folder / "model_index.json").write_text(json.dumps(index))
    config = json.loads((folder / "unet" / "config.json").read_text())
    (folder / "unet" / "config.json").write_text(json.dumps({**config, "in_channels": 9}))
    tensors = load_file(folder / WEIGHTS)
    narrow = tensors["conv_in.weight"]
    wide = torch.zeros(len(narrow), 9, 3, 3, dtype=narrow.dtype)
    wide[:, :4] = narrow
    wide[:, 4:] = weight * torch.randn(len(narrow), 5, 3, 3, generator=torch.manual_seed(0))
    tensors["conv_in.weight"] = wide
    save_file(tensors, folder / WEIGHTS, {"format": "pt"})


@pytest.fixture(scope="module")
def mask() -> np.ndarray:
    mask = np.zeros((128, 128), "u1")
    mask[32:96, 32:96] = 255
    return mask


@pytest.fixture(scope="module")
def source() -> np.ndarray:
    return np.random.default_rng(5).integers(0, 256, (128, 128, 3), dtype="u1")


def test_channels_that_weigh_nothing_change_nothing(studio, nine, source, mask):
    """All else is the same way through, so the pictures are the same to the last bit."""
    asked = {"prompt": "a blue car", "steps": 3}
    plain = studio.edit(source, mask, **asked).images[0]
    assert np.array_equal(nine.edit(source, mask, model="silent", **asked).images[0], plain)
    drawn = studio.pixels(**asked)
    assert np.array_equal(nine.pixels(model="silent", **asked), drawn)


def test_the_hole_and_what_is_around_it_reach_the_model(nine, source, mask):
    asked = {"prompt": "a blue car", "steps": 3, "strength": 1, "model": "listening"}
    inside = mask > 0
    first = nine.edit(source, mask, **asked).images[0]

    def moved(changed: np.ndarray) -> float:
        result = nine.edit(changed, mask, **asked).images[0]
        return float(np.abs(result.astype(int) - first)[inside].mean())

    # What was in the hole hardly counts (latents at its edge know a little of it); what is around
    # the hole does.
    within = moved(np.where(inside[..., None], 255 - source, source))
    around = moved(np.where(inside[..., None], source, 255 - source))
    assert around > 3 * within
    smaller = np.zeros_like(mask)
    smaller[40:88, 40:88] = 255
    other = nine.edit(source, smaller, **asked).images[0]
    assert not np.array_equal(other[smaller > 0], first[smaller > 0])


def test_a_picture_can_be_drawn_without_a_source(nine):
    assert nine.pixels(prompt="a red apple", model="listening", steps=2).shape == (128, 128, 3)
