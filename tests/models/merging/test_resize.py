"""Ranks of LoRAs: the nearest products, as kohya's script has them, layer by layer."""

import errno
import json
import os
import shutil
from collections import namedtuple
from pathlib import Path
from typing import Any

import pytest
import torch
from making import Bench, Listener
from safetensors.torch import load_file, save_file
from trained import NAME, facts, outputs, trained, untrained, wear, worst

from studio.errors import Cancelled, ModelError, RequestError, StorageError
from studio.model_requests import RankMethod
from studio.models.headers import read_header
from studio.models.merging.recipe import read_recipe
from studio.models.merging.resize import chosen_rank, spectrum
from studio.training.export.lora import write_lora

VALUES = torch.tensor([8.0, 4.0, 2.0, 1.0, 0.5])


@pytest.mark.parametrize(
    ("method", "share", "most", "rank"),
    [
        (RankMethod.FIXED, 0, 3, 3),
        (RankMethod.FIXED, 0, 99, 5),
        # 64, 80, 84, 85, 85.25 of the squares: the root of 80 / 85.25 is 0.9687
        (RankMethod.FROBENIUS, 0.96, 9, 2),
        (RankMethod.FROBENIUS, 0.97, 9, 3),
        (RankMethod.FROBENIUS, 1.0, 9, 5),
        # 8, 12, 14, 15, 15.5 of the sum
        (RankMethod.CUMULATIVE, 0.7, 9, 2),
        (RankMethod.CUMULATIVE, 0.9, 9, 3),
        (RankMethod.CUMULATIVE, 0.9, 2, 2),
        (RankMethod.RATIO, 3.0, 9, 2),
        (RankMethod.RATIO, 9.0, 9, 4),
        (RankMethod.RATIO, 1.0, 9, 1),
    ],
)
def test_how_many_singular_values(method: RankMethod, share: float, most: int, rank: int) -> None:
    assert chosen_rank(VALUES, most, method, share) == rank


def test_of_nothing_one_is_kept() -> None:
    assert chosen_rank(torch.zeros(4), 3, RankMethod.FROBENIUS, 0.9) == 1


@pytest.mark.parametrize(("out", "inner", "rank"), [(9, 7, 4), (3, 9, 5), (9, 3, 5), (1, 1, 2)])
def test_the_spectrum_is_that_of_the_product(out: int, inner: int, rank: int) -> None:
    torch.manual_seed(0)
    up, down = torch.randn(out, rank).double(), torch.randn(rank, inner).double()
    left, values, right = spectrum(down, up)
    assert torch.allclose(left * values @ right, up @ down)
    expected = torch.linalg.svdvals(up @ down)[: len(values)]
    assert torch.allclose(values[: len(expected)], expected)


def loras(bench: Bench) -> Path:
    folder = bench.root / "loras"
    folder.mkdir(exist_ok=True)
    return folder


def written(bench: Bench, layout: Any = "kohya", dtype: str = "float32", **config: Any) -> Path:
    place = loras(bench) / f"{NAME}.safetensors"
    return write_lora(trained("sd1", **config), NAME, facts("sd1"), place, layout, dtype)


def made(bench: Bench) -> Path:
    return loras(bench) / "new.safetensors"


# --- numbers --------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", ["kohya", "peft"])
@pytest.mark.parametrize("dora", [False, True])
def test_a_rank_that_is_high_enough_changes_nothing(bench: Bench, layout: str, dora: bool) -> None:
    """With convolutions, alphas unlike ranks, and text encoders."""
    source = written(bench, layout, use_dora=dora, use_rslora=True)
    heard = bench.resize(lora=NAME, rank=64)
    ranks = "ranks 2 to 4 (mostly 4)"
    assert heard.notices == [f"The LoRA had {ranks} and has {ranks}; it keeps 100.0% of its norm."]
    found = outputs(wear(untrained("sd1"), made(bench)), "sd1")
    assert worst(outputs(wear(untrained("sd1"), source), "sd1"), found) < 1e-4


@pytest.mark.parametrize("layout", ["kohya", "peft"])
def test_a_lower_rank_is_the_nearest_product(bench: Bench, layout: str) -> None:
    source = written(bench, layout)
    heard = bench.resize(lora=NAME, rank=2, conv_rank=1)
    (told,) = heard.notices
    assert "and has ranks 1 to 2 (mostly 2); it keeps " in told
    assert 50 < float(told.rpartition("%")[0].split()[-1]) < 100
    pipe, small = wear(untrained("sd1"), source), wear(untrained("sd1"), made(bench))
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


def test_the_share_that_is_told_is_that_of_the_products(bench: Bench) -> None:
    """One layer with the singular values 3 and 4, of which the larger one stays."""
    down = torch.tensor([[3.0, 0, 0], [0, 4, 0]])
    layer = "lora_unet_mid_block_resnets_0_time_emb_proj"
    state = {f"{layer}.lora_down.weight": down, f"{layer}.lora_up.weight": torch.eye(4, 2)}
    save_file(state, loras(bench) / "two.safetensors")
    heard = bench.resize(lora="two", rank=1)
    assert heard.notices == ["The LoRA had rank 2 and has rank 1; it keeps 80.0% of its norm."]
    found = load_file(made(bench))
    product = found[f"{layer}.lora_up.weight"] @ found[f"{layer}.lora_down.weight"]
    expected = torch.zeros(4, 3)
    expected[1, 1] = 4
    assert torch.allclose(product, expected, atol=1e-6)
    assert float(found[f"{layer}.alpha"]) == 1, "its rank: the file had no scale"


# --- the file -------------------------------------------------------------------------------------


def test_metadata_is_kept_and_says_what_was_done(bench: Bench) -> None:
    source = written(bench)
    old = read_header(source).metadata
    bench.resize(lora=NAME, rank=2, stored="float16")
    notes = read_header(made(bench)).metadata
    assert notes["ss_training_comment"].startswith("dimension is resized from 4 to 2; lora from 5")
    assert notes["ss_network_dim"] == "2"
    assert notes["modelspec.trigger_phrase"] == "sks dog"
    assert notes["modelspec.title"] == notes["ss_output_name"] == "new"
    assert notes["sshs_model_hash"] != old["sshs_model_hash"]
    bench.resize(name="other", lora=NAME, rank=4, method="sv_fro", share=0.8)
    notes = read_header(loras(bench) / "other.safetensors").metadata
    assert notes["ss_training_comment"].startswith("Dynamic resize with sv_fro: 0.8 from 4")
    assert notes["ss_network_dim"] == notes["ss_network_alpha"] == "Dynamic"


def test_the_recipe_says_how_it_was_made(bench: Bench) -> None:
    written(bench)
    bench.resize(lora=NAME, rank=2, method="sv_cumulative", share=0.6)
    recipe = read_recipe(made(bench))
    assert recipe is not None
    assert recipe.told().startswith(f"LoRA resize: LoRA {NAME} (")
    assert len(recipe.parents[0].sha256) == 64
    kept = recipe.settings.pop("kept")
    assert isinstance(kept, float)
    assert 0.5 < kept < 1
    assert recipe.settings == {
        "rank": 2,
        "rank of convolutions": 2,
        "method": "sv_cumulative",
        "share": 0.6,
        "stored": "same",
    }


def test_it_is_listed_with_its_trigger_words(bench: Bench) -> None:
    written(bench)
    bench.resize(name="sub-ink", lora=NAME.upper(), rank=1)
    lora = bench.catalogue.loras.get("sub-ink")
    assert lora.triggers == ("sks dog",)
    assert lora.size < bench.catalogue.loras.get(NAME).size / 2


def test_its_own_number_format_stays(bench: Bench) -> None:
    written(bench, dtype="bfloat16")
    bench.resize(lora=NAME, rank=1)
    header = read_header(made(bench))
    assert {header.format(n) for n in header.names if "lora_" in n.rpartition(".")[0][-9:]} == {
        "BF16"
    }


def test_peft_files_without_configuration_have_no_scale(bench: Bench) -> None:
    state = {
        "unet.mid_block.resnets.0.conv1.lora_A.weight": torch.randn(4, 64, 3, 3),
        "unet.mid_block.resnets.0.conv1.lora_B.weight": torch.randn(64, 4, 1, 1),
    }
    save_file(state, loras(bench) / "plain.safetensors")
    bench.resize(lora="plain", rank=2)
    told = json.loads(read_header(made(bench)).metadata["lora_adapter_metadata"])
    assert (told["unet.r"], told["unet.lora_alpha"]) == (2, 2.0)
    down, up = (load_file(made(bench))[name] for name in state)
    assert down.shape == (2, 64, 3, 3)
    assert up.shape == (64, 2, 1, 1)


# --- what is refused ------------------------------------------------------------------------------


def odd_files(bench: Bench) -> None:
    """Files that are no LoRA that can be resized, by what is wrong with them."""
    folder = loras(bench)
    good = load_file(written(bench))
    (folder / "cut.safetensors").write_bytes((folder / f"{NAME}.safetensors").read_bytes()[:-9])
    (folder / "junk.safetensors").write_bytes(b"nonsense")
    (folder / "old.ckpt").write_bytes(b"x")
    layer = next(name for name in good if name.endswith(".lora_down.weight"))
    stem = layer.removesuffix(".lora_down.weight")
    up = f"{stem}.lora_up.weight"
    for name, state in (
        ("word", {"emb_params": torch.zeros(2, 4)}),
        ("ha", {"lora_unet_x.hada_w1_a": torch.zeros(4, 8)}),
        ("half", {layer: good[layer]}),
        ("wide", {**good, up: torch.ones(len(good[up]), 3)}),
        ("mid", {**good, f"{stem}.lora_mid.weight": torch.ones(4, 4, 3, 3)}),
        ("nan", {**good, up: good[up] * float("nan")}),
    ):
        save_file(state, folder / f"{name}.safetensors")


def test_files_that_are_none(bench: Bench) -> None:
    """All before anything is written, but for numbers, which are not read before."""
    odd_files(bench)
    before = bench.left()
    for name, words in (
        ("gone", "LoRA 'gone' is not installed"),
        ("../mine", "is not installed"),
        ("cut", r"cut\.safetensors is cut off; copy it again"),
        ("junk", r"junk\.safetensors is not a safetensors file"),
        ("old", r"old\.ckpt is a pickle"),
        ("word", r"LoRA 'word' cannot be used: word\.safetensors is none; choose another"),
        ("ha", "LoRA 'ha' is a LoHa"),
        ("half", r"half\.safetensors holds no LoRA of two matrices a layer"),
        ("wide", r"wide\.safetensors has matrices of .*, which do not fit"),
        ("mid", r"mid\.safetensors has three matrices for lora_"),
    ):
        with pytest.raises(ModelError, match=words) as caught:
            bench.resize(lora=name)
        assert str(caught.value).endswith(".")
        assert bench.left() == before, name
    with pytest.raises(ModelError, match=r"nan\.safetensors holds numbers that are none"):
        bench.resize(lora="nan")
    assert bench.left() - before == {".merging"}


def test_names_that_are_taken_or_none(bench: Bench) -> None:
    written(bench)
    (bench.root / "there").mkdir()
    before = bench.left()
    for name in (NAME, NAME.upper(), f"{NAME}.safetensors", "there", "loras", "a/b", "..", ""):
        with pytest.raises((ModelError, RequestError)):
            bench.resize(name=name, lora=NAME)
    assert bench.left() == before


def test_a_file_that_is_gone_meanwhile(bench: Bench) -> None:
    source = written(bench)
    heard = Listener(lambda number: source.unlink(missing_ok=True))
    with pytest.raises(ModelError, match="mine"):
        bench.resize(heard, lora=NAME)
    assert not made(bench).exists()


def test_a_stop_leaves_nothing(bench: Bench) -> None:
    written(bench)
    before = bench.left()

    def stop(check: int) -> None:
        if check == 20:
            raise Cancelled

    heard = Listener(stop)
    with pytest.raises(Cancelled):
        bench.resize(heard, lora=NAME)
    assert heard.checks == 20, "nothing goes on after it"
    assert bench.left() - before == {".merging"}


def test_a_disk_without_room_is_told_of_before_the_job(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only for what it would take: of a lower rank that is little."""
    source = written(bench)
    before, size = bench.left(), source.stat().st_size
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(9, 9, 200_000_000 + size // 2))
    with pytest.raises(ModelError, match=r"needs [\d.]+ GB, but only 0\.2 GB are free"):
        bench.resize(lora=NAME, rank=4)
    assert bench.left() == before
    bench.resize(lora=NAME, rank=1)
    assert made(bench).stat().st_size < size // 2


def test_a_disk_that_refuses_says_so_before_the_work(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(bench)

    def refuse(self: Path, *args: Any, **more: Any) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    heard = Listener()
    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(StorageError, match=r"Could not write new\.safetensors .* is read-only"):
        bench.resize(heard, lora=NAME)
    assert heard.progress[-1].step == 0
