"""How the log is written: lines for people, or one JSON object a line for programs."""

import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime

from prometheus_client import CollectorRegistry, Counter

from studio.errors import AtelierError

TEXT = "%(levelname)s %(name)s: %(message)s"
_job: ContextVar[str] = ContextVar("job", default="")


@contextmanager
def of_job(job_id: str) -> Iterator[None]:
    """What is logged in the block, by this thread, belongs to a job."""
    before = _job.set(job_id)
    try:
        yield
    finally:
        _job.reset(before)


def fault(log: logging.Logger, what: str, error: Exception) -> None:
    """Log what went wrong: in a sentence what people may meet, with its traceback what is a bug."""
    log.error("%s: %s", what, error, exc_info=not isinstance(error, AtelierError))


@contextmanager
def written(level: str, form: str) -> Iterator[None]:
    """Write the log to standard error from a level on, in the block; form: text or json."""
    root = logging.getLogger()
    before = root.handlers[:], root.level
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if form == "json" else logging.Formatter(TEXT))
    handler.addFilter(note_job)
    root.handlers = [handler]
    root.setLevel(level.upper())
    # They would be lines of their own else, which no program could read.
    logging.captureWarnings(form == "json")
    try:
        yield
    finally:
        root.handlers = before[0]
        root.setLevel(before[1])
        logging.captureWarnings(False)


def count_lines(registry: CollectorRegistry) -> None:
    """Count what is logged as a warning or worse."""
    lines = Counter(
        "atelier_log_lines",
        "Lines of the log that are warnings or worse, by level.",
        ["level"],
        registry=registry,
    )
    for level in ("warning", "error", "critical"):
        lines.labels(level)
    logging.getLogger().addHandler(_Counting(lines))


class JsonLines(logging.Formatter):
    """One object a line: time, level, logger, message; job, facts and exception where there are."""

    def format(self, record: logging.LogRecord) -> str:
        """The line; whatever is in the message, it is one."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if job := getattr(record, "job", ""):
            line["job"] = job
        if facts := getattr(record, "facts", None):
            line["facts"] = facts
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


class _Counting(logging.Handler):
    def __init__(self, lines: Counter):
        super().__init__(logging.WARNING)
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        """Count the line."""
        self._lines.labels(record.levelname.lower()).inc()


def note_job(record: logging.LogRecord) -> bool:
    """A filter that lets all lines pass, and notes the job that each belongs to."""
    if not hasattr(record, "job"):
        record.job = _job.get()
    return True
