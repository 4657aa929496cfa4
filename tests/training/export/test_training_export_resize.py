"""Ranks of LoRAs: the nearest products, as kohya's script has them, layer by layer."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from trained import NAME, facts, outputs, trained, untrained, wear, worst

from studio.errors import ModelError
from studio.models.headers import read_header
from studio.training.export.lora import write_lora
from studio.training.export.resize import Dynamic, chosen_rank, resize_lora, spectrum

VALUES = torch.tensor([8.0, 4.0, 2.0, 1.0, 0.5])


@pytest.mark.parametrize(
    ("dynamic", "share", "most", "rank"),
    [
        (None, 0, 3, 3),
        (None, 0, 99, 5),
        # 64, 80, 84, 85, 85.25 of the squares: the root of 80 / 85.25 is 0.9687
        (Dynamic.FROBENIUS, 0.96, 9, 2),
        (Dynamic.FROBENIUS, 0.97, 9, 3),
        (Dynamic.FROBENIUS, 1.0, 9, 5),
        # 8, 12, 14, 15, 15.5 of the sum
        (Dynamic.CUMULATIVE, 0.7, 9, 2),
        (Dynamic.CUMULATIVE, 0.9, 9, 3),
        (Dynamic.CUMULATIVE, 0.9, 2, 2),
        (Dynamic.RATIO, 3.0, 9, 2),
        (Dynamic.RATIO, 9.0, 9, 4),
        (Dynamic.RATIO, 1.0, 9, 1),
    ],
)
def test_how_many_singular_values(
    dynamic: Dynamic | None, share: float, most: int, rank: int
) -> None:
    assert chosen_rank(VALUES, most, dynamic, share) == rank


def test_of_nothing_one_is_kept() -> None:
    assert chosen_rank(torch.zeros(4), 3, Dynamic.FROBENIUS, 0.9) == 1


@pytest.mark.parametrize(("out", "inner", "rank"), [(9, 7, 4), (3, 9, 5), (9, 3, 5), (1, 1, 2)])
def test_the_spectrum_is_that_of_the_product(out: int, inner: int, rank: int) -> None:
    torch.manual_seed(0)
    up, down = torch.randn(out, rank).double(), torch.randn(rank, inner).double()
    left, values, right = spectrum(down, up)
    assert torch.allclose(left * values @ right, up @ down)
    expected = torch.linalg.svdvals(up @ down)[: len(values)]
    assert torch.allclose(values[: len(expected)], expected)


def written(tmp_path: Path, layout: Any = "kohya", **config: Any) -> Path:
    place = tmp_path / "mine.safetensors"
    return write_lora(trained("sd1", **config), NAME, facts("sd1"), place, layout, "float32")


@pytest.mark.parametrize("layout", ["kohya", "peft"])
@pytest.mark.parametrize("dora", [False, True])
def test_a_rank_that_is_high_enough_changes_nothing(
    layout: str, dora: bool, tmp_path: Path
) -> None:
    """With convolutions, alphas unlike ranks, and text encoders."""
    source = written(tmp_path, layout, use_dora=dora, use_rslora=True)
    place = tmp_path / "same.safetensors"
    done = resize_lora(source, place, 64)
    assert done.kept == pytest.approx(1)
    assert done.before == done.after
    found = outputs(wear(untrained("sd1"), place), "sd1")
    assert worst(outputs(wear(untrained("sd1"), source), "sd1"), found) < 1e-4


@pytest.mark.parametrize("layout", ["kohya", "peft"])
def test_a_lower_rank_is_the_nearest_product(layout: str, tmp_path: Path) -> None:
    source = written(tmp_path, layout)
    place = tmp_path / "small.safetensors"
    done = resize_lora(source, place, 2, conv_rank=1)
    assert set(done.after) == {1, 2}
    assert 0.5 < done.kept < 1
    pipe, small = wear(untrained("sd1"), source), wear(untrained("sd1"), place)
    names = ("down_blocks.0.resnets.0.conv1", "up_blocks.0.attentions.0.proj_in")
    ranks = {}
    for name in names:
        one, other = (each.unet.get_submodule(name) for each in (pipe, small))
        (key,), (new,) = one.lora_A, other.lora_A
        whole, part = one.get_delta_weight(key).flatten(1), other.get_delta_weight(new).flatten(1)
        rank = ranks[name] = len(other.lora_A[new].weight)
        left, values, right = torch.linalg.svd(whole, full_matrices=False)
        nearest = left[:, :rank] * values[:rank] @ right[:rank]
        assert torch.allclose(part, nearest, atol=1e-5)
    assert list(ranks.values()) == [1, 2]


def test_metadata_is_kept_and_says_what_was_done(tmp_path: Path) -> None:
    source = written(tmp_path)
    old = read_header(source).metadata
    place = tmp_path / "small.safetensors"
    resize_lora(source, place, 2, dtype="float16")
    notes = read_header(place).metadata
    assert notes["ss_training_comment"].startswith("dimension is resized from 4 to 2; lora from 5")
    assert notes["ss_network_dim"] == "2"
    assert notes["modelspec.trigger_phrase"] == "sks dog"
    assert notes["sshs_model_hash"] != old["sshs_model_hash"]
    resize_lora(source, place, 4, dynamic=(Dynamic.FROBENIUS, 0.8), replace=True)
    notes = read_header(place).metadata
    assert notes["ss_training_comment"].startswith("Dynamic resize with sv_fro: 0.8 from 4")
    assert notes["ss_network_dim"] == notes["ss_network_alpha"] == "Dynamic"


def test_its_own_number_format_stays(tmp_path: Path) -> None:
    source = tmp_path / "half.safetensors"
    write_lora(trained("sd1"), NAME, facts("sd1"), source, dtype="bfloat16")
    resize_lora(source, tmp_path / "small.safetensors", 1)
    header = read_header(tmp_path / "small.safetensors")
    assert {header.format(n) for n in header.names if "lora_" in n.rpartition(".")[0][-9:]} == {
        "BF16"
    }


def test_peft_files_without_configuration_have_no_scale(tmp_path: Path) -> None:
    state = {
        "unet.mid_block.resnets.0.conv1.lora_A.weight": torch.randn(4, 64, 3, 3),
        "unet.mid_block.resnets.0.conv1.lora_B.weight": torch.randn(64, 4, 1, 1),
    }
    save_file(state, tmp_path / "plain.safetensors")
    place = tmp_path / "small.safetensors"
    resize_lora(tmp_path / "plain.safetensors", place, 2)
    told = json.loads(read_header(place).metadata["lora_adapter_metadata"])
    assert (told["unet.r"], told["unet.lora_alpha"]) == (2, 2.0)
    down, up = (load_file(place)[name] for name in state)
    assert down.shape == (2, 64, 3, 3)
    assert up.shape == (64, 2, 1, 1)


def test_files_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "cut.safetensors").write_bytes(b"nonsense")
    save_file({"emb_params": torch.zeros(2, 4)}, tmp_path / "word.safetensors")
    for name, words in (
        ("cut", "could not be read"),
        ("word", "holds no LoRA"),
        ("gone", "could not be read"),
    ):
        with pytest.raises(ModelError, match=words):
            resize_lora(tmp_path / f"{name}.safetensors", tmp_path / "out.safetensors", 4)
    assert not (tmp_path / "out.safetensors").exists()
