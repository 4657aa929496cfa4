"""What is refused before a run begins, and where a run lies.

A run lies in runs/<name>-<hash of all that it is asked>. The same request again goes on with it;
another request cannot take its name.
"""

import hashlib
import importlib.util
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from studio.errors import Forbidden, ModelError, RequestError, first_words
from studio.models.catalogue import Catalogue
from studio.models.entry import ModelEntry
from studio.models.families import Texts
from studio.people import EVERYBODYS, Owned
from studio.training.launch.finding import RUNS, run_folders, title_of
from studio.training.launch.process import is_running
from studio.training.run_folder import RESULT, TASK, Phase, RunFolder
from studio.training_requests import Method, TrainRequest

CHECKPOINTS = "checkpoints"
_CONFIGURATIONS = "accelerate"
_SPARE = 200_000_000
_LORA_SHARE, _WHOLE_SHARE = 0.2, 7.0
"""Bytes of a run as a share of its model's: checkpoints with the optimiser's numbers, result."""

_SAME_RUN = {"owner", "processes", "accelerate", "threads", "micro_batch", "checkpointing"}
"""Who asks, and how the same steps are spread over devices and memory, make no other run."""

Asked = TypeVar("Asked", bound=TrainRequest)
Derive = Callable[[TrainRequest, Path, ModelEntry], TrainRequest]
"""Fills in what follows from the pictures in a folder and the model; DataError without pictures."""


class Asking:
    """Completes requests for trainings of a data folder, or refuses them in one sentence.

    pictures: the folder of a picture set by its name; NotFound when there is none. owned: whose
    which run is.
    """

    def __init__(
        self,
        data: Path,
        catalogue: Catalogue,
        pictures: Callable[[str], Path],
        derive: Derive,
        owned: Owned = EVERYBODYS,
    ):
        self._data = data
        self._owned = owned
        self._models = data / "models"
        self._catalogue = catalogue
        self._pictures = pictures
        self._derive = derive

    def __call__(self, request: TrainRequest) -> TrainRequest:
        """The request with nothing left open, once it is known that it can be done."""
        resolved = self.completed(request)
        entry = self._catalogue.usable(resolved.model)
        run = self.folder(resolved)
        if (run.path / TASK).is_file() and not self._is_own(run):
            raise RequestError(f"Name {request.name!r} is taken; choose another one.", "name")
        if not (run.path / TASK).is_file():
            self._check_name(resolved, run)
        elif run.status().phase is Phase.FINISHED:
            raise RequestError(
                f"The run {request.name!r} is finished; choose another name to train again.",
                "name",
            )
        self._check_room(resolved, entry)
        return resolved

    def _is_own(self, run: RunFolder) -> bool:
        """Whether who is at work may go on with a run; one that is only shared is another's."""
        try:
            self._owned.demand(run.name)
        except Forbidden:
            return False
        return True

    def keep(self, request: TrainRequest) -> None:
        """Note whose a run will be that is begun, with what it makes."""
        run = self.folder(request)
        if not (run.path / TASK).is_file():
            self._owned.keep(run.name)
            self._catalogue.keep(place_of(request, self._models))

    def completed(self, request: Asked) -> Asked:
        """The request with nothing left open, whatever it is called."""
        entry = self._catalogue.usable(request.model)
        check_family(request, entry)
        self.configuration(request)
        found = self._derive(request, self._pictures(request.pictures), entry)
        fields = {**found.model_dump(exclude={"kind"}), "model": entry.id}
        return type(request).model_validate(fields)

    def folder(self, request: TrainRequest) -> RunFolder:
        """The folder of a complete request's run, which need not be there yet."""
        told = request.model_dump_json(exclude=_SAME_RUN)
        name = f"{request.name}-{hashlib.sha256(told.encode()).hexdigest()[:8]}"
        return RunFolder(self._data / RUNS / name)

    def pictures(self, request: TrainRequest) -> Path:
        """The folder of a request's picture set."""
        return self._pictures(request.pictures)

    def configuration(self, request: TrainRequest) -> Path | None:
        """The file by which accelerate's launcher is told of devices, None for a plain start."""
        if not request.accelerate:
            return None
        folder = self._data / _CONFIGURATIONS
        there = {file.stem: file for file in sorted(folder.glob("*.yaml"))}
        found = there.get(request.accelerate)
        if found is None:
            raise RequestError(
                f"There is no configuration of accelerate called {request.accelerate!r} in "
                f"{folder}; there are: {', '.join(there) or 'none'}.",
                "accelerate",
            )
        _check_configuration(found)
        return found

    def _check_name(self, request: TrainRequest, run: RunFolder) -> None:
        name = request.name.casefold()
        shelves = {
            "a model": [entry.id for entry in self._catalogue.entries()],
            "a LoRA": [lora.name for lora in self._catalogue.loras.entries()],
            "an embedding": [each.word for each in self._catalogue.embeddings.entries()],
        }
        for what, names in shelves.items():
            if name in {each.casefold() for each in names}:
                raise RequestError(
                    f"Name {request.name!r} is taken by {what} that is here; choose another one.",
                    "name",
                )
        place = place_of(request, self._models)
        if place.exists():
            raise RequestError(f"{place} is in the way; choose another name.", "name")
        for other in run_folders(self._data):
            taken = other.path != run.path and name == title_of(other).casefold()
            if taken and is_worth_keeping(other):
                if not self._owned.shows(other.name):
                    words = f"Name {request.name!r} is taken; choose another one."
                    raise RequestError(words, "name")
                raise RequestError(
                    f"Name {request.name!r} is taken by the run {other.name}, which has other "
                    "settings; choose another name, or remove that run.",
                    "name",
                )

    def _check_room(self, request: TrainRequest, entry: ModelEntry) -> None:
        """Roughly, so that what is hopeless does not begin: each save looks for itself."""
        share = _WHOLE_SHARE if request.trains_weights else _LORA_SHARE
        if request.method is Method.TEXTUAL_INVERSION:
            share = 0.0
        side = request.resolution or entry.width
        pictures = 2 * side * side * (request.class_pictures or 0) * request.preservation
        needed = int(share * entry.bytes) + pictures + _SPARE
        free = shutil.disk_usage(self._data).free
        if needed > free:
            raise ModelError(
                f"The training needs about {needed / 1e9:,.1f} GB, but only {free / 1e9:,.1f} GB "
                f"are free in {self._data}; free some space or choose another data folder "
                "(ATELIER_DATA_DIR)."
            )


def check_family(request: TrainRequest, entry: ModelEntry) -> None:
    """ModelError when a model of this family cannot be trained, or not by this method."""
    family = entry.family
    assert family is not None
    if family.pipeline == family.image:
        raise ModelError(
            f"{entry.title} is {family.name}, which makes no pictures of its own and cannot be "
            "trained; choose another model."
        )
    if family.texts is not Texts.CLIP and not request.adds_lora:
        raise ModelError(
            f"{entry.title} is {family.name}, for which only LoRAs can be trained; choose the "
            "method 'lora' or another model."
        )


def place_of(request: TrainRequest, models: Path) -> Path:
    """Where a training's outcome belongs in the models folder."""
    if request.adds_lora:
        return models / "loras" / f"{request.name}.safetensors"
    if request.method is Method.TEXTUAL_INVERSION:
        return models / "embeddings" / f"{request.name}.safetensors"
    return models / request.name


def is_worth_keeping(run: RunFolder) -> bool:
    """Whether a run goes on, waits, can be gone on with or has made something."""
    status = run.status()
    return (
        is_running(run)
        or status.phase in (Phase.WAITING, Phase.FINISHED)
        or any((run.path / CHECKPOINTS).glob("step-*"))
        or (run.path / RESULT).exists()
    )


def _check_configuration(file: Path) -> None:
    import yaml

    try:
        told = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        first = first_words(error)
        raise RequestError(f"{file} cannot be read ({first}); mend it.", "accelerate") from None
    if not isinstance(told, dict) or told.get("compute_environment") != "LOCAL_MACHINE":
        raise RequestError(
            f"{file} is no configuration of accelerate for machines of one's own; make one with "
            "`accelerate config`.",
            "accelerate",
        )
    if told.get("distributed_type") == "DEEPSPEED" and not importlib.util.find_spec("deepspeed"):
        raise RequestError(
            f"{file} asks for DeepSpeed, which is not installed; install it or choose FSDP.",
            "accelerate",
        )
