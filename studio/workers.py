"""Who takes jobs: a thread for each device, and one for each sort of work beside that."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from studio.device.remote import Remote
from studio.engine import Engine
from studio.jobs.choosing import Choice, Chooser
from studio.jobs.hooks import Hook, JobLog, MemoryRelease
from studio.jobs.queue import JobQueue
from studio.jobs.worker import Runner, Worker
from studio.models.broker import Broker
from studio.parts import OnDevice, Parts
from studio.store.jobs import JobRow


@dataclass(frozen=True)
class Workers:
    """All workers; painters: one a device, in the order of the settings, then those hired later.

    hire: makes a worker of a device on another machine, which is not begun yet.
    """

    painters: list[Worker]
    fetcher: Worker
    maker: Worker
    scorer: Worker
    trainer: Worker
    hire: Callable[[Remote, OnDevice], Worker]

    def add(self, engine: Remote, does: OnDevice) -> Worker:
        """Have one more device take jobs of pictures."""
        worker = self.hire(engine, does)
        self.painters.append(worker)
        worker.start()
        return worker

    def remove(self, worker: Worker, seconds: float) -> None:
        """Have one take no more; what it worked on waits for another."""
        self.painters.remove(worker)
        worker.stop(seconds)

    def __iter__(self) -> Iterator[Worker]:
        """All of them, each once."""
        yield from (*self.painters, self.fetcher, self.maker, self.scorer, self.trainer)

    def start(self) -> None:
        """Take up the queue."""
        for worker in self:
            worker.start()

    def stop(self, seconds: float) -> None:
        """Have all stop at their next step, and wait for that so long at most."""
        for worker in self:
            worker.close()
        until = time.monotonic() + seconds
        for worker in self:
            worker.stop(max(0.0, until - time.monotonic()))

    @property
    def run(self) -> bool:
        """Whether all of them are there to take jobs."""
        return all(worker.runs for worker in self)


def hire(
    queue: JobQueue,
    parts: Parts,
    engines: Sequence[Engine | Remote],
    on_device: Sequence[OnDevice],
    fetching: Sequence[str],
    trainings: Sequence[str],
) -> Workers:
    """The workers of devices; on_device: what each does. fetching, trainings: kinds of jobs.

    What is no picture is done on the first device.
    """
    first, kinds = engines[0], on_device[0]
    chooser = Chooser(lambda: len(at_work))

    # A runner each: it remembers which ends it could not record yet, for its own thread.
    def runner(
        engine: Engine | Remote, broker: Broker | None, does: OnDevice, gives_back: bool = False
    ) -> Runner:
        hooks: list[Hook] = [JobLog()]
        if broker is not None:
            hooks.append(MemoryRelease(engine.release))
        models = None if isinstance(engine, Remote) else engine.models
        # The queue's kinds are those of the first device.
        work = {} if engine is first else {name: kind.work for name, kind in does.all.items()}
        return Runner(queue, models, parts.outputs, hooks, broker, work, gives_back=gives_back)

    at_work: list[tuple[Worker, Engine | Remote]] = []
    """Who chooses among jobs, with its device; those that were let go are forgotten at the next."""

    def among_several(engine: Engine | Remote) -> Choice:
        def choose(waiting: list[JobRow]) -> JobRow | None:
            others = [
                other.models
                for worker, other in [*at_work]
                if other is not engine and worker.is_idle and _is_free(other)
            ]
            return chooser.choose(waiting, engine.models, others)

        return Choice(lambda: _is_free(engine), choose)

    def choosing(engine: Engine | Remote, does: OnDevice, gives_back: bool = False) -> Worker:
        own = runner(engine, engine.broker, does, gives_back)
        made = Worker(queue, parts.jobs, own, tuple(does.pictures), among_several(engine))
        at_work[:] = [*(each for each in at_work if not each[0].is_closed), (made, engine)]
        return made

    def painter(engine: Engine | Remote, does: OnDevice) -> Worker:
        if len(engines) > 1:
            return choosing(engine, does)
        own = runner(engine, engine.broker, does)
        return Worker(queue, parts.jobs, own, tuple(does.pictures), _in_time(engine))

    def worker(names: Sequence[str], broker: Broker | None, choice: Choice | None = None) -> Worker:
        return Worker(queue, parts.jobs, runner(first, broker, kinds), names, choice)

    return Workers(
        painters=[*map(painter, engines, on_device)],
        # A download needs no device: it must not keep pictures waiting. Nor does making a model,
        # which should not wait for a download either.
        fetcher=worker(fetching, None),
        maker=worker(tuple(kinds.making), None, _in_time(first)),
        # Reading a whole data set takes minutes, in which pictures can be made all the same.
        scorer=worker(tuple(kinds.reading), first.broker, _in_time(first)),
        trainer=worker(trainings, first.broker),
        hire=partial(choosing, gives_back=True),
    )


def _in_time(engine: Engine | Remote) -> Choice | None:
    """Jobs are begun once the process of their device can work.

    Until then they wait, so that the server's end in that time is no death in the middle of one.
    """
    if not isinstance(engine, Remote):
        return None
    return Choice(lambda: engine.is_up or engine.is_hopeless)


def _is_free(engine: Engine | Remote) -> bool:
    """Whether a device could begin a job now: nobody has it alone, or is next to."""
    return engine.is_up and not any(lease.alone for lease in engine.broker.leases())
