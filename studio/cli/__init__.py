"""The command line: commands call services, nothing else."""

import logging
from collections.abc import Callable
from typing import Annotated

import typer

from studio.cli.asking import ask
from studio.cli.data_sets import check_squad
from studio.cli.making import bake, extract, merge
from studio.cli.options import DataDir, Device, Dtype
from studio.cli.pictures import edit, generate, upscale
from studio.cli.scoring import evaluate, leaderboard
from studio.cli.timing import time
from studio.cli.training import build_training
from studio.cli.tuning import finetune_reader
from studio.cli.weights import convert_file, download, models
from studio.doctor import Finding, examine
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
    app.command("time")(time)
    app.command("models")(models)
    app.command("download")(download)
    app.command("convert")(convert_file)
    app.command("merge")(merge)
    app.command("extract")(extract)
    app.command("bake")(bake)
    app.command("ask")(ask)
    app.command("evaluate")(evaluate)
    app.command("leaderboard")(leaderboard)
    app.command("check-squad")(check_squad)
    app.command("finetune-reader")(finetune_reader)
    app.add_typer(build_training(), name="train")
    app.command("doctor")(doctor)
    return app


def doctor(data_dir: DataDir = None, device: Device = None) -> None:
    """Check versions, devices, memory, disk and model files; exit code 1 when one stops you."""
    findings = examine(lambda: load_settings(data_dir=data_dir, device=device))
    marks = {Finding.Level.GOOD: "ok  ", Finding.Level.NOTE: "note", Finding.Level.BAD: "FAIL"}
    for finding in findings:
        print(f"{marks[finding.level]}  {finding.topic:14} {finding.text}")
    if any(finding.level is Finding.Level.BAD for finding in findings):
        raise typer.Exit(1)
