"""What the tests of the embedded model's stages share."""

import shutil
from pathlib import Path

import pytest
import torch
from simple_drawings import TINY, draw_art

from training.embedded import vae as vae_stage
from training.embedded.export import tokenizer_folder
from training.embedded.latents import encode
from training.embedded.painter import Words
from training.embedded.tokenizer import learn
from training.embedded.vae import build


@pytest.fixture
def workshop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh workshop that holds nothing but art."""
    monkeypatch.setenv("EMBEDDED_WORKSHOP", str(tmp_path))
    draw_art(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def made_once(tmp_path_factory):
    """A workshop with a VAE of random weights, latents and a tokenizer, which tests copy."""
    folder = tmp_path_factory.mktemp("workshop")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EMBEDDED_WORKSHOP", str(folder))
        patch.setitem(vae_stage.CONFIG, "block_out_channels", (8, 8, 8, 8))
        draw_art(folder)
        torch.manual_seed(0)
        build(None).save_pretrained(folder / "vae")
        encode()
        learn(600, 300)
    return folder


@pytest.fixture
def ready(made_once, tmp_path, monkeypatch):
    """A copy of that workshop."""
    shutil.copytree(made_once, tmp_path, dirs_exist_ok=True)
    monkeypatch.setenv("EMBEDDED_WORKSHOP", str(tmp_path))
    return tmp_path


@pytest.fixture
def words(ready):
    return Words(tokenizer_folder(TINY))
