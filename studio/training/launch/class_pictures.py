"""Pictures of the class, made by the model itself, that keep it from forgetting the class.

Ruiz et al. 2022 (arXiv 2208.12242), section 4.2. They are kept by all that they depend on, so that
another training of the same class from the same model finds them; only those that lack are made.
"""

import hashlib
import json
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from PIL import Image

from studio.context import Context, ModelSpec, Signal
from studio.errors import RequestError, from_os_error
from studio.events import Event, Loading, Notice, Progress
from studio.models.catalogue import Catalogue
from studio.models.entry import ModelEntry
from studio.requests import GenerationRequest, validated
from studio.store.outputs import Picture
from studio.training_requests import TrainRequest

MANIFEST = "manifest.json"
_NAME = re.compile(r"\d{4}\.png")
_FOLDER = "class-pictures"
_TOGETHER, _AT_MOST = 4, 100
_BROKEN = (OSError, ValueError, SyntaxError, Image.DecompressionBombError)

Paint = Callable[[GenerationRequest, Context], None]
"""Makes pictures of a request that need not be complete and saves them by the context."""


@dataclass(frozen=True)
class Recipe:
    """All that the pictures depend on. model: SHA-256 of its denoiser. size: of a side, in pixels.

    The picture of number n has the seed n.
    """

    model: str
    prompt: str
    size: int
    sampler: str
    steps: int
    cfg_scale: float

    @property
    def name(self) -> str:
        """Of the folder that the pictures are in."""
        told = json.dumps(asdict(self), sort_keys=True)
        return hashlib.sha256(told.encode()).hexdigest()[:16]


class ClassPictures:
    """The class pictures of a data folder.

    cache: the folder of what can be made again. paint: the studio's own work function.
    """

    def __init__(self, cache: Path, catalogue: Catalogue, paint: Paint):
        self._root = cache / _FOLDER
        self._catalogue = catalogue
        self._paint = paint

    def recipe(self, request: TrainRequest, check: Callable[[], object]) -> Recipe:
        """What a training's class pictures are made by; check: called while the model is read."""
        entry = self._catalogue.usable(request.model)
        return Recipe(
            model=self._catalogue.sha256(entry, check),
            prompt=request.class_prompt,
            size=_side(request, entry),
            sampler=entry.sampler.value,
            steps=entry.steps,
            cfg_scale=entry.cfg_scale,
        )

    def folder(self, recipe: Recipe) -> Path:
        """Where pictures of a recipe lie: 0000.png and so on, and what they are in manifest.json.

        There may be more than a training asks for; it takes the first ones.
        """
        return self._root / recipe.name

    def missing(self, recipe: Recipe, wanted: int) -> list[int]:
        """Numbers of the pictures that are to be made for there to be so many."""
        folder = self.folder(recipe)
        return [number for number in range(wanted) if not _is_whole(folder / _file(number))]

    def make(
        self,
        request: TrainRequest,
        recipe: Recipe,
        context: Context,
        on_step: Callable[[int], None],
    ) -> Path:
        """The folder with all pictures that a request needs, made as far as they are missing.

        on_step: told how many there are, at every step of the work. Raises Cancelled; what is made
        by then stays. Raises RequestError when another process makes them.
        """
        wanted, folder = request.class_pictures or 0, self.folder(recipe)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with FileLock(folder / ".lock", timeout=0):
                _write_manifest(folder, recipe, request)
                missing = self.missing(recipe, wanted)
                if missing:
                    there = wanted - len(missing)
                    told = f"{there} of {wanted} class pictures are there; the others are made."
                    context.emit(Notice(text=told))
                painted = _Painted(folder, context, (wanted, len(missing)), on_step)
                for span in _spans(missing):
                    context.check()
                    self._paint(_asked(request.model, recipe, span), painted)
        except Timeout:
            raise RequestError(
                "The class pictures are being made by another training; wait for it."
            ) from None
        except OSError as error:
            raise from_os_error(error, f"write class pictures to {folder}") from None
        return folder


class _Painted:
    """A context whose pictures go to the cache: the job has none of its own."""

    def __init__(
        self,
        folder: Path,
        context: Context,
        counts: tuple[int, int],
        on_step: Callable[[int], None],
    ):
        self.job_id = context.job_id
        self._folder = folder
        self._context = context
        self._wanted, self._missing = counts
        self._made = 0
        self._on_step = on_step
        self._began = time.monotonic()

    def borrow(self, spec: ModelSpec) -> AbstractContextManager[Any]:
        """As of the job."""
        return self._context.borrow(spec)

    def check(self) -> Signal:
        """As of the job; none of them is skipped."""
        self._context.check()
        return Signal.GO_ON

    def emit(self, event: Event) -> None:
        """Of all that painting tells, how far it is."""
        if isinstance(event, Progress):
            self._tell(event.step / max(1, event.steps))
        elif isinstance(event, Loading | Notice):
            self._context.emit(event)

    def save(self, artifact: Picture) -> int:
        """Keep a picture by its seed, whole or not at all."""
        place = self._folder / _file(artifact.seed)
        aside = place.with_suffix(".part")
        with aside.open("wb") as stream:
            stream.write(artifact.data)
            stream.flush()
            os.fsync(stream.fileno())
        aside.replace(place)
        self._made += 1
        self._tell(0.0)
        return 0

    def _tell(self, share: float) -> None:
        """share: of the picture at work."""
        done = self._made + share
        left = (time.monotonic() - self._began) * (self._missing - done) / done if done else None
        there = self._wanted - self._missing + self._made
        self._on_step(there)
        self._context.emit(
            Progress(
                step=there,
                steps=self._wanted,
                item=1,
                items=1,
                seconds_left=left,
                label="class pictures",
                unit="picture",
            )
        )


def _side(request: TrainRequest, entry: ModelEntry) -> int:
    """The side of the training's own pictures, as a number that the model can paint."""
    side = request.resolution or entry.width
    return max(entry.multiple, side // entry.multiple * entry.multiple)


def _file(number: int) -> str:
    return f"{number:04}.png"


def _is_whole(path: Path) -> bool:
    try:
        with Image.open(path) as image:
            image.verify()
    except _BROKEN:
        return False
    return True


def _spans(numbers: list[int]) -> Iterator[range]:
    """Numbers that follow each other, as many as one request makes."""
    start = 0
    while start < len(numbers):
        end = start + 1
        while numbers[end : end + 1] == [numbers[end - 1] + 1] and end - start < _AT_MOST:
            end += 1
        yield range(numbers[start], numbers[end - 1] + 1)
        start = end


def _asked(model: str, recipe: Recipe, span: range) -> GenerationRequest:
    together = next(n for n in range(_TOGETHER, 0, -1) if len(span) % n == 0)
    fields = {
        "model": model,
        "prompt": recipe.prompt,
        "width": recipe.size,
        "height": recipe.size,
        "sampler": recipe.sampler,
        "steps": recipe.steps,
        "cfg_scale": recipe.cfg_scale,
        "seed": span.start,
        "batch_size": together,
        "batch_count": len(span) // together,
        "preview_every": 0,
    }
    asked: GenerationRequest = validated(GenerationRequest, fields)
    return asked


def _write_manifest(folder: Path, recipe: Recipe, request: TrainRequest) -> None:
    """What the pictures are, for whoever looks into the folder."""
    if (folder / MANIFEST).is_file():
        return
    told = {**asdict(recipe), "made_by": request.model, "seeds": "the number of the picture"}
    aside = folder / f"{MANIFEST}.part"
    aside.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
    aside.replace(folder / MANIFEST)
