"""Weight files in the models folder that are damaged, of other kinds, or no models at all."""

import json
import struct
from pathlib import Path
from typing import Any

import pytest
import torch
from loading import CPU, catalogue_of, loader, problem
from original_files import single_file, tiny_pipeline
from original_names import NAMES
from safetensors.torch import load_file, save_file

from studio.errors import ModelError
from studio.models.diffusion_loader import DiffusionLoader


@pytest.fixture(scope="module")
def schnell(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole model in one file."""
    path = tmp_path_factory.mktemp("whole") / "flux-schnell.safetensors"
    single_file(tiny_pipeline("flux-schnell"), path)
    return path


def test_two_files_of_one_name_are_two_models(models: Path, schnell: Path) -> None:
    source = schnell
    for place in ("a", "b"):
        (models / place).mkdir()
        (models / place / "x.safetensors").symlink_to(source)
    (models / "b" / "x.toml").write_text("title = 'Second'")
    entries = catalogue_of(models).entries()
    assert [entry.id for entry in entries] == ["x", "b/x"]
    assert [entry.title for entry in entries] == ["x", "Second"]


def test_files_of_other_kinds_are_no_models(models: Path) -> None:
    save_file({"lora_unet_x.lora_down.weight": torch.zeros(2, 2)}, models / "style.safetensors")
    save_file({"emb_params": torch.zeros(2, 64)}, models / "word.safetensors")
    save_file({"body.0.weight": torch.zeros(2)}, models / "upscale.safetensors")
    assert catalogue_of(models).entries() == []


def header_of(text: bytes) -> bytes:
    return struct.pack("<Q", len(text)) + text


def channels(count: int) -> dict[str, torch.Tensor]:
    prefix = "model.diffusion_model."
    names = NAMES["unet"](tiny_pipeline("sd1").unet)
    names["input_blocks.0.0.weight"] = torch.zeros(32, count, 3, 3)
    return {prefix + name: tensor.contiguous() for name, tensor in names.items()}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is not a safetensors file"),
        (struct.pack("<Q", 10**13) + b"{}", "is not a safetensors file"),
        (struct.pack("<Q", 90_000_000) + b"{}", "is cut off"),
        (header_of(b'{"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}'), "is cut off"),
        (header_of(b'{"a": {"dtype": "F32"}}'), "is not a safetensors file"),
        (channels(8), "has a UNet for 8 channels"),
        (
            {
                "double_blocks.0.x.weight": torch.zeros(2),
                "double_blocks.0.x.scale_weight": torch.ones(1),
                "img_in.weight": torch.zeros(2, 64),
            },
            "holds weights of few bits",
        ),
        ({"double_blocks.0.x": torch.zeros(2), "img_in.weight": torch.zeros(2, 64)}, "lacks parts"),
    ],
    ids=["empty", "10TB", "header", "cut", "no-offsets", "8-channels", "scaled", "half-a-flux"],
)
def test_a_damaged_file_is_named_in_one_sentence(models: Path, content: Any, words: str) -> None:
    path = models / "bad.safetensors"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        save_file(content, path)
    told = problem(models, "bad")
    assert told.startswith("bad.safetensors ")
    assert words in told
    assert told.endswith(".")
    with pytest.raises(ModelError, match="bad"):
        loader(models).load("bad")


@pytest.mark.parametrize("suffix", [".ckpt", ".pt", ".bin"])
def test_a_pickle_is_refused_with_the_reason(models: Path, suffix: str) -> None:
    (models / f"old{suffix}").write_bytes(b"\x80\x02")
    told = problem(models, "old")
    assert "is a pickle, which can run any code" in told
    assert "safetensors" in told


def test_a_flipped_bit_in_the_header_is_a_sentence(models: Path, schnell: Path) -> None:
    data = bytearray((schnell).read_bytes())
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    name = next(name for name in header if name.endswith("img_in.weight"))
    at = data.index(b'"F32"', data.index(name.encode()))
    data[at + 2] ^= 1  # F32 becomes F22
    (models / "flipped.safetensors").write_bytes(data)
    with pytest.raises(ModelError, match=r"flipped could not be loaded"):
        loader(models).load("flipped")


def test_a_file_without_some_of_its_numbers(models: Path, schnell: Path) -> None:
    weights = load_file(schnell)
    del weights["final_layer.linear.bias"]
    save_file(weights, models / "short.safetensors")
    with pytest.raises(ModelError, match=r"has no numbers for proj_out\.bias"):
        loader(models).load("short")


def test_a_file_that_vanishes_between_listing_and_loading(models: Path, schnell: Path) -> None:
    path = models / "gone.safetensors"
    path.write_bytes((schnell).read_bytes())
    catalogue = catalogue_of(models)
    entry = catalogue.usable("gone")
    path.unlink()
    with pytest.raises(ModelError, match="'gone' is not installed"):
        catalogue.usable("gone")
    catalogue.usable = lambda model_id: entry  # type: ignore[method-assign]
    with pytest.raises(ModelError, match="gone could not be loaded"):
        DiffusionLoader(catalogue, lambda: CPU, "sdpa").load("gone")


def test_plain_eight_bit_weights_are_read(models: Path, schnell: Path) -> None:
    weights = {
        name: tensor.to(torch.float8_e4m3fn) if name.endswith("blocks.0.linear1.weight") else tensor
        for name, tensor in load_file(schnell).items()
    }
    save_file(weights, models / "small.safetensors")
    found = loader(models).load("small").transformer.single_transformer_blocks[0]
    expected = weights["single_blocks.0.linear1.weight"][: found.attn.to_q.weight.shape[0]]
    assert torch.equal(found.attn.to_q.weight, expected.to(torch.float32))
