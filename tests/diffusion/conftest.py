"""One set of services for all tests of pictures, so that the model is loaded once."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from judge.judge import Judge
from recorder import Studio, clean_environment
from tiny_models import FAMILIES, tiny_model

from studio.models.catalogue import Catalogue
from studio.services import build_services
from studio.settings import Settings


@pytest.fixture(scope="session")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    """The embedded model in float32 on the CPU; whoever changes its weights puts them back."""
    with pytest.MonkeyPatch.context() as patch:
        clean_environment(patch)
        folder = tmp_path_factory.mktemp("studio")
        built = build_services(Settings(data_dir=folder, device="cpu", dtype="float32"))
    yield Studio(built)
    built.stop()


@pytest.fixture(scope="session")
def all_families(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    """Tiny models of all families in one data folder, each under its key."""
    folder = tmp_path_factory.mktemp("families")
    tokenizer = Catalogue(Path("/nonexistent")).get("").path / "tokenizer"
    for key in FAMILIES:
        tiny_model(key, folder / "models" / key, tokenizer)
    with pytest.MonkeyPatch.context() as patch:
        clean_environment(patch)
        built = build_services(Settings(data_dir=folder, device="cpu", dtype="float32"))
    yield Studio(built)
    built.stop()


@pytest.fixture(scope="session")
def judge() -> Judge:
    """Tells what a picture shows."""
    return Judge.load()
