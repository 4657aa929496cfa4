"""The command line: commands call services, nothing else."""

import json
import logging
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from studio.doctor import Finding, examine
from studio.errors import AtelierError, RequestError, from_os_error
from studio.events import Failed, Finished, Loading, Notice, Progress, Stopped
from studio.requests import GenerationRequest, ImageFormat, Sampler, Schedule, validated
from studio.services import Services, build_services
from studio.settings import Settings, load_settings

Serve = Callable[[Settings], None]
# Not a Path: that would read the empty text as the working folder before the settings see it.
DataDir = Annotated[
    str | None, typer.Option(metavar="FOLDER", help="Folder for everything that is written.")
]
Device = Annotated[str | None, typer.Option(help="auto, cpu, cuda, cuda:N, mps, xpu or xpu:N.")]
Dtype = Annotated[str | None, typer.Option(help="auto, float32, float16 or bfloat16.")]


def run(serve: Serve, arguments: list[str]) -> None:
    """Do what the arguments say; `serve` starts the page.

    Raises AtelierError for what a person can mend and SystemExit with the exit code.
    """
    build(serve)(arguments or ["serve"], prog_name="atelier", standalone_mode=True)


def build(serve: Serve) -> typer.Typer:
    """The commands."""
    app = typer.Typer(
        name="atelier",
        no_args_is_help=False,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        help="A browser studio for making pictures; without a command it serves the page.",
    )

    @app.command("serve")
    def _serve(
        host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
        port: Annotated[int | None, typer.Option(help="Port; 0 for any free one.")] = None,
        data_dir: DataDir = None,
        device: Device = None,
        dtype: Dtype = None,
    ) -> None:
        """Serve the page until stopped."""
        settings = load_settings(
            host=host, port=port, data_dir=data_dir, device=device, dtype=dtype
        )
        logging.getLogger().setLevel(settings.log_level.upper())
        serve(settings)

    app.command("generate")(generate)
    app.command("models")(models)
    app.command("doctor")(doctor)
    return app


def generate(  # noqa: PLR0913 - a command's options are its layout
    prompt: Annotated[str, typer.Argument(help="What to show.")],
    negative: Annotated[str, typer.Option(help="What not to show.")] = "",
    model: Annotated[str, typer.Option(help="Id of the model; see `atelier models`.")] = "",
    sampler: Annotated[str, typer.Option(help=", ".join(Sampler))] = Sampler.DPMPP_2M.value,
    schedule: Annotated[str, typer.Option(help=", ".join(Schedule))] = Schedule.AUTOMATIC.value,
    steps: Annotated[int, typer.Option(help="Denoising steps, 1 to 150.")] = 20,
    cfg: Annotated[float | None, typer.Option(help="CFG scale, 1 to 30.")] = None,
    width: Annotated[int | None, typer.Option(help="Pixels.")] = None,
    height: Annotated[int | None, typer.Option(help="Pixels.")] = None,
    seed: Annotated[int, typer.Option(help="-1 draws one.")] = -1,
    count: Annotated[int, typer.Option(help="Number of batches.")] = 1,
    batch: Annotated[int, typer.Option(help="Pictures denoised together.")] = 1,
    clip_skip: Annotated[int, typer.Option(help="1 uses the last layer.")] = 1,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Copy the picture here (.png, .jpg or .webp)."),
    ] = None,
    data_dir: DataDir = None,
    device: Device = None,
    dtype: Dtype = None,
) -> None:
    """Make pictures from a text and print where they are."""
    fields = {
        "prompt": prompt,
        "negative_prompt": negative,
        "model": model,
        "sampler": sampler,
        "schedule": schedule,
        "steps": steps,
        "cfg_scale": cfg,
        "width": width,
        "height": height,
        "seed": seed,
        "batch_count": count,
        "batch_size": batch,
        "clip_skip": clip_skip,
        "preview_every": 0,
        "image_format": _format_of(output),
    }
    request = validated(GenerationRequest, fields)
    services = build_services(load_settings(data_dir=data_dir, device=device, dtype=dtype))
    try:
        _generate(services, request, output)
    finally:
        services.stop()


def models(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    data_dir: DataDir = None,
) -> None:
    """List the models that can be used, and what is wrong with those that cannot."""
    services = build_services(load_settings(data_dir=data_dir))
    entries = services.catalogue.entries()
    if as_json:
        rows: list[dict[str, Any]] = [
            {
                "id": entry.id,
                "title": entry.title,
                "family": entry.family.name if entry.family else None,
                "width": entry.width,
                "height": entry.height,
                "bytes": entry.bytes,
                "folder": str(entry.folder),
                "problem": entry.problem or None,
            }
            for entry in entries
        ]
        print(json.dumps(rows, indent=2))
        return
    for entry in entries:
        size = f"{entry.width}x{entry.height}" if entry.width else "?"
        family = entry.family.name if entry.family else "unknown"
        print(f"{entry.id:24} {family:20} {size:>10} {entry.bytes / 1e6:9,.0f} MB  {entry.title}")
        if entry.problem:
            print(f"{'':24} ! {entry.problem}")


def doctor(data_dir: DataDir = None, device: Device = None) -> None:
    """Check versions, devices, memory, disk and model files; exit code 1 when one stops you."""
    findings = examine(lambda: load_settings(data_dir=data_dir, device=device))
    marks = {Finding.Level.GOOD: "ok  ", Finding.Level.NOTE: "note", Finding.Level.BAD: "FAIL"}
    for finding in findings:
        print(f"{marks[finding.level]}  {finding.topic:14} {finding.text}")
    if any(finding.level is Finding.Level.BAD for finding in findings):
        raise typer.Exit(1)


def _generate(services: Services, request: GenerationRequest, output: Path | None) -> None:
    import threading

    from studio.jobs.worker import runner_name

    job_id = services.queue.submit(request, runner=runner_name())
    job = services.queue.get(job_id)
    worker = threading.Thread(target=services.runner.run, args=(job,), name="generate")
    worker.start()
    final: object = None
    try:
        for final in services.queue.follow(job_id):
            _tell(final)
    except KeyboardInterrupt:
        services.queue.cancel(job_id)
        raise typer.Exit(130) from None
    finally:
        worker.join()
    if isinstance(final, Failed):
        raise AtelierError(final.reason)
    assert isinstance(final, Finished | Stopped)
    paths = [services.outputs.path(output_id) for output_id in final.outputs]
    if output is not None:
        paths = _copy(paths, output)
    for path in paths:
        print(path)


def _tell(event: object) -> None:
    """Progress on standard error, so that standard output is just the files."""
    if isinstance(event, Loading):
        print(f"Loading {event.model} …", file=sys.stderr)
    elif isinstance(event, Notice):
        print(event.text, file=sys.stderr)
    elif isinstance(event, Progress) and sys.stderr.isatty():
        left = f", {event.seconds_left:.0f} s left" if event.seconds_left is not None else ""
        end = "\n" if event.fraction == 1 else "\r"
        print(f"Step {event.step} of {event.steps}{left}   ", end=end, file=sys.stderr)


def _format_of(output: Path | None) -> ImageFormat:
    suffixes = {
        ".png": ImageFormat.PNG,
        ".jpg": ImageFormat.JPEG,
        ".jpeg": ImageFormat.JPEG,
        ".webp": ImageFormat.WEBP,
    }
    if output is None:
        return ImageFormat.PNG
    if output.suffix.lower() not in suffixes:
        raise RequestError(
            f"Output {output} has no picture's ending; use one of {', '.join(suffixes)}."
        )
    if not output.parent.is_dir():
        raise RequestError(f"There is no folder {output.parent} for the output; make it first.")
    return suffixes[output.suffix.lower()]


def _copy(paths: list[Path], output: Path) -> list[Path]:
    """Copies under the wanted name, numbered when there are several."""
    targets = [output]
    if len(paths) > 1:
        width = len(str(len(paths)))
        targets = [
            output.with_stem(f"{output.stem}-{number:0{width}d}")
            for number in range(1, len(paths) + 1)
        ]
    for path, target in zip(paths, targets, strict=True):
        try:
            shutil.copyfile(path, target)
        except OSError as error:
            raise from_os_error(error, f"copy the picture to {target}") from error
    return targets
