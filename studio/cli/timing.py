"""The command that times a model."""

from typing import Annotated

import typer

from studio.cli.options import DataDir, Device, Dtype
from studio.cli.running import opened, run_job
from studio.events import Finished
from studio.models.speedups import title_of
from studio.requests import TimingRequest, validated


def time(  # noqa: PLR0913 - a command's options are its layout
    model: Annotated[str, typer.Argument(help="Id of the model; see `atelier models`.")] = "",
    width: Annotated[int | None, typer.Option(help="Pixels; the model's own if not given.")] = None,
    height: Annotated[int | None, typer.Option(help="Pixels.")] = None,
    batch: Annotated[int, typer.Option(help="Pictures denoised together.")] = 1,
    steps: Annotated[int | None, typer.Option(help="The model's own if not given.")] = None,
    rounds: Annotated[int, typer.Option(help="How often each is timed; the best counts.")] = 3,
    data_dir: DataDir = None,
    device: Device = None,
    dtype: Dtype = None,
) -> None:
    """Time a model on this machine, as it is and with each speed-up that fits it."""
    fields = {
        "model": model,
        "width": width,
        "height": height,
        "batch_size": batch,
        "steps": steps,
        "rounds": rounds,
    }
    request = validated(TimingRequest, fields)
    with opened(data_dir, device, dtype) as services:
        ended = run_job(services, services.runner, request)
        entry = services.catalogue.usable(model)
        speed = services.speeds.newest(entry.id, services.engine.device())
        if not isinstance(ended, Finished) or speed is None:
            return
        size = f"{speed.width}x{speed.height}, batch of {speed.batch_size}, {speed.steps} steps"
        print(f"{entry.title}, {size}, on {services.engine.device().label}")
        for key, seconds in speed.seconds.items():
            ratio = f"{speed.ratios[key]:.2f}x" if key else ""
            name = f"{title_of(key)} ({key})" if key else title_of(key)
            print(f"{name:40} {seconds:10.4f} s an evaluation {ratio:>8}")
