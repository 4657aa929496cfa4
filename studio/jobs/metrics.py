"""What is measured of jobs, from the events that they tell of."""

import logging
import threading
import time
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Histogram

from studio import logs
from studio.events import FINAL, Event, Failed, Finished, Progress, Stopped
from studio.store.jobs import JobRow

log = logging.getLogger(__name__)
_SHORT = (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300)
_LONG = (0.1, 0.5, 1, 5, 15, 60, 300, 1800, 7200, 43_200, 172_800)


class JobMetrics:
    """Counts jobs by kind and end, and measures waits, lengths and steps.

    row: of a job by its id.
    """

    def __init__(self, registry: CollectorRegistry, row: Callable[[str], JobRow]):
        self._row = row
        self._lock = threading.Lock()
        self._at: dict[str, tuple[str, Progress | None, float]] = {}
        self._jobs = Counter(
            "atelier_jobs",
            "Jobs that are over, by kind and end.",
            ["kind", "end"],
            registry=registry,
        )
        self._waits = _histogram("job_wait", "Time that jobs waited to begin.", _LONG, registry)
        self._lengths = _histogram("job", "Time that jobs took once begun.", _LONG, registry)
        self._steps = Histogram(
            "atelier_step_seconds",
            "Time of a step of a job, by kind and by what a step is.",
            ["kind", "unit"],
            buckets=_SHORT,
            registry=registry,
        )

    def told(self, job_id: str, event: Event) -> None:
        """Take in an event; a fault here is logged and no matter to the job."""
        try:
            if isinstance(event, Progress):
                self._step(job_id, event)
            elif isinstance(event, FINAL):
                self._end(job_id, event)
        except Exception as error:
            logs.fault(log, f"An event of job {job_id} could not be measured", error)

    def _step(self, job_id: str, event: Progress) -> None:
        now = time.monotonic()
        with self._lock:
            kind, last, since = self._at.get(job_id) or (self._row(job_id).kind, None, now)
            self._at[job_id] = (kind, event, now)
        # The first step of an item also holds what comes before it: loading, encoding, saving.
        if last is not None and event.item == last.item and event.step > last.step > 0:
            seconds = (now - since) / (event.step - last.step)
            self._steps.labels(kind, event.unit).observe(seconds)

    def _end(self, job_id: str, event: Finished | Failed | Stopped) -> None:
        row = self._row(job_id)
        with self._lock:
            self._at.pop(job_id, None)
        self._jobs.labels(
            row.kind, event.status if isinstance(event, Stopped) else event.type
        ).inc()
        if row.started_at is not None:
            self._waits.labels(row.kind).observe(max(0.0, row.started_at - row.created_at))
            ended = row.ended_at or time.time()
            self._lengths.labels(row.kind).observe(max(0.0, ended - row.started_at))


def _histogram(
    what: str, meaning: str, buckets: tuple[float, ...], registry: CollectorRegistry
) -> Histogram:
    return Histogram(
        f"atelier_{what}_seconds", meaning, ["kind"], buckets=buckets, registry=registry
    )
