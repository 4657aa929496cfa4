"""Whole models as folders and as single files: loaded again they are the same model."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from loading import catalogue_of, loader
from original_files import tiny_pipeline
from safetensors.torch import load_file
from trained import facts, outputs, untrained, worst

from studio.errors import ModelError
from studio.models.catalogue import Catalogue
from studio.models.headers import read_header
from studio.training.export.whole import write_file, write_folder


def same(one: Any, other: Any) -> None:
    """All weights of all networks, under the same names."""
    for name, network in one.components.items():
        if isinstance(network, torch.nn.Module):
            mine, theirs = network.state_dict(), getattr(other, name).state_dict()
            assert mine.keys() == theirs.keys()
            assert all(torch.equal(mine[key], theirs[key]) for key in mine), name


@pytest.mark.parametrize("family", ["sd1", "sd1-inpaint", "sd2", "sdxl", "sdxl-refiner"])
def test_a_single_file_is_the_model(family: str, tmp_path: Path) -> None:
    """Stable Diffusion 2 with a layer that it never asks, which others count on."""
    pipe = tiny_pipeline(family)
    place = write_file(pipe, facts(family), tmp_path / "whole.safetensors", "float32")
    entry = catalogue_of(tmp_path).get("whole")
    assert (entry.problem, entry.title) == ("", "mine")
    assert entry.family is not None
    assert entry.family.key == family
    found = loader(tmp_path).load("whole")
    same(pipe, found)
    if family in ("sd1", "sd2", "sdxl"):
        assert worst(outputs(pipe, family), outputs(found, family)) < 1e-5
    notes = read_header(place).metadata
    assert notes["modelspec.sai_model_spec"] == "1.0.1"
    assert "/" not in notes["modelspec.architecture"]
    assert notes["modelspec.hash_sha256"].startswith("0x")


@pytest.mark.parametrize("family", ["sd1", "sd2", "sdxl", "sd3", "flux-dev", "embedded"])
def test_a_folder_is_the_model(family: str, tmp_path: Path) -> None:
    pipe = untrained(family)
    write_folder(pipe, facts("sd" if family == "embedded" else family), tmp_path / "it", "float32")
    entry = catalogue_of(tmp_path).get("it")
    assert entry.problem == ""
    found = loader(tmp_path).load("it")
    same(pipe, found)
    assert worst(outputs(pipe, family), outputs(found, family)) < 1e-5
    mine, theirs = (dict(each.scheduler.config) for each in (pipe, found))
    assert {key: value for key, value in mine.items() if key != "_use_default_values"} == theirs


def test_a_card_of_the_base_goes_along(tmp_path: Path) -> None:
    base = Catalogue(Path("/nonexistent")).get("")
    card = (base.path / "atelier.toml").read_text("utf-8")
    write_folder(untrained("embedded"), facts("sd"), tmp_path / "it", "float32", card=card)
    entry = catalogue_of(tmp_path).get("it")
    assert (entry.title, entry.sizes, entry.sampler) == ("mine", base.sizes, base.sampler)


def test_what_a_single_file_cannot_say_is_refused(tmp_path: Path) -> None:
    for family, words in (
        ("embedded", "would take attention_head_dim of its unet for"),
        ("sd3", "is not written as one file; take the folder"),
    ):
        with pytest.raises(ModelError, match=words):
            write_file(untrained(family), facts("sd"), tmp_path / "x.safetensors")
    words = tiny_pipeline("sd1")
    words.text_encoder.config.hidden_act = "relu"
    with pytest.raises(
        ModelError, match="would take hidden_act of its text_encoder for quick_gelu"
    ):
        write_file(words, facts("sd1"), tmp_path / "x.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_velocity_is_marked(tmp_path: Path) -> None:
    """By empty tensors that ComfyUI and this studio look for."""
    pipe = tiny_pipeline("sdxl")
    pipe.scheduler.register_to_config(prediction_type="v_prediction", rescale_betas_zero_snr=True)
    place = write_file(pipe, facts("sdxl", velocity=True), tmp_path / "v.safetensors", "bfloat16")
    header = read_header(place)
    assert header.shapes["v_pred"] == header.shapes["ztsnr"] == (0,)
    noise = loader(tmp_path).load("v").scheduler.config
    assert (noise.prediction_type, noise.rescale_betas_zero_snr) == ("v_prediction", True)
    assert header.metadata["modelspec.prediction_type"] == "v"


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_as_many_bytes(dtype: str, tmp_path: Path) -> None:
    pipe = tiny_pipeline("sd1")
    kind = {"float16": "F16", "bfloat16": "BF16"}[dtype]
    file = write_file(pipe, facts("sd1"), tmp_path / "one.safetensors", dtype)
    folder = write_folder(pipe, facts("sd1"), tmp_path / "many", dtype)
    for path in (file, *folder.glob("*/*.safetensors")):
        header = read_header(path)
        assert {header.format(name) for name in header.names} == {kind}
    assert pipe.unet.dtype is torch.float32, "the live model is as it was"
    assert str(pipe.text_encoder.config.dtype) in ("None", "torch.float32", "float32")


def test_text_encoders_have_the_names_that_all_versions_read(tmp_path: Path) -> None:
    folder = write_folder(tiny_pipeline("sdxl"), facts("sdxl"), tmp_path / "it")
    for part in ("text_encoder", "text_encoder_2"):
        names = set(load_file(folder / part / "model.safetensors")) - {"text_projection.weight"}
        assert all(name.startswith("text_model.") for name in names)


def test_one_in_the_place_of_another(tmp_path: Path) -> None:
    pipe, place = untrained("sd1"), tmp_path / "it"
    place.mkdir()
    (place / "old").touch()
    with pytest.raises(ModelError, match="There is a it in the models folder"):
        write_folder(pipe, facts("sd1"), place)
    assert (place / "old").exists()
    write_folder(pipe, facts("sd1"), place, replace=True)
    assert not (place / "old").exists()
    assert catalogue_of(tmp_path).get("it").problem == ""


def test_a_failure_on_the_way_leaves_what_was_there(tmp_path: Path) -> None:
    pipe, place = untrained("sd1"), tmp_path / "it"
    write_folder(pipe, facts("sd1"), place)
    before = {path.relative_to(place): path.read_bytes() for path in place.rglob("*.safetensors")}
    pipe.vae.decoder.conv_out.bias.data[0] = float("nan")
    with pytest.raises(ModelError, match="NaN"):
        write_folder(pipe, facts("sd1"), place, replace=True)
    after = {path.relative_to(place): path.read_bytes() for path in place.rglob("*.safetensors")}
    assert before == after
    left = [path for path in tmp_path.iterdir() if path != place]
    assert all(not any(each.iterdir()) for each in left)
    shutil.rmtree(place)
