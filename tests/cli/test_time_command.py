"""The command that times a model, and the option that chooses a speed-up."""

import json

import pytest
from tiny_models import tiny_model

from studio.models.catalogue import Catalogue


@pytest.fixture
def flux(data, monkeypatch):
    monkeypatch.setenv("PATH", "")  # no compiler: it would take minutes
    monkeypatch.delenv("CXX", raising=False)
    tokenizer = Catalogue(data / "none").get("").path / "tokenizer"
    tiny_model("flux-schnell", data / "models" / "flux-schnell", tokenizer)


def test_it_prints_a_table(flux, atelier, data):
    size = ("--width", 64, "--height", 64)
    result = atelier("time", "flux-schnell", *size, "--steps", 4, "--rounds", 1)
    assert result.code == 0, result.err
    head, *lines = result.out.splitlines()
    assert head.startswith("flux-schnell, 64x64, batch of 1, 4 steps, on ")
    assert [line.partition("(")[0].strip()[:7] for line in lines[:3]] == [
        "Without",
        "First b",
        "TaylorS",
    ]
    assert (data / "cache" / "speeds.json").is_file()


def test_a_speed_up_can_be_chosen_and_is_kept_with_the_picture(flux, atelier, data):
    size = ("--width", 64, "--height", 64, "--steps", 2)
    common = ("generate", "a cat", "--model", "flux-schnell", *size)
    result = atelier(*common, "--speedup", "taylorseer")
    assert result.code == 0, result.err
    from PIL import Image

    with Image.open(result.out.strip()) as image:
        records = [json.loads(text) for text in image.text.values() if text.startswith("{")]
    assert records[0]["request"]["speedups"] == ["taylorseer"]
    refused = atelier(*common, "--speedup", "tensorrt").sentence()
    assert "torch_tensorrt" in refused
    assert "must be" in atelier(*common, "--speedup", "warp").sentence()
