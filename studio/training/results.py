"""What a run makes: a file or a folder that can be used at once, in the middle and at its end."""

import contextlib
import io
import time
from collections import Counter
from pathlib import Path

from PIL import Image

from studio.errors import ModelError
from studio.models.catalogue import Catalogue
from studio.models.hashes import legacy_hash
from studio.training.assembly import Parts
from studio.training.choice import export_path
from studio.training.export.card import model_card
from studio.training.export.embedding import write_embedding
from studio.training.export.facts import Facts, versions
from studio.training.export.lora import write_lora
from studio.training.export.whole import write_file, write_folder
from studio.training.launch.asking import place_of
from studio.training.methods.trained import ADAPTER
from studio.training.pictures.captions import tags_of
from studio.training.run_folder import RESULT, RunFolder
from studio.training_requests import Method

_CARD = "README.md"
_THUMBNAIL = 256
_DTYPE = "float16"


class Results:
    """Writes what the live weights of a run are."""

    def __init__(self, parts: Parts):
        self._parts = parts
        self._folder = parts.folder
        self._began = time.time()
        self._base = _base(parts)

    def keep(self, step: int) -> None:
        """Write a LoRA or an embedding as it is now into the run's folder, to choose from."""
        if not self._parts.request.trains_weights:
            self._write_small(export_path(self._folder, step), step)

    def publish(self) -> Path:
        """Put what was made where models are looked for, and its card into the run's folder.

        The run that made it before may write it again. A whole model is also written as one file
        into the run's folder, where there is such a layout.
        """
        parts = self._parts
        request = parts.request
        assert request.steps
        facts = self.facts(request.steps)
        result = self._folder.path / RESULT
        result.mkdir(exist_ok=True)
        (result / _CARD).write_text(model_card(facts), encoding="utf-8")
        place = place_of(request, parts.task.data / "models")
        if not request.trains_weights:
            self._write_small(place, request.steps)
            return place
        card = parts.entry.path / "atelier.toml"
        told = card.read_text(encoding="utf-8") if card.is_file() else ""
        write_folder(parts.pipe, facts, place, _DTYPE, card=told, replace=True)
        with contextlib.suppress(ModelError):  # a model that has no such layout is a folder alone
            write_file(
                parts.pipe, facts, result / f"{request.name}.safetensors", _DTYPE, replace=True
            )
        return place

    def facts(self, step: int) -> Facts:
        """What is known of the run at a step."""
        parts = self._parts
        request, family = parts.request, parts.entry.family
        assert family is not None
        placed = parts.lessons.placed
        own = list(placed[: parts.count])
        captions: dict[str, list[str]] = {}
        repeats: dict[str, int] = {}
        for each in own:
            place = each.example.name.rpartition("/")[0] or request.pictures
            captions.setdefault(place, []).append(each.example.caption)
            repeats[place] = each.example.repeats
        curve = self._folder.curve()[0]
        steps = request.steps or 0
        epoch = parts.plan.steps_an_epoch
        return Facts(
            request=request,
            family=family.key,
            velocity=parts.pipe.scheduler.config.get("prediction_type") == "v_prediction",
            base=parts.entry.title,
            base_sha256=self._base[0],
            base_legacy=self._base[1],
            pictures=len(own),
            class_pictures=len(placed) - len(own),
            folders={name: (repeats[name], len(found)) for name, found in captions.items()},
            tags={
                name: Counter(tag for caption in found for tag in tags_of(caption))
                for name, found in captions.items()
            },
            buckets=Counter(each.bucket for each in own),
            hashes={each.example.name: each.example.sha256 for each in own},
            resolution=(request.resolution or parts.entry.width,) * 2,
            epoch=-(-step // epoch),
            epochs=-(-steps // epoch),
            step=step,
            steps=steps,
            batch=request.micro_batch or request.batch_size,
            accumulation=max(1, request.batch_size // (request.micro_batch or request.batch_size)),
            processes=request.processes,
            precision=request.precision,
            checkpointing=bool(request.checkpointing),
            started=self._began,
            finished=time.time(),
            triggers=_triggers(parts),
            thumbnail=_thumbnail(self._folder, step),
            curve=curve[-1] if curve else {},
            versions=versions(),
        )

    def _write_small(self, place: Path, step: int) -> None:
        parts = self._parts
        place.parent.mkdir(parents=True, exist_ok=True)
        if parts.request.adds_lora:
            write_lora(parts.pipe, ADAPTER, self.facts(step), place, replace=True)
            return
        vectors = list(parts.changed.weights.values())
        write_embedding(vectors, self.facts(step), place, replace=True)


def _triggers(parts: Parts) -> tuple[str, ...]:
    request = parts.request
    if request.method is Method.TEXTUAL_INVERSION:
        return (request.name,)  # the word of an embedding is its file's name
    word = request.trigger or request.prompt
    return (word,) if word else ()


def _base(parts: Parts) -> tuple[str, str]:
    """The hashes of the model that the run begins with, "" for those that it has none of."""
    catalogue = Catalogue(parts.task.data / "models", memory=parts.task.data / "cache")
    entry, legacy = parts.entry, ""
    if entry.original is not None:
        with contextlib.suppress(OSError):
            legacy = legacy_hash(entry.path)
    return catalogue.sha256(entry), legacy


def _thumbnail(folder: RunFolder, step: int) -> bytes:
    """The newest sample of the first prompt as a small JPEG, b"" without one."""
    files = [file for at, number, file in folder.samples() if number == 0 and at <= step]
    if not files:
        return b""
    stream = io.BytesIO()
    with Image.open(files[-1]) as sample:
        small = sample.convert("RGB")
    small.thumbnail((_THUMBNAIL, _THUMBNAIL))
    small.save(stream, "JPEG", quality=85)
    return stream.getvalue()
