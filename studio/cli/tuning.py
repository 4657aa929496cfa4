"""The command that trains readers."""

import re
from pathlib import Path
from typing import Annotated

import typer

from studio.cli.options import DataDir, Device
from studio.cli.running import opened, run_job
from studio.errors import RequestError, from_os_error
from studio.events import Finished, Status
from studio.jobs.worker import is_alive
from studio.reader_requests import FinetuneRequest, TrainedIn
from studio.requests import validated
from studio.services import Services

_NO_NAME = re.compile(r"[^\w.+-]+")


def finetune_reader(  # noqa: PLR0913 - a command's options are its layout
    base: Annotated[str, typer.Option(help="A folder, a model that is here, or an id on the hub.")],
    train: Annotated[str, typer.Option(help="A SQuAD file, or a data set that is here.")],
    dev: Annotated[str, typer.Option(help="The same, for the scores.")] = "",
    name: Annotated[str, typer.Option(help="What the reader is called; else by base, data.")] = "",
    epochs: Annotated[float | None, typer.Option(help="Times that all is seen.")] = None,
    max_steps: Annotated[int | None, typer.Option(help="Instead of epochs.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="At its highest.")] = None,
    layer_decay: Annotated[
        float | None, typer.Option(help="A layer's rate as a share of that above it.")
    ] = None,
    head_rate: Annotated[float | None, typer.Option(help="The output layer's multiple.")] = None,
    warmup: Annotated[float | None, typer.Option(help="Share of all steps.")] = None,
    weight_decay: Annotated[float | None, typer.Option(help="AdamW's.")] = None,
    clip_norm: Annotated[float | None, typer.Option(help="Of gradients; 0 for none.")] = None,
    dropout: Annotated[float | None, typer.Option(help="Of hidden states.")] = None,
    attention_dropout: Annotated[
        float | None, typer.Option(help="Of attention; 0 is faster on a CPU.")
    ] = None,
    label_smoothing: Annotated[float | None, typer.Option(help="Share that is spread.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Windows at a time.")] = None,
    accumulate: Annotated[int | None, typer.Option(help="Batches of one step.")] = None,
    max_length: Annotated[int | None, typer.Option(help="Tokens of a window.")] = None,
    overlap: Annotated[int | None, typer.Option(help="Tokens that neighbours share.")] = None,
    precision: Annotated[str | None, typer.Option(help=", ".join(TrainedIn))] = None,
    held_out: Annotated[
        float | None, typer.Option(help="Share of the passages for calibration.")
    ] = None,
    evaluate_every: Annotated[
        int | None, typer.Option(help="Steps between scores; 0 for each epoch's end.")
    ] = None,
    dev_questions: Annotated[
        int | None, typer.Option(help="That those scores are of; 0 for all.")
    ] = None,
    teacher: Annotated[
        list[str] | None, typer.Option(help="Reader to learn from; once for each.")
    ] = None,
    distill: Annotated[float | None, typer.Option(help="How much teachers count, 0 to 1.")] = None,
    temperature: Annotated[float | None, typer.Option(help="Of what teachers say.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of order and dropout.")] = None,
    processes: Annotated[int | None, typer.Option(help="One on each GPU.")] = None,
    who: Annotated[str, typer.Option(help="Whom the submission is from.")] = "",
    data_dir: DataDir = None,
    device: Device = None,
) -> None:
    """Fine-tune a reader, calibrate it and put its scores on the leaderboard.

    The same command again goes on where it was stopped.
    """
    given = {
        "epochs": epochs,
        "max_steps": max_steps,
        "learning_rate": learning_rate,
        "layer_decay": layer_decay,
        "head_rate": head_rate,
        "warmup": warmup,
        "weight_decay": weight_decay,
        "clip_norm": clip_norm,
        "dropout": dropout,
        "attention_dropout": attention_dropout,
        "label_smoothing": label_smoothing,
        "batch_size": batch_size,
        "accumulate": accumulate,
        "max_length": max_length,
        "overlap": overlap,
        "precision": precision,
        "held_out": held_out,
        "evaluate_every": evaluate_every,
        "dev_questions": dev_questions,
        "distill": distill,
        "temperature": temperature,
        "seed": seed,
        "processes": processes,
    }
    with opened(data_dir, device) as services:
        learnt = _data_set(services, train)
        fields = {
            **{field: value for field, value in given.items() if value is not None},
            "name": name or _named(base, learnt),
            "base": services.finetuning.keep_encoder(Path(base)) if Path(base).is_dir() else base,
            "train": learnt,
            "dev": _data_set(services, dev) if dev else "",
            "teachers": teacher or (),
            "who": who,
        }
        request = validated(FinetuneRequest, fields)
        _take_over(services, request)
        if isinstance(run_job(services, services.trainer.runner, request), Finished):
            print(f"{request.name} is here; `atelier models` lists it.")


def _data_set(services: Services, given: str) -> str:
    """The name of a data set that is here, or of a file that is taken in."""
    path = Path(given)
    if not path.is_file() and given in services.data_sets.names():
        return given
    try:
        return services.data_sets.add(path.read_bytes(), path.name)
    except OSError as error:
        raise from_os_error(error, f"read the data set {given}") from None


def _named(base: str, train: str) -> str:
    stem = Path(base).name or base
    return _NO_NAME.sub("-", f"{stem}-{train}").strip("-.")[:100].strip("-.")


def _take_over(services: Services, request: FinetuneRequest) -> None:
    """End what a killed command left of the same training, which this one goes on with."""
    for row in services.queue.unended("finetune-reader"):
        if services.queue.request(row) != request:
            continue
        if row.status is Status.RUNNING and is_alive(row.runner):
            raise RequestError("This very training is running already; wait for it or cancel it.")
        services.queue.cancel(row.id)
        services.queue.end(row.id, Status.INTERRUPTED)
