"""A data folder with a few pictures, and services whose runs are done by a stand-in."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image
from train_runs import ended, opened

from studio.services import Services


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A data folder with the picture set "dogs"; no process of it outlives the test."""
    data = tmp_path / "data"
    pictures = data / "pictures" / "dogs"
    pictures.mkdir(parents=True)
    for number in range(3):
        Image.new("RGB", (96, 96), (80 * number, 40, 90)).save(pictures / f"{number}.png")
    yield data
    ended(data)


@pytest.fixture
def served(folder: Path) -> Iterator[Services]:
    """Services on that folder."""
    made = opened(folder)
    yield made
    made.stop()


@pytest.fixture
def make_lora() -> Callable[[Path], None]:
    """Writes a file that is taken for a LoRA."""

    def write(place: Path) -> None:
        import torch
        from safetensors.torch import save_file

        stem = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q"
        place.parent.mkdir(parents=True, exist_ok=True)
        halves = {"lora_down.weight": (4, 32), "lora_up.weight": (32, 4)}
        save_file({f"{stem}.{name}": torch.ones(size) for name, size in halves.items()}, place)

    return write
