"""The commands that make new models: what is made, what is printed, what is refused."""

from pathlib import Path

import pytest
import torch
from making import sibling, tensors

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
    listed = atelier("models").out
    assert all(f"\n{name} " in f"\n{listed}" for name in ("mix", "baked"))
    assert "LoRA files: learnt" in listed


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
    ],
)
def test_what_is_refused(atelier, two, arguments, words):
    before = {path for path in two.rglob("*") if ".merging" not in path.parts}
    assert words in atelier(*arguments).sentence()
    assert {path for path in two.rglob("*") if ".merging" not in path.parts} == before
