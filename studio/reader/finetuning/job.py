"""The job that makes a reader: a run in a child process, then its scores on the leaderboard.

A run lies in runs/<name>-<hash of all that it is asked>. So the same request goes on where an
earlier job was cancelled or killed, and another one begins anew.
"""

import filecmp
import hashlib
import json
import re
import shutil
import time
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

from studio.context import Context
from studio.errors import ModelError, RequestError, StorageError, from_os_error
from studio.events import Measured, Notice, Progress
from studio.models.devices import Device
from studio.models.merging.output import check_free, staged
from studio.models.readers import ReaderShelf
from studio.reader.data_sets import DataSets
from studio.reader.finetuning.card import Made, card
from studio.reader.finetuning.child import Child
from studio.reader.finetuning.options import FILE_NAME, Options
from studio.reader.leaderboard import Leaderboard
from studio.reader_requests import EvaluateRequest, FinetuneRequest, Precision, Recipe
from studio.requests import validated
from studio.store.writing import flush

_READERS, _ENCODERS = "readers", "encoders"
_HUB_ID = re.compile(r"(?:[\w-][\w.-]*/)?[\w-][\w.-]*")
_NEEDED = re.compile(
    r"config\.json|model.*\.safetensors(?:\.index\.json)?|.*token.*\.json|vocab\..*|merges\.txt|"
    r".*\.model|LICENSE.*|NOTICE.*"
)
"""Files of an encoder that are taken along when it is kept."""
_KEPT = "training.json"
_LOOKS, _LOOK_SECONDS = 40, 0.25


class Finetuning:
    """The work function of fine-tunings, and what completes their requests.

    data: the data folder. evaluate: has a reader read a data set. device: tells it once torch may
    be imported.
    """

    def __init__(
        self,
        data: Path,
        shelf: ReaderShelf,
        data_sets: DataSets,
        evaluate: Callable[[EvaluateRequest, Context], None],
        leaderboard: Leaderboard,
        device: Callable[[], Device],
    ):
        self._models = data / "models"
        self._runs = data / "runs"
        self._shelf = shelf
        self._data_sets = data_sets
        self._submit_scores = evaluate
        self._leaderboard = leaderboard
        self._device = device

    def resolve(self, request: FinetuneRequest) -> FinetuneRequest:
        """The request, once it is known that its parts are there and its name is free."""
        options = self._options(request)
        place = self._place(request)
        if not self._is_of(place, self._run(request, options)):
            self._check_name(request, place)
        return request

    def __call__(self, request: FinetuneRequest, context: Context) -> None:
        """Train, or go on with it; then calibrate, evaluate and submit."""
        options = self._options(request)
        run, place = self._run(request, options), self._place(request)
        if not self._is_of(place, run):
            self._check_name(request, place)
            if not (run / FILE_NAME).is_file():
                self._shelf.keep(place)
                options.write(run)
            self._train(run, request.processes, context)
            self._publish(run, place, request, options)
        if request.dev and self._leaderboard.of_job(context.job_id) is None:
            self._evaluate(place, request, context)
        self._write_card(place, request, options, context.job_id)
        for name in ("checkpoints", "best", "windows"):
            shutil.rmtree(run / name, ignore_errors=True)

    def keep_encoder(self, folder: Path) -> str:
        """Copy an encoder into the models folder and return its id; the same one is kept once.

        Raises ModelError when the folder holds none.
        """
        folder = folder.resolve()
        if not (folder / "config.json").is_file():
            raise ModelError(f"{folder} holds no model: it has no config.json.")
        files = [each for each in folder.iterdir() if _NEEDED.fullmatch(each.name)]
        number, place = 1, self._models / _ENCODERS / folder.name
        while place.exists() and not _same(files, place):
            number += 1
            place = place.with_name(f"{folder.name} {number}")
        if not place.exists():
            with staged(self._models, place, sum(each.stat().st_size for each in files)) as made:
                made.mkdir()
                for each in files:
                    shutil.copyfile(each, made / each.name)
        return self._id(place)

    def _options(self, request: FinetuneRequest) -> Options:
        """What the child is told; raises when a part of it is missing."""
        return Options(
            **{name: getattr(request, name) for name in Recipe.model_fields},
            base=self._base(request.base),
            train=self._data_sets.path(request.train),
            dev=self._data_sets.path(request.dev) if request.dev else None,
            teachers=tuple(self._shelf.usable(each).path for each in request.teachers),
        )

    def _base(self, name: str) -> str:
        """The folder of a model that is here, or the id of one on the hub."""
        for entry in self._shelf.entries():
            if entry.id == name:
                return str(entry.path)
        if not _HUB_ID.fullmatch(name):
            names = ", ".join(entry.id for entry in self._shelf.entries()) or "none"
            raise RequestError(
                f"Base {name!r} is neither a model that is here ({names}) nor an id on the hub, "
                "such as microsoft/deberta-v3-small.",
                "base",
            )
        return name

    def _run(self, request: FinetuneRequest, options: Options) -> Path:
        # By what they hold, so that a file that was deleted and added again is the same.
        sums = [self._data_sets.sha256(name) for name in (request.train, request.dev) if name]
        told = json.dumps([options.model_dump(mode="json"), sums, request.processes])
        return self._runs / f"{request.name}-{hashlib.sha256(told.encode()).hexdigest()[:8]}"

    def _place(self, request: FinetuneRequest) -> Path:
        return self._models / _READERS / request.name

    def _check_name(self, request: FinetuneRequest, place: Path) -> None:
        folded = {entry.id.casefold() for entry in self._shelf.entries()}
        if request.name.casefold() in folded:
            raise RequestError(
                f"Name {request.name!r} is taken by a reader that is here; choose another one.",
                "name",
            )
        check_free(self._models, place)

    def _is_of(self, place: Path, run: Path) -> bool:
        """Whether a model in its place was made by this run: the job was killed after that."""
        try:
            told = json.loads((place / _KEPT).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return False
        return isinstance(told, dict) and told.get("run") == run.name

    def _train(self, run: Path, processes: int, context: Context) -> None:
        child = Child(run, self._device(), processes)
        try:
            for told in child.told():
                context.check()
                if told is not None:
                    _relay(told, run, context)
        finally:
            child.stop()

    def _publish(self, run: Path, place: Path, request: FinetuneRequest, options: Options) -> None:
        best = run / "best"
        size = sum(each.stat().st_size for each in best.iterdir())
        with staged(self._models, place, size) as made:
            shutil.copytree(best, made)
            told = json.loads((made / _KEPT).read_text(encoding="utf-8")) | {"run": run.name}
            told["base"] = request.base
            (made / _KEPT).write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
            text = card(request.name, request.base, request.train, _made(made), options, None)
            (made / "README.md").write_text(text, encoding="utf-8")
            for each in (*made.iterdir(), made):
                flush(each)

    def _evaluate(self, place: Path, request: FinetuneRequest, context: Context) -> None:
        asked = {
            "data_set": request.dev,
            "reader": self._id(place),
            "precision": Precision.FULL,
            "who": request.who,
        }
        self._submit_scores(validated(EvaluateRequest, asked), context)

    def _write_card(
        self, place: Path, request: FinetuneRequest, options: Options, job_id: str
    ) -> None:
        """Write the card again, now with the scores on the dev set."""
        row = self._leaderboard.of_job(job_id)
        text = card(request.name, request.base, request.train, _made(place), options, row)
        aside = place / "README.md.part"
        try:
            aside.write_text(text, encoding="utf-8")
            aside.replace(place / "README.md")
        except OSError as error:
            raise from_os_error(error, f"write {place / 'README.md'}") from None

    def _id(self, place: Path) -> str:
        for entry in self._shelf.entries():
            if entry.path == place:
                return entry.id
        raise StorageError(f"{place} was written but is not there; make the model again.")


def _relay(told: dict[str, Any], run: Path, context: Context) -> None:
    """Tell a job's listeners what the program tells."""
    match told["type"]:
        case "started" if told["step"]:
            from studio.reader.finetuning.loop import curve

            context.emit(Notice(text=f"Goes on from step {told['step']:,} of {told['steps']:,}."))
            for point in curve(run):
                if point["step"] <= told["step"]:
                    _measured(point, context)
        case "labelled":
            _progress(told, "teachers", "part", context)
        case "progress":
            _progress(told, "training", "step", context)
            values = {name: told[name] for name in ("loss", "learning_rate")}
            context.emit(Measured(step=told["step"], values=values))
        case "scores":
            context.emit(Measured(step=told["step"], values=told["values"]))
        case "reading":
            _progress(told, "calibration", "window", context)
        case "calibrated":
            values = told["values"]
            context.emit(
                Notice(
                    text=f"Calibrated on {values['questions']:,} held-out questions."
                    if values
                    else "Not calibrated: the held-out questions are all of one sort, with an "
                    "answer or without."
                )
            )
        case "failed":
            raise ModelError(told["reason"])
        case "stopped":
            # Whoever stops a machine may end the program before this server knows of it.
            for _ in range(_LOOKS):
                context.check()
                time.sleep(_LOOK_SECONDS)
            raise ModelError(
                "The training was told to stop by the system; begin it again with the same "
                "settings and it goes on from its last checkpoint."
            )


def _progress(told: dict[str, Any], label: str, unit: str, context: Context) -> None:
    context.emit(
        Progress(
            step=told["step"],
            steps=told["steps"],
            item=1,
            items=1,
            seconds_left=told.get("seconds_left"),
            label=label,
            unit=unit,
        )
    )


def _measured(point: dict[str, Any], context: Context) -> None:
    values = {name: value for name, value in point.items() if name != "step"}
    context.emit(Measured(step=point["step"], values=values))


def _made(folder: Path) -> Made:
    told = json.loads((folder / _KEPT).read_text(encoding="utf-8"))
    return Made(**{field.name: told[field.name] for field in fields(Made)})


def _same(files: list[Path], place: Path) -> bool:
    """Whether a folder holds these files to the last byte."""
    names = [each.name for each in files]
    _, different, missing = filecmp.cmpfiles(files[0].parent, place, names, shallow=False)
    return not different and not missing
