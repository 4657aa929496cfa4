"""The commands for runs of trainings, and how a command follows one that it has begun."""

import json
import sys
import threading
import time
from dataclasses import asdict
from enum import StrEnum
from typing import Annotated, TypeVar

import typer
from filelock import Timeout

from studio.cli.options import DataDir, Device
from studio.cli.running import opened, run_job, tell
from studio.errors import AtelierError, RequestError
from studio.events import Event, Finished, Measured, Status, Waiting
from studio.jobs.worker import is_alive, runner_name
from studio.requests import label, validated
from studio.services import Services
from studio.store.jobs import JobRow
from studio.training.launch.following import Follower
from studio.training.launch.process import is_running
from studio.training.run_folder import Phase, RunFolder
from studio.training_requests import GridRequest, Method, TrainRequest

_PLAIN = {"loss", "learning_rate", "text_rate", "gradient"}
"""What every point of a curve has; one with more, such as scores, is printed."""
_POLL = 0.5
_Choice = TypeVar("_Choice", bound=StrEnum)

RunName = Annotated[str, typer.Argument(metavar="RUN", help="See `atelier train list`.")]


def resume(
    name: RunName,
    detach: Annotated[bool, typer.Option("--detach", help="Begin it, and end.")] = False,
    data_dir: DataDir = None,
    device: Device = None,
) -> None:
    """Go on with a run where it was; one that goes on is only followed."""
    with opened(data_dir, device) as services:
        going = services.runs.get(name).is_alive
        request = services.runs.request(name) if going else services.runs.resumable(name)
        do_training(services, request, detach)


def pause(name: RunName, data_dir: DataDir = None) -> None:
    """Let a run save and end, to be gone on with."""
    with opened(data_dir) as services:
        services.runs.pause(name)
        print(f"{name} saves and pauses; `atelier train resume {name}` goes on.")


def stop(name: RunName, data_dir: DataDir = None) -> None:
    """Let a run save and end."""
    with opened(data_dir) as services:
        services.runs.stop(name)
        print(f"{name} saves and stops.")


def kill(name: RunName, data_dir: DataDir = None) -> None:
    """End a run at once; what it has learnt since its last checkpoint is lost."""
    with opened(data_dir) as services:
        services.runs.kill(name)
        print(f"{name} is killed.")


def remove(name: RunName, data_dir: DataDir = None) -> None:
    """Delete a run's folder; what it has made stays."""
    with opened(data_dir) as services:
        services.runs.remove(name)
        print(f"{name} is removed.")


def grid(
    name: RunName,
    step: Annotated[
        list[int] | None, typer.Option(help="Of a checkpoint; may be given for each.")
    ] = None,
    strength: Annotated[
        list[float] | None, typer.Option(help="Of the LoRA; may be given for each.")
    ] = None,
    prompt: Annotated[list[str] | None, typer.Option(help="May be given for each.")] = None,
    seed: Annotated[int, typer.Option(help="Of all pictures.")] = 1,
    data_dir: DataDir = None,
    device: Device = None,
) -> None:
    """Paint checkpoints by strengths for some prompts, score them, and print the picture's file."""
    given = {"run": name, "seed": seed}
    lists = {"checkpoints": step, "strengths": strength, "prompts": prompt}
    asked = given | {field: tuple(values) for field, values in lists.items() if values}
    with opened(data_dir, device) as services:
        request = services.gridding.resolve(validated(GridRequest, asked))
        if not isinstance(run_job(services, services.worker.runner, request), Finished):
            raise typer.Exit(1)
        made = services.gridding.made(request.run)[0]
    print(made.picture)
    if made.best is not None:
        print(f"Best by its scores: step {made.best[0]} at strength {made.best[1]:g}.")


def list_runs(
    phase: Annotated[str, typer.Option(help=", ".join(Phase))] = "",
    method: Annotated[str, typer.Option(help=", ".join(Method))] = "",
    owner: Annotated[str, typer.Option(help="Who asked for them.")] = "",
    text: Annotated[str, typer.Option(help="In name, model or owner.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    data_dir: DataDir = None,
) -> None:
    """List the runs, the newest first."""
    with opened(data_dir) as services:
        found = services.runs.entries(
            _one_of(Phase, "phase", phase), _one_of(Method, "method", method), owner, text
        )
    if as_json:
        print(json.dumps([asdict(entry) for entry in found], indent=2, default=str))
        return
    for entry in found:
        made = time.strftime("%Y-%m-%d %H:%M", time.localtime(entry.made))
        left = "" if entry.seconds_left is None else f"  {entry.seconds_left:.0f} s left"
        print(
            f"{entry.name}  {entry.phase.value}  {entry.step}/{entry.steps}  "
            f"{entry.method.value}  {entry.model}  {made}{left}"
        )
        if entry.reason:
            print(f"    {entry.reason}")


def do_training(services: Services, request: TrainRequest, detach: bool) -> None:
    """Do a training and follow it to its end; where the data folder has a server, that does it.

    Ctrl+C pauses the run. detach: leave it as soon as it has begun. Raises AtelierError when it
    failed, and ends with exit code 130 after Ctrl+C, 1 when somebody else has ended it.
    """
    complete = services.training.resolve(request)
    run = services.training.folder(complete)
    served = _has_server(services)
    job_id = _job_of(services, run, served=served)
    if job_id or served:
        who = "The server of this data folder" if served else "Another command"
        print(f"{who} trains; this one follows.", file=sys.stderr)
        job_id = job_id or services.queue.submit(complete)
        going = detach or _followed(services, job_id, run, by_files=True)
        if not going:
            for _ in services.queue.follow(job_id):
                pass
    else:
        job_id = services.queue.submit(complete, runner=runner_name())
        going = _done_here(services, job_id, run, detach)
    row = services.queue.get(job_id)
    if detach and not row.status.is_final:
        print(f"{run.name} goes on; `atelier train list` says how far it is.")
        return
    _conclude(services, row, run, going)


def _done_here(services: Services, job_id: str, run: RunFolder, detach: bool) -> bool:
    """Do a job in this process, or only begin it; False after Ctrl+C."""
    job, leaving = services.queue.get(job_id), threading.Event()
    work = services.trainer.runner.run
    # A second Ctrl+C must not wait for it: the run itself is a process of its own.
    worker = threading.Thread(target=work, args=(job, leaving.is_set), name="job", daemon=True)
    worker.start()
    going = _followed(services, job_id, run, detach=detach)
    if going and detach:
        leaving.set()
        services.queue.leave(job_id)
    worker.join()
    return going


def _has_server(services: Services) -> bool:
    """Whether a server has the data folder: then it gives out the device."""
    try:
        services.lock.acquire(timeout=0)
    except Timeout:
        return True
    services.lock.release()
    return False


def _job_of(services: Services, run: RunFolder, *, served: bool) -> str:
    """The job that does a run already, "" for none; what the dead have left of it is ended."""
    for row in services.queue.unended("train"):
        request = services.queue.request(row)
        if (
            not isinstance(request, TrainRequest)
            or services.training.folder(request).path != run.path
        ):
            continue
        if is_alive(row.runner) if row.status is Status.RUNNING else served:
            return row.id
        services.queue.cancel(row.id)
        services.queue.end(row.id, Status.INTERRUPTED)
    return ""


def _followed(
    services: Services,
    job_id: str,
    run: RunFolder,
    *,
    by_files: bool = False,
    detach: bool = False,
) -> bool:
    """Tell of a job to its end, or until its run has begun to be left; False after Ctrl+C.

    by_files: from the run's files, where another process has the job's events.
    """
    follower, waits = Follower(run, _tell), ""
    try:
        for event in services.queue.follow(job_id, heartbeat=_POLL):
            if by_files:
                follower.look()
            if isinstance(event, Waiting):
                if event.holder != waits:
                    print(f"Waits for {event.holder} …", file=sys.stderr)
                waits = event.holder
            elif event is not None:
                _tell(event)
            if detach and is_running(run):
                return True
    except KeyboardInterrupt:
        print("Saves and pauses …", file=sys.stderr)
        try:
            services.runs.pause(run.name)
        except AtelierError:  # it has not come so far
            services.queue.cancel(job_id)
        return False
    return True


def _tell(event: Event) -> None:
    if isinstance(event, Measured) and not event.values.keys() <= _PLAIN:
        told = ", ".join(f"{label(name)} {value:.4g}" for name, value in event.values.items())
        print(f"Step {event.step}: {told}", file=sys.stderr)
    else:
        tell(event)


def _conclude(services: Services, row: JobRow, run: RunFolder, going: bool) -> None:
    """Say how it ended; going: not because of Ctrl+C."""
    if row.status is Status.FAILED:
        raise AtelierError(row.reason)
    if row.status is Status.FINISHED:
        entry = services.runs.get(run.name)
        print(f"{entry.title} is trained: {entry.result or run.path}")
        return
    status = run.status()
    how = "Paused" if status.phase is Phase.PAUSED else "Stopped"
    goes_on = f"`atelier train resume {run.name}` goes on"
    print(f"{how} at step {status.step} of {status.steps}; {goes_on}.", file=sys.stderr)
    raise typer.Exit(1 if going else 130)


def _one_of(kind: type[_Choice], option: str, value: str) -> _Choice | None:
    try:
        return kind(value) if value else None
    except ValueError:
        raise RequestError(
            f"{label(option)} is {value!r}, but must be one of: {', '.join(kind)}."
        ) from None
