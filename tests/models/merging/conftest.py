"""Tiny models as folders and as single files, made once, and a bench with copies of them."""

import os
from collections.abc import Callable
from pathlib import Path
from shutil import copytree

import pytest
from making import Bench, sibling
from original_files import single_file, tiny_pipeline
from tiny_models import tiny_model

from studio.models.catalogue import Catalogue

FOLDERS = ("sd", "sd-inpaint", "sd3", "flux-dev", "flux-schnell", "sdxl")
FILES = ("sdxl", "sdxl-inpaint", "flux-dev", "sd3")


@pytest.fixture(scope="session")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models by family key, as files with "-file", each with two siblings, "-b" and "-c"."""
    folder = tmp_path_factory.mktemp("stock")
    tokenizer = Catalogue(Path("/nonexistent")).get("").path / "tokenizer"
    for key in FOLDERS:
        tiny_model(key, folder / key, tokenizer)
        for seed, letter in enumerate("bc"):
            sibling(folder / key, folder / f"{key}-{letter}", seed)
    for key in FILES:
        single_file(tiny_pipeline(key), folder / f"{key}-file.safetensors")
        for seed, letter in enumerate("bc"):
            target = folder / f"{key}-file-{letter}.safetensors"
            sibling(folder / f"{key}-file.safetensors", target, seed)
    return folder


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """A workshop on an empty models folder."""
    root = tmp_path / "models"
    root.mkdir()
    return Bench(root)


@pytest.fixture
def take(stock: Path, bench: Bench) -> Callable[..., None]:
    """Puts models of the stock onto the bench; their weights are links."""

    def put(*names: str) -> None:
        for name in names:
            if (stock / name).is_dir():
                copytree(stock / name, bench.root / name, copy_function=os.link)
            else:
                os.link(stock / f"{name}.safetensors", bench.root / f"{name}.safetensors")

    return put
