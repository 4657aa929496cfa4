"""The page on a fresh data folder, its parts, and events as a browser sends them."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
from sample_pictures import picture

from studio.requests import GenerationRequest
from studio.services import Services, build_services
from studio.settings import Settings
from tabs import edit, extras, gallery, generate, models
from tabs.blocks import header


@dataclass(frozen=True)
class Parts:
    """The tabs, built but not wired."""

    generate: generate.GenerateView
    edit: edit.EditView
    extras: extras.ExtrasView
    gallery: gallery.GalleryView
    models: models.ModelsView
    model: gr.Dropdown


@pytest.fixture(scope="session")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parts]:
    services = build_services(Settings(data_dir=tmp_path_factory.mktemp("parts"), device="cpu"))
    with gr.Blocks(analytics_enabled=False):
        model = header.build(services).model
        makers = (tab.build(services, model) for tab in (generate, edit, extras))
        built = Parts(*makers, gallery.build(), models.build(), model)
    yield built
    services.stop()


@pytest.fixture
def handlers(services: Services, parts: Parts) -> generate.Handlers:
    return generate.Handlers(services, parts.generate)


@pytest.fixture
def uploads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that Gradio puts uploaded files into."""
    folder = tmp_path / "uploads"
    folder.mkdir()
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(folder))
    return folder


@pytest.fixture
def saved(services: Services):
    """Keeps a picture as if a job of this request had made it and returns its id."""

    def save(**fields: Any) -> int:
        request = GenerationRequest(**{"seed": 7, "prompt": "a red apple", **fields})
        job_id = services.queue.submit(request)
        resolved = services.queue.request(services.queue.get(job_id))
        services.queue.cancel(job_id)
        made = picture(resolved.prompt, resolved.seed, resolved.model)
        return services.outputs.save(job_id, replace(made, request=resolved.model_dump_json()))

    return save
