"""The composition root: settings in, one frozen set of services out. Nothing heavy happens here."""

import logging
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from filelock import FileLock, Timeout
from prometheus_client import CollectorRegistry, Counter

from studio import kinds as kinds_of
from studio.accounts.accounts import Accounts
from studio.cluster.crew import Crew
from studio.device.child import Child
from studio.device.messages import Begin
from studio.device.pipe import PROGRAM as DEVICE_PROGRAM
from studio.device.pipe import piped
from studio.device.remote import AnsweringElsewhere, Remote
from studio.engine import Engine
from studio.errors import AtelierError, StorageError
from studio.jobs.allowance import Allowance
from studio.jobs.foreseeing import Foresight
from studio.jobs.metrics import JobMetrics
from studio.jobs.queue import JobQueue, Kind
from studio.jobs.worker import Runner, Worker, runner_name
from studio.models.captioners import CaptionerShelf
from studio.models.catalogue import Catalogue
from studio.models.entry import ModelEntry
from studio.models.hub import Hub
from studio.models.idle import Tidying
from studio.models.journal import Journal
from studio.models.library import Library
from studio.models.readers import ReaderShelf
from studio.models.rights import Rights, Shelf
from studio.models.several import SeveralModels
from studio.models.slots import InMemory
from studio.models.speeds import Speeds
from studio.models.upscalers import UpscalerShelf
from studio.parts import OnDevice, Parts, build_parts, kinds_on, shelves
from studio.preparing import check_attention, choose_default, prepare_folder
from studio.reader.answering import Answering
from studio.reader.data_sets import DataSets
from studio.reader.finetuning.job import Finetuning
from studio.reader.leaderboard import Leaderboard
from studio.requests import Request
from studio.settings import Settings
from studio.store.audit import AuditTable
from studio.store.belongings import Sort
from studio.store.database import Database
from studio.store.disk import Disk
from studio.store.inputs import InputStore
from studio.store.outputs import OutputTable
from studio.training.checking import Checking
from studio.training.derive import resolved
from studio.training.launch.asking import Asking
from studio.training.launch.class_pictures import ClassPictures
from studio.training.launch.costing import Costing
from studio.training.launch.gridding import Gridding
from studio.training.launch.hold import Adopting, DeviceHold
from studio.training.launch.job import Training
from studio.training.launch.process import PROGRAM
from studio.training.launch.runs import Runs
from studio.training.pictures.examples import examples
from studio.training.pictures.fetch_job import FetchingPictures
from studio.training.pictures.sets import PictureSets
from studio.training_requests import TrainRequest
from studio.workers import Workers, hire

log = logging.getLogger(__name__)
_DAY = 86_400
_LAST_SECONDS = 4.0
"""Of the time in which the server is to end, what is left to streams of events and the database."""
_RECORD_SECONDS = 1.0


@dataclass(frozen=True)
class Services:
    """All that tabs, routes and commands may call; engine: of the first device.

    own_engines: of all devices of this machine. crew: of a cluster, None where there is none.
    """

    settings: Settings
    catalogue: Catalogue
    upscalers: UpscalerShelf
    library: Library
    engine: Engine | Remote
    own_engines: tuple[Engine | Remote, ...]
    crew: Crew | None
    in_memory: SeveralModels
    queue: JobQueue
    outputs: OutputTable
    inputs: InputStore
    runner: Runner
    workers: Workers
    database: Database
    lock: FileLock
    metrics: CollectorRegistry
    tidying: Tidying
    speeds: Speeds
    readers: ReaderShelf
    answering: Answering
    data_sets: DataSets
    leaderboard: Leaderboard
    finetuning: Finetuning
    captioners: CaptionerShelf
    picture_sets: PictureSets
    checking: Checking
    training: Training
    costing: Costing
    adopting: Adopting
    runs: Runs
    gridding: Gridding
    accounts: Accounts
    rights: Rights
    allowance: Allowance
    audit: AuditTable
    disk: Disk

    def acquire(self) -> None:
        """Take the data folder for this server; StorageError when another one has it."""
        try:
            self.lock.acquire(timeout=0)
        except Timeout:
            raise StorageError(
                f"The data folder {self.settings.data_dir} is in use by another Atelier; stop that "
                "one or choose another folder (ATELIER_DATA_DIR)."
            ) from None
        self.database.hold()

    def start(self) -> None:
        """Take up the queue and warm up in the background."""
        # Before anybody else takes the device: runs that outlived their server are at work on it.
        self.adopting.start()
        self.outputs.mend()
        self.workers.start()
        self.tidying.start()
        threading.Thread(target=self._in_background, name="warm-up", daemon=True).start()
        for engine in self.own_engines[1:]:
            threading.Thread(target=engine.warm_up, name="warm-up", daemon=True).start()
        if self.crew is not None:
            self.crew.start()

    def stop(self) -> None:
        """Stop what runs and give everything back, in the time that the settings allow."""
        if self.crew is not None:
            self.crew.roster.stop()
        self.workers.stop(max(1.0, self.settings.stop_seconds - _LAST_SECONDS))
        for engine in self.engines:
            engine.stop()
        self.queue.close()
        self.workers.stop(_RECORD_SECONDS)  # those whose device had to be taken from them
        if self.crew is not None:
            self.crew.leave()
        self.adopting.stop()
        self.tidying.stop()
        self.database.close()
        self.lock.release()

    @property
    def engines(self) -> tuple[Engine | Remote, ...]:
        """Of all devices that there are at the moment, this machine's first."""
        return self.own_engines + (self.crew.engines if self.crew is not None else ())

    @property
    def worker(self) -> Worker:
        """Who makes pictures on the first device."""
        return self.workers.painters[0]

    @property
    def fetcher(self) -> Worker:
        """Who waits for the network."""
        return self.workers.fetcher

    @property
    def maker(self) -> Worker:
        """Who makes models."""
        return self.workers.maker

    @property
    def scorer(self) -> Worker:
        """Who reads whole data sets."""
        return self.workers.scorer

    @property
    def trainer(self) -> Worker:
        """Who trains."""
        return self.workers.trainer

    def run_now(self, request: Request) -> str:
        """Do a job in the caller's thread, past the queue, and return its id."""
        job_id = self.queue.submit(request, runner=runner_name())
        self.runner.run(self.queue.get(job_id))
        return job_id

    def _in_background(self) -> None:
        try:
            self.engine.warm_up()
        except Exception:
            # Python refuses what imports need once it ends, which is nobody's fault.
            if not self.worker.runs:
                return
            raise
        self.runs.sweep()
        days = self.settings.trash_days
        if days:
            try:
                self.outputs.delete_trash(time.time() - days * _DAY)
            except AtelierError as error:
                log.warning("The trash could not be emptied: %s", error)


def build_services(
    settings: Settings,
    training_program: Sequence[str] = PROGRAM,
    *,
    apart: bool = False,
    device_program: Sequence[str] = DEVICE_PROGRAM,
    cluster: str = "",
) -> Services:
    """Services on the data folder, which is made when it is not there.

    apart: whether each device works in a process of its own. training_program, device_program: what
    Python is told to do for a run and for a device. cluster: address of one whose nodes make
    pictures, "" for none. Raises StorageError when the folder cannot be written, SettingsError when
    a setting names something that this machine lacks.
    """
    check_attention(settings)
    prepare_folder(settings.data_dir)
    journal = Journal()
    parts = build_parts(settings, journal)
    choose_default(parts)
    losses = _losses(journal)
    engines = tuple(_engines(parts, apart, device_program, losses))
    engine = engines[0]
    answering: Answering
    if isinstance(engine, Remote):
        answering = AnsweringElsewhere(parts.readers, [e for e in engines if isinstance(e, Remote)])
    else:
        answering = Answering(parts.readers, engine.models, engine.broker, engine.device)
    on_device = tuple(_on(each, parts, answering) for each in engines)
    fetching = kinds_of.fetching(
        Hub(settings.data_dir / "models"),
        parts.data_sets,
        FetchingPictures(parts.picture_sets),
    )
    trained = _trained(parts, engine, on_device[0], training_program)
    queue = JobQueue(
        parts.jobs,
        parts.outputs,
        on_device[0].all | fetching | trained.kinds,
        settings.max_waiting_jobs,
        JobMetrics(journal.registry, parts.jobs.get).told,
        parts.allowance.admit,
        Foresight(parts.jobs, lambda: len(workers.painters)),
        audit := AuditTable(parts.database, settings.audit_days),
    )
    # Beside a cluster a device makes pictures where it was named for that.
    near = [each.near for each in on_device] if cluster and not settings.devices else on_device
    workers = hire(queue, parts, engines, near, tuple(fetching), tuple(trained.kinds))
    crew = None
    if cluster:
        begin = partial(_begin, settings, number=0)
        does = partial(_on_node, parts, answering)
        crew = Crew(cluster, parts, workers, begin, partial(_count, losses), does)
    in_memory = SeveralModels(partial(_models, engines, crew))
    library = Library(
        parts.catalogue,
        parts.upscalers,
        parts.readers,
        in_memory,
        engine.broker,
        settings.data_dir,
        fixed=bool(settings.default_model),
        audit=audit,
    )
    return Services(
        settings=settings,
        catalogue=parts.catalogue,
        upscalers=parts.upscalers,
        library=library,
        engine=engine,
        in_memory=in_memory,
        own_engines=engines,
        crew=crew,
        queue=queue,
        outputs=parts.outputs,
        inputs=parts.inputs,
        runner=workers.painters[0].runner,
        workers=workers,
        database=parts.database,
        lock=FileLock(settings.data_dir / "server.lock"),
        metrics=journal.registry,
        tidying=Tidying(in_memory, settings.idle_minutes),
        speeds=parts.speeds,
        readers=parts.readers,
        answering=answering,
        data_sets=parts.data_sets,
        leaderboard=parts.leaderboard,
        finetuning=trained.finetuning,
        captioners=parts.captioners,
        picture_sets=parts.picture_sets,
        checking=parts.checking,
        training=trained.training,
        costing=trained.costing,
        adopting=Adopting(trained.training.adopt),
        runs=Runs(
            settings.data_dir,
            queue.submit,
            training_program,
            (own_runs := parts.belongings.of(Sort.RUN)),
            own_runs.owner,
            audit,
        ),
        gridding=on_device[0].gridding,
        accounts=Accounts(parts.database, audit),
        allowance=parts.allowance,
        audit=audit,
        disk=Disk(settings.data_dir, parts.database, library.in_trash),
        rights=Rights(
            library,
            parts.catalogue,
            parts.belongings.of(Sort.MODEL),
            {sort: Shelf(find, parts.belongings.of(sort)) for sort, find in shelves(parts).items()},
        ),
    )


def _losses(journal: Journal) -> Counter:
    return Counter(
        "atelier_device_restarts",
        "Processes of devices that died and were begun again, by device and reason.",
        ["device", "why"],
        registry=journal.registry,
    )


def _begin(settings: Settings, device: str, number: int) -> Begin:
    told = settings.model_dump(mode="json", exclude={"password", "password_file"})
    # Nodes of a cluster have no database.
    told["database_url"] = ""
    return Begin(settings=told, device=device, number=number)


def _models(engines: Sequence[Engine | Remote], crew: Crew | None) -> list[InMemory]:
    far = crew.engines if crew is not None else ()
    return [each.models for each in (*engines, *far)]


def _engines(
    parts: Parts, apart: bool, program: Sequence[str], lost: Counter
) -> Iterator[Engine | Remote]:
    """One for each device of the settings."""
    settings, journal = parts.settings, parts.journal
    for number, name in enumerate(settings.each_device):
        engine: Engine | Remote
        if apart:
            begin = _begin(settings, name, number)
            # In the clear, through a pipe that only the two of them see.
            begin.settings["database_url"] = settings.database_url.get_secret_value()
            count = partial(_count, lost, f"{name} ({number})")
            child = Child(begin, settings.hang_seconds, journal, count, piped(program))
            engine = Remote(child, journal)
        else:
            engine = Engine(
                settings.model_copy(update={"device": name}),
                parts.catalogue,
                parts.inputs,
                parts.upscalers,
                parts.readers,
                parts.captioners,
                journal,
                parts.speeds,
            )
        if name not in ("auto", "cpu"):
            engine.device()  # costs the import of torch, but a wrong name must stop the start
        yield engine


def _on(engine: Engine | Remote, parts: Parts, answering: Answering) -> OnDevice:
    """What a device does, by whoever works on it."""
    found = kinds_on(engine, parts, answering)
    return found.elsewhere(engine.run) if isinstance(engine, Remote) else found


def _on_node(parts: Parts, answering: Answering, engine: Remote) -> OnDevice:
    """What a node of a cluster does."""
    return _on(engine, parts, answering).far


def _trained(
    parts: Parts, engine: Engine | Remote, on_device: OnDevice, program: Sequence[str]
) -> "_Trained":
    """What trains models, in processes of their own; one device is theirs."""
    data = parts.settings.data_dir

    def derive(request: TrainRequest, folder: Path, entry: ModelEntry) -> TrainRequest:
        return resolved(request, examples(folder, request), entry)

    shared = (
        data,
        Asking(
            data,
            parts.catalogue,
            parts.checking.sets.path,
            derive,
            parts.belongings.of(Sort.RUN),
        ),
        DeviceHold(engine.broker),
        ClassPictures(data / "cache", parts.catalogue, parts.paint(engine.paint)),
        engine.device,
        engine.empty,
    )
    training = Training(*shared, check=parts.checking.refuse, program=program)
    costing = Costing(*shared)
    finetuning = Finetuning(
        data, parts.readers, parts.data_sets, on_device.evaluate, parts.leaderboard, engine.device
    )
    kinds = kinds_of.trainings(finetuning, training, costing)
    return _Trained(training, costing, finetuning, kinds)


@dataclass(frozen=True)
class _Trained:
    training: Training
    costing: Costing
    finetuning: Finetuning
    kinds: dict[str, Kind]


def _count(lost: Counter, device: str, why: str) -> None:
    lost.labels(device, why).inc()
