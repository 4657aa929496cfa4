"""The commands that make new models: what is made, what is printed, what is refused."""

from pathlib import Path

import pytest
import torch
from making import sibling, tensors
from safetensors.torch import save_file

from studio.models.catalogue import Catalogue
from studio.models.merging.recipe import read_recipe


@pytest.fixture
def two(data: Path, embedded_id: str) -> Path:
    """The models folder with a model in it that is the one that ships with some noise."""
    folder = data / "models"
    folder.mkdir(parents=True)
    source = Catalogue(Path("/nonexistent")).get(embedded_id).path
    sibling(source, folder / "other", seed=1, size=0.01)
    return folder


def test_merge_extract_and_bake(atelier, two, embedded_id):
    made = atelier("merge", "mix", embedded_id, "other", "--weight", 0.25, "--blocks", "grad")
    assert (made.code, made.out) == (0, "mix is here; `atelier models` lists it.\n"), made.err
    recipe = read_recipe(two / "mix")
    assert recipe is not None
    assert recipe.method == "weighted sum"
    assert list(recipe.blocks.values())[-1] == 0.25
    made = atelier("extract", "learnt", "other", embedded_id, "--rank", 4, "--no-text")
    assert made.code == 0, made.err
    assert "of the difference" in made.err
    assert (two / "loras" / "learnt.safetensors").is_file()
    made = atelier("bake", "baked", embedded_id, "--lora", "learnt=0.5", "--dtype", "float16")
    assert made.code == 0, made.err
    assert {tensor.dtype for tensor in tensors(two / "baked").values()} <= {
        torch.float16,
        torch.int64,
    }
    made = atelier("resize", "small", "learnt", "--rank", 2, "--dtype", "bfloat16")
    assert (made.code, made.out) == (0, "small is here; `atelier models` lists it.\n"), made.err
    assert "The LoRA had rank 4 and has rank 2; it keeps " in made.err
    small, learnt = (tensors(two / "loras" / f"{name}.safetensors") for name in ("small", "learnt"))
    assert set(small) == set(learnt)
    assert {len(each) for name, each in small.items() if "lora_down" in name} == {2}
    listed = atelier("models").out
    assert all(f"\n{name} " in f"\n{listed}" for name in ("mix", "baked"))
    assert "LoRA files: learnt, small" in listed


def test_a_lora_gets_a_rank_for_each_layer(atelier, two, embedded_id):
    atelier("extract", "learnt", "other", embedded_id, "--rank", 8)
    options = ("--rank", 6, "--conv-rank", 3, "--method", "sv_fro", "--share", 0.7)
    made = atelier("resize", "small", "learnt", *options)
    assert made.code == 0, made.err
    assert "and has ranks " in made.err
    found = tensors(two / "loras" / "small.safetensors")
    downs = [each for name, each in found.items() if "lora_down" in name]
    convolutions = {len(each) for each in downs if each.dim() == 4 and each.shape[2] > 1}
    assert max(convolutions) <= 3 < max(len(each) for each in downs) <= 6


def test_of_three_models_the_difference_is_the_usual_method(atelier, two, embedded_id):
    made = atelier("merge", "mix", "other", embedded_id, embedded_id, "--weight", 1)
    assert made.code == 0, made.err
    recipe = read_recipe(two / "mix")
    assert recipe is not None
    assert recipe.method == "add difference"
    first, mixed = tensors(two / "other"), tensors(two / "mix")
    assert all(torch.equal(first[name], mixed[name]) for name in first)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("merge", "a/b", "other", "other"), "Name must match pattern"),
        (("merge", "other", "other", "other"), "There is a other in the models folder already"),
        (("merge", "new", "other", "gone"), "Model 'gone' is not installed"),
        (("merge", "new", "other", "other", "--weight", "2"), "Weight must be less than or equal"),
        (("merge", "new", "other", "other", "--method", "x"), "Method must be 'weighted sum',"),
        (("merge", "new", "other", "other", "--blocks", "x"), "Block weights must be numbers or"),
        (("merge", "new", "other", "other", "--dtype", "int8"), "Stored must be 'same', 'float32'"),
        (("extract", "new", "other", "other", "--rank", "0"), "Rank must be greater than or equal"),
        (("extract", "new", "other", "other"), "have the same weights"),
        (("bake", "new", "other", "--lora", "gone"), "LoRA 'gone' is not installed"),
        (("bake", "new", "other", "--lora", "gone=much"), "--lora is 'gone=much', but must be"),
        (("bake", "new", "other", "--lora", "a", "--lora", "a"), "Loras must be different ones"),
        (("resize", "new", "gone"), "LoRA 'gone' is not installed"),
        (("resize", "new", "word"), "LoRA 'word' cannot be used: word.safetensors is none"),
        (("resize", "new", "cut"), "LoRA 'cut' cannot be used: cut.safetensors is"),
        (("resize", "new", "half"), "half.safetensors holds no LoRA of two matrices a layer"),
        (("resize", "new", "word", "--rank", "0"), "Rank must be greater than or equal to 1"),
        (("resize", "new", "word", "--rank", "-1"), "Rank must be greater than or equal to 1"),
        (("resize", "new", "word", "--rank", "4097"), "Rank must be less than or equal to 4096"),
        (("resize", "new", "word", "--conv-rank", "0"), "Conv rank must be greater than or equal"),
        (("resize", "new", "word", "--method", "sv"), "Method must be 'fixed', 'sv_fro',"),
        (("resize", "new", "word", "--method", "sv_ratio"), "Share must be more than 1"),
        (("resize", "new", "word", "--method", "sv_fro", "--share", "2"), "Share must be at most"),
        (("resize", "new/x", "word"), "Name must match pattern"),
        (("resize", "other", "fine"), "There is a other in the models folder already"),
    ],
)
def test_what_is_refused(atelier, two, arguments, words):
    layer = "lora_unet_mid_block_resnets_0_conv1"
    down, up = ({f"{layer}.lora_{side}.weight": torch.ones(4, 4)} for side in ("down", "up"))
    save_file({**down, **up}, two / "fine.safetensors")
    save_file(down, two / "half.safetensors")
    save_file({"emb_params": torch.zeros(2, 4)}, two / "word.safetensors")
    (two / "cut.safetensors").write_bytes((two / "fine.safetensors").read_bytes()[:-1])
    before = {path for path in two.rglob("*") if ".merging" not in path.parts}
    assert words in atelier(*arguments).sentence()
    assert {path for path in two.rglob("*") if ".merging" not in path.parts} == before
