"""What the server and the process of a device are both made of: all that stands on the data folder.

Nothing heavy happens here.
"""

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from studio import kinds as kinds_of
from studio.context import Context
from studio.diffusion.resolve import resolve_generation
from studio.jobs.allowance import Allowance
from studio.jobs.queue import Kind
from studio.models.captioners import CaptionerShelf
from studio.models.catalogue import Catalogue
from studio.models.hashes import Hashes
from studio.models.journal import Journal
from studio.models.merging.workshop import Workshop
from studio.models.readers import ReaderShelf
from studio.models.speeds import Speeds
from studio.models.upscalers import UpscalerShelf
from studio.reader.answering import Answering
from studio.reader.data_sets import DataSets
from studio.reader.evaluating import Evaluating
from studio.reader.leaderboard import Leaderboard
from studio.reader_requests import EvaluateRequest
from studio.requests import GenerationRequest, Request
from studio.settings import Settings
from studio.store.belongings import Belongings, Sort
from studio.store.database import Database
from studio.store.inputs import InputStore
from studio.store.jobs import JobTable
from studio.store.outputs import OutputTable
from studio.store.quotas import Quotas, QuotaTable
from studio.store.spending import Spending
from studio.store.submissions import SubmissionTable
from studio.training.checking import Checking
from studio.training.launch.finding import checkpoint_file, find_run
from studio.training.launch.gridding import Gridding
from studio.training.pictures.caption_job import Captioning
from studio.training.pictures.sets import PictureSets

if TYPE_CHECKING:
    from studio.device.remote import Remote
    from studio.engine import Engine


FAR = ("generate", "edit", "upscale")
"""Kinds of jobs that are done on other machines, where there are such."""


@dataclass(frozen=True)
class Parts:
    """Tables, shelves and notes of one data folder."""

    settings: Settings
    database: Database
    jobs: JobTable
    outputs: OutputTable
    catalogue: Catalogue
    inputs: InputStore
    upscalers: UpscalerShelf
    readers: ReaderShelf
    captioners: CaptionerShelf
    journal: Journal
    speeds: Speeds
    picture_sets: PictureSets
    data_sets: DataSets
    leaderboard: Leaderboard
    checking: Checking
    belongings: Belongings
    allowance: Allowance

    def paint(
        self, generate: Callable[[GenerationRequest, Context], None]
    ) -> Callable[[GenerationRequest, Context], None]:
        """Has pictures made of requests that need not be complete."""

        def paint(request: GenerationRequest, context: Context) -> None:
            generate(resolve_generation(request, self.catalogue, self.upscalers), context)

        return paint


@dataclass(frozen=True)
class OnDevice:
    """The kinds of jobs that a device does: of pictures, of reading, and those that make models."""

    pictures: dict[str, Kind]
    reading: dict[str, Kind]
    making: dict[str, Kind]
    gridding: Gridding

    def elsewhere(self, run: Callable[[str, Request, Context], None]) -> "OnDevice":
        """The same kinds, done by whoever is told of them: by name, with request and context."""
        pictures, reading, making = (
            {name: replace(kind, work=partial(run, name)) for name, kind in kinds.items()}
            for kinds in (self.pictures, self.reading, self.making)
        )
        return replace(self, pictures=pictures, reading=reading, making=making)

    @property
    def far(self) -> "OnDevice":
        """Those of the kinds that need nothing of the data folder but models and inputs."""
        pictures = {name: kind for name, kind in self.pictures.items() if name in FAR}
        return replace(self, pictures=pictures, reading={}, making={})

    @property
    def near(self) -> "OnDevice":
        """The others."""
        pictures = {name: kind for name, kind in self.pictures.items() if name not in FAR}
        return replace(self, pictures=pictures)

    def evaluate(self, request: EvaluateRequest, context: Context) -> None:
        """Have a reader read a data set for a job that does more than that."""
        (kind,) = self.reading.values()
        kind.work(kind.resolve(request), context)

    @property
    def all(self) -> dict[str, Kind]:
        """All of them."""
        return self.pictures | self.reading | self.making


def build_parts(settings: Settings, journal: Journal, database: Database | None = None) -> Parts:
    """The parts on a data folder; its database is made, or brought up to date, but for another."""
    url = settings.database_url.get_secret_value()
    database = database or Database(settings.data_dir, url)
    belongings = Belongings(database)
    allowance = Allowance(
        settings.data_dir,
        QuotaTable(database, usual_quotas(settings)),
        Spending(database),
        belongings,
    )
    models, cache = settings.data_dir / "models", settings.data_dir / "cache"
    catalogue = Catalogue(
        models,
        default=settings.default_model,
        memory=cache,
        trained=partial(checkpoint_file, settings.data_dir, belongings.of(Sort.RUN)),
        owned=belongings.of(Sort.MODEL),
    )
    picture_sets = PictureSets(
        settings.data_dir, belongings.of(Sort.PICTURES), allowance.admit_files
    )
    return Parts(
        settings,
        database,
        JobTable(database),
        OutputTable(database, settings.data_dir),
        catalogue,
        InputStore(settings.data_dir, database, allowance.admit_files),
        UpscalerShelf(models / "upscalers"),
        ReaderShelf(models, Hashes(cache / "readers.json"), owned=belongings.of(Sort.MODEL)),
        CaptionerShelf(models),
        journal,
        Speeds(cache / "speeds.json"),
        picture_sets,
        DataSets(settings.data_dir, belongings.of(Sort.DATA_SET)),
        Leaderboard(SubmissionTable(database, settings.data_dir)),
        Checking(picture_sets, catalogue, cache),
        belongings,
        allowance,
    )


def shelves(parts: Parts) -> dict[Sort, Callable[[str], tuple[str, str]]]:
    """What is shared beside models: the name and the title of a thing, by its sort.

    Each raises NotFound when a thing is not there for who is at work.
    """

    def pictures(name: str) -> tuple[str, str]:
        parts.picture_sets.path(name)
        return unicodedata.normalize("NFC", name), name

    def run(name: str) -> tuple[str, str]:
        found = find_run(parts.settings.data_dir, name, parts.belongings.of(Sort.RUN))
        return found.name, found.name

    def data_set(name: str) -> tuple[str, str]:
        parts.data_sets.path(name)
        return name, name

    def submission(number: str) -> tuple[str, str]:
        row = parts.leaderboard.get(int(number) if number.isdecimal() and len(number) < 19 else 0)
        return str(row.id), f"{row.model} on {row.data_set}"

    return {
        Sort.PICTURES: pictures,
        Sort.RUN: run,
        Sort.DATA_SET: data_set,
        Sort.SUBMISSION: submission,
    }


def usual_quotas(settings: Settings) -> Quotas:
    """What a person may have of whom nothing else is said."""
    return Quotas(
        settings.quota_waiting_jobs,
        settings.quota_images_a_day,
        settings.quota_training_hours,
        settings.quota_disk,
    )


def kinds_on(engine: "Engine | Remote", parts: Parts, answering: Answering) -> OnDevice:
    """The kinds of jobs that an engine does."""
    captioning = Captioning(parts.captioners, parts.picture_sets.own)
    evaluating = Evaluating(parts.readers, parts.data_sets, parts.leaderboard, answering)
    gridding = Gridding(
        parts.settings.data_dir,
        parts.catalogue,
        parts.paint(engine.paint),
        parts.checking,
        parts.belongings.of(Sort.RUN),
    )
    pictures = kinds_of.picturing(
        engine, parts.catalogue, parts.inputs, parts.upscalers, captioning
    )
    return OnDevice(
        pictures | kinds_of.looking(gridding),
        kinds_of.reading(evaluating),
        kinds_of.making(Workshop(parts.catalogue, parts.settings.data_dir / "models")),
        gridding,
    )
