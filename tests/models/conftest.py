"""Model folders to damage: copies of the embedded model without its weight."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from studio.models.catalogue import Catalogue


@pytest.fixture
def embedded(embedded_id: str) -> Path:
    """The folder of the model that ships."""
    return Catalogue(Path("/nonexistent")).get(embedded_id).path


@pytest.fixture
def own(tmp_path: Path, embedded: Path) -> Callable[[str], Path]:
    """Puts a copy of the embedded model into a folder of own models; its weights are links."""
    folder = tmp_path / "models"
    folder.mkdir()

    def add(name: str) -> Path:
        copy = folder / name
        shutil.copytree(embedded, copy, copy_function=_copy)
        return copy

    return add


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """An empty folder for models."""
    folder = tmp_path / "models"
    folder.mkdir()
    return folder


@pytest.fixture
def catalogue(tmp_path: Path) -> Catalogue:
    """The catalogue of own models only."""
    return Catalogue(tmp_path / "models", embedded=Path("/nonexistent"))


def _copy(source: str, target: str) -> str:
    if source.endswith(".safetensors"):
        Path(target).symlink_to(source)
        return target
    return shutil.copyfile(source, target)
