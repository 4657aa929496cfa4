"""The Train tab's panels without a page, and a few drawings to learn from."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
from PIL import Image, ImageDraw

from studio.services import Services
from tabs import train


@pytest.fixture
def view(services: Services) -> train.TrainView:
    """All panels, built but not wired."""
    with gr.Blocks(analytics_enabled=False):
        return train.build(services)


@pytest.fixture
def draw() -> Callable[[int], Image.Image]:
    """Another drawing for each number."""

    def drawing(number: int) -> Image.Image:
        image = Image.new("RGB", (160 + 16 * (number % 4), 160), "white")
        pen = ImageDraw.Draw(image)
        pen.ellipse((20 + number, 20, 120, 130), fill=(200, (40 * number) % 255, 120))
        pen.rectangle((60, 40 + 3 * number, 90, 90), fill=(20, (90 * number) % 255, 200))
        return image

    return drawing


@pytest.fixture
def files(tmp_path: Path, draw: Callable[[int], Image.Image]) -> list[Path]:
    """Five drawings on the disk."""
    folder = tmp_path / "drawings"
    folder.mkdir()
    for number in range(5):
        draw(number).save(folder / f"thing {number}.png")
    return sorted(folder.iterdir())


@pytest.fixture
def things(services: Services, files: list[Path]) -> str:
    """The picture set "things"."""
    services.picture_sets.create("things")
    services.picture_sets.add("things", [(file.name, file) for file in files])
    return "things"


@pytest.fixture
def event() -> Callable[..., gr.EventData]:
    """What a component of ours sends."""

    def made(**told: Any) -> gr.EventData:
        return gr.EventData(None, told)

    return made


@pytest.fixture
def sums(services: Services) -> Callable[[str], dict[str, str]]:
    """The sums of a set's pictures by their names."""
    from studio.training.pictures.listing import describe, find_pictures

    def told(name: str) -> dict[str, str]:
        folder = services.picture_sets.path(name)
        facts = describe(folder, find_pictures(folder))
        return {picture: each.sha256 for picture, each in facts.items()}

    return told


@pytest.fixture
def values(view: train.TrainView) -> Callable[..., dict[Any, Any]]:
    """What the launcher's controls say, with some of them changed."""
    launcher = view.launcher

    def told(**given: Any) -> dict[Any, Any]:
        boxes = [*launcher.form.fields.values(), launcher.preset]
        said = {box: box.value for box in boxes} | {launcher.report: None}
        return said | {launcher.form.fields[name]: value for name, value in given.items()}

    return told


@pytest.fixture
def chosen(view: train.TrainView) -> Callable[..., dict[Any, Any]]:
    """What the controls of picture sets say, with some of them changed."""

    def told(**given: Any) -> dict[Any, Any]:
        said = {box: box.value for box in view.sets.asked}
        return said | {getattr(view.sets, name): value for name, value in given.items()}

    return told
