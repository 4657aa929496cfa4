"""The command line: commands call services, nothing else."""

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from studio.cli.options import DataDir, Device, Dtype
from studio.cli.pictures import edit, generate, upscale
from studio.diffusion.upscaling.choices import LATENT, of_pixels
from studio.doctor import Finding, examine
from studio.models.convert import convert
from studio.services import build_services
from studio.settings import Settings, load_settings

Serve = Callable[[Settings], None]


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
    app.command("edit")(edit)
    app.command("upscale")(upscale)
    app.command("models")(models)
    app.command("convert")(convert_file)
    app.command("doctor")(doctor)
    return app


def convert_file(
    file: Annotated[Path, typer.Argument(help="The .ckpt, .pt, .pth or .bin file.")],
) -> None:
    """Write a pickle's weights beside it as .safetensors and print where."""
    print(convert(file))


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
                "path": str(entry.path),
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
    print(
        f"\nUpscalers: {', '.join(of_pixels(services.upscalers))}; before a second pass also ",
        end="",
    )
    print(", ".join(LATENT))
    for upscaler in services.upscalers.entries():
        if upscaler.problem:
            print(f"{upscaler.name:24} ! {upscaler.problem}")


def doctor(data_dir: DataDir = None, device: Device = None) -> None:
    """Check versions, devices, memory, disk and model files; exit code 1 when one stops you."""
    findings = examine(lambda: load_settings(data_dir=data_dir, device=device))
    marks = {Finding.Level.GOOD: "ok  ", Finding.Level.NOTE: "note", Finding.Level.BAD: "FAIL"}
    for finding in findings:
        print(f"{marks[finding.level]}  {finding.topic:14} {finding.text}")
    if any(finding.level is Finding.Level.BAD for finding in findings):
        raise typer.Exit(1)
