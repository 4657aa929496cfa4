"""Pictures of the class, made by the model itself, that keep it from forgetting the class.

Ruiz et al. 2022 (arXiv 2208.12242), section 4.2. They are kept by all that they depend on, so that
another training of the same class from the same model finds them; only those that lack are made.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from filelock import FileLock, Timeout
from PIL import Image

from studio.context import Context
from studio.errors import RequestError, from_os_error
from studio.events import Notice
from studio.models.catalogue import Catalogue
from studio.requests import GenerationRequest, validated
from studio.store.outputs import Picture
from studio.store.writing import replace_file
from studio.training.counting import Counted
from studio.training.launch.painting import Paint, Painting, side_of
from studio.training_requests import TrainRequest

MANIFEST = "manifest.json"
_NAME = re.compile(r"\d{4}\.png")
_FOLDER = "class-pictures"
_TOGETHER, _AT_MOST = 4, 100
_BROKEN = (OSError, ValueError, SyntaxError, Image.DecompressionBombError)


@dataclass(frozen=True)
class Recipe:
    """All that the pictures depend on. model: SHA-256 of its denoiser. size: of a side, in pixels.

    prompts: in turns. The picture of number n has the seed n.
    """

    model: str
    prompts: tuple[str, ...]
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
            prompts=request.class_prompts,
            size=side_of(request, entry),
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
                there = wanted - len(missing)
                if missing:
                    told = f"{there} of {wanted} class pictures are there; the others are made."
                    context.emit(Notice(text=told))
                keeping = _Keeping(folder, context, (wanted, there), on_step)
                painting = Painting(context, keeping.keep, keeping.tell)
                for span in _spans(missing, _AT_MOST if len(recipe.prompts) == 1 else 1):
                    context.check()
                    self._paint(_asked(request.model, recipe, span), painting)
        except Timeout:
            raise RequestError(
                "The class pictures are being made by another training; wait for it."
            ) from None
        except OSError as error:
            raise from_os_error(error, f"write class pictures to {folder}") from None
        return folder


class _Keeping:
    """Keeps the pictures of a folder that are made, and tells how far that is.

    counts: how many are wanted, and how many of them are there.
    """

    def __init__(
        self,
        folder: Path,
        context: Context,
        counts: tuple[int, int],
        on_step: Callable[[int], None],
    ):
        self._folder = folder
        self._wanted, self._there = counts
        self._counted = Counted(context.emit, "class pictures", self._there)
        self._on_step = on_step

    def keep(self, picture: Picture) -> None:
        """Keep a picture by its seed, whole or not at all."""
        replace_file(self._folder / _file(picture.seed), picture.data)
        self._there += 1
        self.tell(0.0)

    def tell(self, share: float) -> None:
        """share: of the picture at work."""
        self._on_step(self._there)
        self._counted.tell(self._there, self._wanted, share)


def _file(number: int) -> str:
    return f"{number:04}.png"


def _is_whole(path: Path) -> bool:
    try:
        with Image.open(path) as image:
            image.verify()
    except _BROKEN:
        return False
    return True


def _spans(numbers: list[int], most: int) -> Iterator[range]:
    """Numbers that follow each other, as many as one request makes."""
    start = 0
    while start < len(numbers):
        end = start + 1
        while numbers[end : end + 1] == [numbers[end - 1] + 1] and end - start < most:
            end += 1
        yield range(numbers[start], numbers[end - 1] + 1)
        start = end


def _asked(model: str, recipe: Recipe, span: range) -> GenerationRequest:
    together = next(n for n in range(_TOGETHER, 0, -1) if len(span) % n == 0)
    fields = {
        "model": model,
        "prompt": recipe.prompts[span.start % len(recipe.prompts)],
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
