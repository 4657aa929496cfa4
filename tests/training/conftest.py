"""Runs of tiny models on a few drawings."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageDraw
from tiny_models import tiny_model

from studio.models.entry import ASSETS
from studio.requests import validated
from studio.training.run_folder import RunFolder
from studio.training.task import Task
from studio.training_requests import TrainRequest

SIZES = ((96, 96), (128, 80), (80, 128), (96, 96), (200, 180))
FIELDS: dict[str, Any] = {
    "pictures": "drawings",
    "prompt": "a photo of sks cat",
    "trigger": "sks",
    "resolution": 64,
    "steps": 6,
    "learning_rate": 1e-3,
    "text_rate": 1e-3,
    "batch_size": 2,
    "micro_batch": 2,
    "held_out": 0.0,
    "class_pictures": 3,
    "sample_prompts": (),
    "sample_every": 0,
    "save_every": 2,
    "threads": 1,
    # What "auto" is depends on the machine.
    "precision": "float32",
}


def draw(path: Path, number: int, size: tuple[int, int]) -> None:
    """A drawing of something: two shapes on a ground, another one for each number."""
    image = Image.new("RGB", size, ("white", "ivory", "azure")[number % 3])
    pen = ImageDraw.Draw(image)
    width, height = size
    pen.ellipse((8, 8, width - 8 - number, height - 8), fill=(120, 40 + number * 9, 160))
    pen.rectangle((width // 3, height // 3, width // 2 + number, height // 2), fill="gold")
    image.save(path)


@pytest.fixture(scope="session")
def training_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with a picture set, and a folder of pictures of the class."""
    data = tmp_path_factory.mktemp("training")
    for folder, sizes in (("pictures/drawings", SIZES), ("class", SIZES[:3])):
        (data / folder).mkdir(parents=True)
        for number, size in enumerate(sizes):
            draw(data / folder / f"{number}.png", number + len(folder), size)
    return data


@pytest.fixture(scope="session")
def tiny(training_data: Path) -> Callable[[str], str]:
    """The id of a tiny model of a family, made when it is first asked for."""

    def made(family: str) -> str:
        place = training_data / "models" / f"tiny-{family}"
        if not place.exists():
            tiny_model(family, place, ASSETS / "tokenizers" / "clip")
        return place.name

    return made


@pytest.fixture
def begun(training_data: Path, tmp_path: Path) -> Callable[..., RunFolder]:
    """A run's folder with its task; fields: of the request, besides `FIELDS`."""

    def make(name: str, **fields: Any) -> RunFolder:
        request = validated(TrainRequest, {**FIELDS, "name": name, **fields})
        folder = tmp_path / "runs" / name
        Task(
            request=request,
            data=training_data,
            pictures=training_data / "pictures" / "drawings",
            class_pictures=training_data / "class" if request.preservation else None,
        ).write(folder)
        return RunFolder(folder)

    return make
