"""Models of a folder as the catalogue finds them and the loader loads them, on the CPU."""

from pathlib import Path

from studio.models.catalogue import Catalogue
from studio.models.devices import Device
from studio.models.diffusion_loader import DiffusionLoader

CPU = Device("cpu", "CPU", "float32")


def catalogue_of(folder: Path) -> Catalogue:
    """The folder's models and none that ship."""
    return Catalogue(folder, embedded=Path("/nonexistent"))


def loader(folder: Path) -> DiffusionLoader:
    """Loads the folder's models."""
    return DiffusionLoader(catalogue_of(folder), lambda: CPU, "sdpa")


def problem(folder: Path, model_id: str) -> str:
    """What is wrong with one of them."""
    return catalogue_of(folder).get(model_id).problem
