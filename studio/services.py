"""The composition root: settings in, one frozen set of services out. Nothing heavy happens here."""

import importlib.util
import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout
from prometheus_client import CollectorRegistry

from studio import kinds as kinds_of
from studio.context import Context
from studio.diffusion.resolve import (
    resolve_generation,
)
from studio.engine import Engine
from studio.errors import AtelierError, SettingsError, StorageError, from_os_error
from studio.jobs.hooks import JobLog, MemoryRelease
from studio.jobs.queue import JobQueue
from studio.jobs.worker import Runner, Worker, runner_name
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
from studio.requests import (
    GenerationRequest,
    Request,
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
from studio.training.launch.costing import Costing
from studio.training.launch.hold import Adopting, DeviceHold
from studio.training.launch.job import Training
from studio.training.launch.process import PROGRAM
from studio.training.launch.runs import Runs
from studio.training.pictures.caption_job import Captioning
from studio.training.pictures.examples import examples
from studio.training.pictures.sets import PictureSets
from studio.training_requests import TrainRequest

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
    costing: Costing
    adopting: Adopting
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
        self.adopting.start()
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
        self.adopting.stop()
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
    kinds = kinds_of.picturing(engine, catalogue, inputs, shelf, captioning)
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
    fetching = kinds_of.fetching(Hub(settings.data_dir / "models"), data_sets)
    making = kinds_of.making(Workshop(catalogue, settings.data_dir / "models"))
    answering = Answering(readers, engine.models, engine.broker, engine.device)
    leaderboard = Leaderboard(SubmissionTable(database, settings.data_dir))
    evaluating = Evaluating(readers, data_sets, leaderboard, answering)
    reading = kinds_of.reading(evaluating)
    finetuning = Finetuning(
        settings.data_dir, readers, data_sets, evaluating, leaderboard, engine.device
    )
    picture_sets = PictureSets(settings.data_dir)
    checking = Checking(picture_sets, catalogue, settings.data_dir / "cache")
    training, costing = _from_pictures(
        settings, catalogue, shelf, engine, checking, training_program
    )
    trainings = kinds_of.trainings(finetuning, training, costing)
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
        checking,
        training,
        costing,
        Adopting(training.adopt),
        Runs(settings.data_dir, queue.submit, training_program),
    )


def _from_pictures(
    settings: Settings,
    catalogue: Catalogue,
    shelf: UpscalerShelf,
    engine: Engine,
    checking: Checking,
    program: Sequence[str],
) -> tuple[Training, Costing]:
    """What trains models from pictures, in processes of their own, and what tells their cost."""

    def paint(request: GenerationRequest, context: Context) -> None:
        engine.generate(resolve_generation(request, catalogue, shelf), context)

    def derive(request: TrainRequest, folder: Path, entry: ModelEntry) -> TrainRequest:
        return resolved(request, examples(folder, request), entry)

    parts = (
        settings.data_dir,
        Asking(settings.data_dir, catalogue, checking.sets.path, derive),
        DeviceHold(engine.broker),
        ClassPictures(settings.data_dir / "cache", catalogue, paint),
        engine.device,
        engine.empty,
    )
    return (
        Training(*parts, check=checking.refuse, program=program),
        Costing(*parts),
    )


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
