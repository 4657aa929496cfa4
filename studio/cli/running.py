"""How commands do a job: in this process, past the queue, telling of it on standard error."""

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import typer

from studio.errors import AtelierError
from studio.events import Failed, Finished, Loading, Measured, Notice, Progress, Stopped
from studio.jobs.worker import Runner, runner_name
from studio.requests import Request
from studio.services import Services, build_services
from studio.settings import load_settings


@contextmanager
def opened(
    data_dir: str | None, device: str | None = None, dtype: str | None = None
) -> Iterator[Services]:
    """Services on a data folder, given back at the end."""
    services = build_services(load_settings(data_dir=data_dir, device=device, dtype=dtype))
    try:
        yield services
    finally:
        services.stop()


def run_job(
    services: Services,
    runner: Runner,
    request: Request,
    on_id: Callable[[str], object] = lambda job_id: None,
) -> Finished | Stopped:
    """Do a job and return how it ended; AtelierError when it failed, exit code 130 for Ctrl+C.

    on_id: told the job's id once it has one.
    """
    job_id = services.queue.submit(request, runner=runner_name())
    on_id(job_id)
    job = services.queue.get(job_id)
    worker = threading.Thread(target=runner.run, args=(job,), name="job")
    worker.start()
    final: object = None
    try:
        for final in services.queue.follow(job_id, missed=True):
            tell(final)
    except KeyboardInterrupt:
        services.queue.cancel(job_id)
        raise typer.Exit(130) from None
    finally:
        worker.join()
    if isinstance(final, Failed):
        raise AtelierError(final.reason)
    assert isinstance(final, Finished | Stopped)
    return final


def tell(event: object) -> None:
    """Progress on standard error, so that standard output is just the files."""
    if isinstance(event, Loading):
        print(f"Loading {event.model} …", file=sys.stderr)
    elif isinstance(event, Notice):
        print(event.text, file=sys.stderr)
    elif isinstance(event, Measured) and "f1" in event.values:
        told = ", ".join(f"{name} {value:.2f}" for name, value in event.values.items())
        print(f"Step {event.step}: {told}", file=sys.stderr)
    elif isinstance(event, Progress) and sys.stderr.isatty():
        left = f", {event.seconds_left:.0f} s left" if event.seconds_left is not None else ""
        end = "\n" if event.fraction == 1 else "\r"
        what = f"{event.unit.capitalize()} {event.step} of {event.steps}"
        print(f"{what}{left}   ", end=end, file=sys.stderr)
