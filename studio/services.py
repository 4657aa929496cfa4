"""The composition root: settings in, one frozen set of services out. Nothing heavy happens here."""

import importlib.util
import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from filelock import FileLock, Timeout
from prometheus_client import CollectorRegistry

from studio.context import Context
from studio.diffusion.resolve import (
    resolve_edit,
    resolve_generation,
    resolve_timing,
    resolve_upscale,
)
from studio.engine import Engine
from studio.errors import AtelierError, SettingsError, StorageError, from_os_error
from studio.jobs.hooks import JobLog, MemoryRelease
from studio.jobs.queue import JobQueue, Kind, Use
from studio.jobs.worker import Runner, Worker, runner_name
from studio.model_requests import BakeRequest, ExtractRequest, MergeRequest
from studio.models.captioners import CaptionerShelf
from studio.models.catalogue import Catalogue
from studio.models.entry import ModelEntry
from studio.models.hashes import Hashes
from studio.models.hub import Hub
from studio.models.idle import Tidying
from studio.models.journal import Journal
from studio.models.library import Library, preferred_model
from studio.models.merging.workshop import Workshop
from studio.models.readers import ReaderShelf
from studio.models.speeds import Speeds
from studio.models.upscalers import UpscalerShelf
from studio.reader.answering import Answering
from studio.reader.data_sets import DataSets
from studio.reader.evaluating import Evaluating
from studio.reader.finetuning.job import Finetuning
from studio.reader.leaderboard import Leaderboard
from studio.reader_requests import EvaluateRequest, FetchDataRequest, FinetuneRequest
from studio.requests import (
    DownloadRequest,
    EditRequest,
    GenerationRequest,
    Request,
    TimingRequest,
    UpscaleRequest,
)
from studio.settings import Settings
from studio.store.database import Database
from studio.store.inputs import InputStore
from studio.store.jobs import JobTable
from studio.store.outputs import OutputTable
from studio.store.submissions import SubmissionTable
from studio.training.checking import Checking
from studio.training.derive import resolved
from studio.training.launch.asking import Asking
from studio.training.launch.class_pictures import ClassPictures
from studio.training.launch.hold import DeviceHold
from studio.training.launch.job import Training
from studio.training.launch.process import PROGRAM
from studio.training.launch.runs import Runs
from studio.training.pictures.caption_job import Captioning
from studio.training.pictures.examples import examples
from studio.training.pictures.sets import PictureSets
from studio.training_requests import CaptionRequest, TrainRequest

log = logging.getLogger(__name__)
_DAY = 86_400


@dataclass(frozen=True)
class Services:
    """All that tabs, routes and commands may call."""

    settings: Settings
    catalogue: Catalogue
    upscalers: UpscalerShelf
    library: Library
    engine: Engine
    queue: JobQueue
    outputs: OutputTable
    inputs: InputStore
    runner: Runner
    worker: Worker
    fetcher: Worker
    maker: Worker
    database: Database
    lock: FileLock
    metrics: CollectorRegistry
    tidying: Tidying
    speeds: Speeds
    readers: ReaderShelf
    answering: Answering
    data_sets: DataSets
    leaderboard: Leaderboard
    scorer: Worker
    finetuning: Finetuning
    trainer: Worker
    captioners: CaptionerShelf
    picture_sets: PictureSets
    checking: Checking
    training: Training
    runs: Runs

    def acquire(self) -> None:
        """Take the data folder for this server; StorageError when another one has it."""
        try:
            self.lock.acquire(timeout=0)
        except Timeout:
            raise StorageError(
                f"The data folder {self.settings.data_dir} is in use by another Atelier; stop that "
                "one or choose another folder (ATELIER_DATA_DIR)."
            ) from None

    def start(self) -> None:
        """Take up the queue and warm up in the background."""
        # Before anybody else takes the device: runs that outlived their server are at work on it.
        self.training.adopt()
        self.worker.start()
        self.fetcher.start()
        self.maker.start()
        self.scorer.start()
        self.trainer.start()
        self.tidying.start()
        threading.Thread(target=self._in_background, name="warm-up", daemon=True).start()

    def stop(self) -> None:
        """Interrupt what runs and give everything back."""
        self.worker.stop()
        self.fetcher.stop()
        self.maker.stop()
        self.scorer.stop()
        self.trainer.stop()
        self.tidying.stop()
        self.database.close()
        self.lock.release()

    def run_now(self, request: Request) -> str:
        """Do a job in the caller's thread, past the queue, and return its id."""
        job_id = self.queue.submit(request, runner=runner_name())
        self.runner.run(self.queue.get(job_id))
        return job_id

    def _in_background(self) -> None:
        self.engine.warm_up()
        self.runs.sweep()
        days = self.settings.trash_days
        if days:
            try:
                self.outputs.delete_trash(time.time() - days * _DAY)
            except AtelierError as error:
                log.warning("The trash could not be emptied: %s", error)


def build_services(settings: Settings, training_program: Sequence[str] = PROGRAM) -> Services:
    """Services on the data folder, which is made when it is not there.

    training_program: what Python is told to do for a run. Raises StorageError when the folder
    cannot be written, SettingsError when a setting names something that this machine lacks.
    """
    _check_attention(settings)
    prepare_folder(settings.data_dir)
    database = Database(settings.data_dir)
    jobs = JobTable(database)
    outputs = OutputTable(database, settings.data_dir)
    catalogue = Catalogue(
        settings.data_dir / "models",
        default=settings.default_model,
        memory=settings.data_dir / "cache",
    )
    if settings.default_model:
        _check_default(catalogue, settings.default_model)
    else:
        chosen = preferred_model(settings.data_dir)
        # One that was taken away since would leave every request without a model.
        catalogue.default = chosen if chosen in {e.id for e in catalogue.entries()} else ""
    inputs = InputStore(settings.data_dir)
    shelf = UpscalerShelf(settings.data_dir / "models" / "upscalers")
    journal = Journal()
    speeds = Speeds(settings.data_dir / "cache" / "speeds.json")
    readers = ReaderShelf(
        settings.data_dir / "models", Hashes(settings.data_dir / "cache" / "readers.json")
    )
    captioners = CaptionerShelf(settings.data_dir / "models")
    engine = Engine(settings, catalogue, inputs, shelf, readers, captioners, journal, speeds)
    if settings.device not in ("auto", "cpu"):
        engine.device()  # costs the import of torch, but a wrong name must stop the start
    picture_sets = PictureSets(settings.data_dir)
    captioning = Captioning(captioners, picture_sets.path)
    kinds = {
        "generate": Kind(
            GenerationRequest,
            lambda request: resolve_generation(cast(GenerationRequest, request), catalogue, shelf),
            engine.generate,
            title="a picture",
        ),
        "edit": Kind(
            EditRequest,
            lambda request: resolve_edit(cast(EditRequest, request), catalogue, inputs),
            engine.edit,
            title="an edit",
        ),
        "upscale": Kind(
            UpscaleRequest,
            lambda request: resolve_upscale(
                cast(UpscaleRequest, request), catalogue, inputs, shelf
            ),
            engine.upscale,
            title="an enlargement",
        ),
        "timing": Kind(
            TimingRequest,
            lambda request: resolve_timing(cast(TimingRequest, request), catalogue),
            engine.time,
            title="a timing",
        ),
        "caption-pictures": Kind(
            CaptionRequest,
            lambda request: captioning.resolve(cast(CaptionRequest, request)),
            lambda request, context: captioning(cast(CaptionRequest, request), context),
            title="captions",
        ),
    }
    library = Library(
        catalogue,
        shelf,
        readers,
        engine.models,
        engine.broker,
        settings.data_dir,
        fixed=bool(settings.default_model),
    )
    data_sets = DataSets(settings.data_dir)
    fetching = _fetching(Hub(settings.data_dir / "models"), data_sets)
    making = _making(Workshop(catalogue, settings.data_dir / "models"))
    answering = Answering(readers, engine.models, engine.broker, engine.device)
    leaderboard = Leaderboard(SubmissionTable(database, settings.data_dir))
    evaluating = Evaluating(readers, data_sets, leaderboard, answering)
    reading = _reading(evaluating)
    finetuning = Finetuning(
        settings.data_dir, readers, data_sets, evaluating, leaderboard, engine.device
    )
    training = _from_pictures(settings, catalogue, shelf, engine, picture_sets, training_program)
    trainings = _trainings(finetuning, training)
    queue = JobQueue(
        jobs, outputs, kinds | fetching | making | reading | trainings, settings.max_waiting_jobs
    )
    hooks = (JobLog(), MemoryRelease(engine.release))
    runner = Runner(queue, engine.models, outputs, hooks, engine.broker)
    worker = Worker(queue, jobs, runner, tuple(kinds))
    # A download needs no device: it must not keep pictures waiting. Nor does making a model, which
    # should not wait for a download either.
    fetcher = Worker(
        queue, jobs, Runner(queue, engine.models, outputs, (JobLog(),)), tuple(fetching)
    )
    maker = Worker(queue, jobs, Runner(queue, engine.models, outputs, (JobLog(),)), tuple(making))
    # Reading a whole data set takes minutes, in which pictures can be made all the same.
    scorer, trainer = (
        # A runner each: it remembers which ends it could not record yet, for its own thread.
        Worker(
            queue, jobs, Runner(queue, engine.models, outputs, hooks, engine.broker), tuple(kind)
        )
        for kind in (reading, trainings)
    )
    lock = FileLock(settings.data_dir / "server.lock")
    return Services(
        settings,
        catalogue,
        shelf,
        library,
        engine,
        queue,
        outputs,
        inputs,
        runner,
        worker,
        fetcher,
        maker,
        database,
        lock,
        journal.registry,
        Tidying(engine.models, settings.idle_minutes),
        speeds,
        readers,
        answering,
        data_sets,
        leaderboard,
        scorer,
        finetuning,
        trainer,
        captioners,
        picture_sets,
        Checking(picture_sets, catalogue, settings.data_dir / "cache"),
        training,
        Runs(settings.data_dir, queue.submit, training_program),
    )


def _fetching(hub: Hub, data_sets: DataSets) -> dict[str, Kind]:
    """The kinds of jobs that wait for the network."""
    return {
        "download": Kind(
            DownloadRequest,
            lambda request: request,
            lambda request, context: hub(cast(DownloadRequest, request), context),
            Use.NONE,
        ),
        "fetch-data": Kind(
            FetchDataRequest,
            lambda request: request,
            lambda request, context: data_sets.fetch(cast(FetchDataRequest, request), context),
            Use.NONE,
        ),
    }


def _reading(evaluating: Evaluating) -> dict[str, Kind]:
    """The kinds of jobs that read."""
    return {
        "evaluate-reader": Kind(
            EvaluateRequest,
            lambda request: evaluating.resolve(cast(EvaluateRequest, request)),
            lambda request, context: evaluating(cast(EvaluateRequest, request), context),
            title="an evaluation",
        )
    }


def _from_pictures(
    settings: Settings,
    catalogue: Catalogue,
    shelf: UpscalerShelf,
    engine: Engine,
    picture_sets: PictureSets,
    program: Sequence[str],
) -> Training:
    """What trains models from pictures, in processes of their own."""

    def paint(request: GenerationRequest, context: Context) -> None:
        engine.generate(resolve_generation(request, catalogue, shelf), context)

    def derive(request: TrainRequest, folder: Path, entry: ModelEntry) -> TrainRequest:
        return resolved(request, examples(folder, request), entry)

    return Training(
        settings.data_dir,
        Asking(settings.data_dir, catalogue, picture_sets.path, derive),
        DeviceHold(engine.broker),
        ClassPictures(settings.data_dir / "cache", catalogue, paint),
        engine.device,
        engine.empty,
        wanted=settings.device,
        program=program,
    )


def _trainings(finetuning: Finetuning, training: Training) -> dict[str, Kind]:
    """The kinds of jobs that train, alone on the device and for hours."""
    return {
        "finetune-reader": Kind(
            FinetuneRequest,
            lambda request: finetuning.resolve(cast(FinetuneRequest, request)),
            lambda request, context: finetuning(cast(FinetuneRequest, request), context),
            Use.ALONE,
            title="a training",
            resumes=True,
        ),
        "train": Kind(
            TrainRequest,
            lambda request: training.resolve(cast(TrainRequest, request)),
            lambda request, context: training(cast(TrainRequest, request), context),
            # It takes the device itself, for as long as its process lives.
            Use.NONE,
            title="a training",
            resumes=True,
        ),
    }


def _making(workshop: Workshop) -> dict[str, Kind]:
    """The kinds of jobs that make new models."""
    return {
        "merge": Kind(
            MergeRequest,
            lambda request: workshop.resolve_merge(cast(MergeRequest, request)),
            lambda request, context: workshop.merge(cast(MergeRequest, request), context),
            Use.NONE,
        ),
        "extract": Kind(
            ExtractRequest,
            lambda request: workshop.resolve_extract(cast(ExtractRequest, request)),
            lambda request, context: workshop.extract(cast(ExtractRequest, request), context),
            Use.NONE,
        ),
        "bake": Kind(
            BakeRequest,
            lambda request: workshop.resolve_bake(cast(BakeRequest, request)),
            lambda request, context: workshop.bake(cast(BakeRequest, request), context),
            Use.NONE,
        ),
    }


def prepare_folder(folder: Path) -> None:
    """Make the data folder and check that it can be written; StorageError when not."""
    probe = folder / ".write-test"
    try:
        for part in ("outputs", "models", "inputs"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"atelier")
        probe.unlink()
    except OSError as error:
        raise from_os_error(error, f"write to the data folder {folder}") from error


def _check_attention(settings: Settings) -> None:
    if settings.attention == "xformers" and importlib.util.find_spec("xformers") is None:
        raise SettingsError(
            "Setting attention (ATELIER_ATTENTION) is 'xformers', but xformers is not installed; "
            "install atelier[xformers] or choose sdpa."
        )


def _check_default(catalogue: Catalogue, model_id: str) -> None:
    ids = [entry.id for entry in catalogue.entries()]
    if model_id not in ids:
        raise SettingsError(
            f"Setting default_model (ATELIER_DEFAULT_MODEL) is {model_id!r}, but it must be one "
            f"of: {', '.join(ids) or 'none is installed'}."
        )
