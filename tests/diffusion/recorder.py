"""Runs the work function of pictures and keeps all that it does, in memory."""

import functools
import io
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from studio.context import ModelSpec, Signal
from studio.diffusion.resolve import resolve_edit, resolve_generation, resolve_upscale
from studio.events import Event, Preview, Progress
from studio.requests import EditRequest, GenerationRequest, UpscaleRequest
from studio.services import Services
from studio.store.outputs import Picture


@dataclass
class Recorder:
    """A context that keeps what a work function does, in memory."""

    services: Services
    on_check: Callable[[], Signal] = lambda: Signal.GO_ON
    job_id: str = "recorded"
    events: list[Event] = field(default_factory=list)
    pictures: list[Picture] = field(default_factory=list)

    def borrow(self, spec: ModelSpec) -> AbstractContextManager[Any]:
        return self.services.engine.models.borrow(spec)

    def emit(self, event: Event) -> None:
        self.events.append(event)

    def check(self) -> Signal:
        return self.on_check()

    def save(self, artifact: Picture) -> int:
        self.pictures.append(artifact)
        return len(self.pictures)

    @property
    def images(self) -> list[np.ndarray]:
        """The pictures as (height, width, 3) bytes."""
        return [pixels(picture.data) for picture in self.pictures]

    @property
    def previews(self) -> list[Preview]:
        return [event for event in self.events if isinstance(event, Preview)]

    @property
    def progress(self) -> list[Progress]:
        return [event for event in self.events if isinstance(event, Progress)]


class Studio:
    """Requests in, what the work function did out: no queue and no database in between."""

    def __init__(self, services: Services):
        self.services = services

    def make(
        self, on_check: Callable[[], Signal] = lambda: Signal.GO_ON, **fields: Any
    ) -> Recorder:
        """Run a request; without a word on it, there are few steps and no previews."""
        request = GenerationRequest(**{"steps": 6, "seed": 7, "preview_every": 0, **fields})
        resolved = resolve_generation(request, self.services.catalogue, self.services.upscalers)
        recorder = Recorder(self.services, on_check)
        self.services.engine.generate(resolved, recorder)
        return recorder

    def edit(
        self,
        source: np.ndarray,
        mask: np.ndarray | None = None,
        on_check: Callable[[], Signal] = lambda: Signal.GO_ON,
        **fields: Any,
    ) -> Recorder:
        """Change a picture (h, w, 3); mask: (h, w), 255 where it may change."""
        inputs = self.services.inputs
        fields["source"] = inputs.add_image(Image.fromarray(source)).hash
        if mask is not None:
            fields["mask"] = inputs.add_image(Image.fromarray(mask)).hash
        request = EditRequest(**{"steps": 6, "seed": 7, "preview_every": 0, **fields})
        resolved = resolve_edit(request, self.services.catalogue, inputs)
        recorder = Recorder(self.services, on_check)
        self.services.engine.edit(resolved, recorder)
        return recorder

    def upscale(
        self,
        source: np.ndarray,
        on_check: Callable[[], Signal] = lambda: Signal.GO_ON,
        **fields: Any,
    ) -> Recorder:
        """Make a picture (h, w, 3) larger."""
        services = self.services
        fields["source"] = services.inputs.add_image(Image.fromarray(source)).hash
        request = UpscaleRequest(**{"steps": 6, "seed": 7, "preview_every": 0, **fields})
        resolved = resolve_upscale(request, services.catalogue, services.inputs, services.upscalers)
        recorder = Recorder(services, on_check)
        services.engine.upscale(resolved, recorder)
        return recorder

    def pixels(self, **fields: Any) -> np.ndarray:
        """The first picture of a request as (height, width, 3) bytes."""
        return self.make(**fields).images[0]

    def borrow(self, model: str = "") -> AbstractContextManager[Any]:
        """The pipeline of a model, by default the embedded one."""
        model_id = self.services.catalogue.get(model).id
        return self.services.engine.models.borrow(ModelSpec("diffusion", model_id, "text2image"))


def pixels(data: bytes) -> np.ndarray:
    """An encoded picture as (height, width, 3) bytes."""
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))


def clean_environment(patch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("ATELIER_"):
            patch.delenv(name)


@contextmanager
def recorded(scheduler_class: type) -> Iterator[list[torch.Tensor]]:
    """All latents that schedulers of a class give while the block runs."""
    original = scheduler_class.step
    seen: list[torch.Tensor] = []

    @functools.wraps(original)
    def step(self: Any, *args: Any, **kwargs: Any) -> Any:
        result = original(self, *args, **kwargs)
        seen.append(result[0].clone())
        return result

    scheduler_class.step = step
    try:
        yield seen
    finally:
        scheduler_class.step = original
