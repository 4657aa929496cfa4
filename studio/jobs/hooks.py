"""What happens around every run besides the work itself."""

import logging
import time
from collections.abc import Callable
from typing import Protocol

from studio.events import Status
from studio.store.jobs import JobRow

log = logging.getLogger(__name__)


class Hook(Protocol):
    """Told of every run; a hook that fails is logged and forgotten."""

    def started(self, job: JobRow) -> None:
        """A worker has taken the job."""
        ...

    def ended(self, job: JobRow, status: Status) -> None:
        """The job is over."""
        ...


class JobLog:
    """Writes a line when a job begins and one when it ends."""

    def started(self, job: JobRow) -> None:
        """Say which job began."""
        log.info("Job %s (%s) started.", job.id, job.kind)

    def ended(self, job: JobRow, status: Status) -> None:
        """Say how it ended and after how long."""
        seconds = time.time() - (job.started_at or time.time())
        log.info("Job %s %s after %.1f s.", job.id, status, seconds)


class MemoryRelease:
    """Gives memory back after a job that failed: what it left must not starve the next one."""

    def __init__(self, release: Callable[[], None]):
        self._release = release

    def started(self, job: JobRow) -> None:
        """Nothing yet."""

    def ended(self, job: JobRow, status: Status) -> None:
        """Release what the failed job held."""
        if status is Status.FAILED:
            self._release()
