"""The command line: commands call services, nothing else."""

from collections.abc import Callable
from typing import Annotated

import typer

from studio.cli.asking import ask
from studio.cli.backups import backup, restore
from studio.cli.data_sets import check_squad
from studio.cli.making import bake, extract, merge, resize
from studio.cli.options import DataDir, Device, Dtype
from studio.cli.people import build_people
from studio.cli.pictures import edit, generate, upscale
from studio.cli.scoring import evaluate, leaderboard
from studio.cli.timing import time
from studio.cli.training import build_training
from studio.cli.tuning import finetune_reader
from studio.cli.weights import convert_file, download, models
from studio.doctor import examine
from studio.errors import SettingsError
from studio.finding import Finding
from studio.people import COMMAND, HOME, acting_as
from studio.settings import Settings, load_settings

Serve = Callable[[Settings], None]


def run(serve: Serve, arguments: list[str]) -> None:
    """Do what the arguments say; `serve` starts the page.

    Raises AtelierError for what a person can mend and SystemExit with the exit code.
    """
    with acting_as(HOME, COMMAND):
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
    def _serve(  # noqa: PLR0913 - a command's options are its layout
        host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
        listen: Annotated[
            bool, typer.Option("--listen", help="Listen on all addresses, for others too.")
        ] = False,
        port: Annotated[int | None, typer.Option(help="Port; 0 for any free one.")] = None,
        mcp: Annotated[
            bool | None, typer.Option("--mcp", help="Serve MCP clients too; needs atelier[mcp].")
        ] = None,
        share: Annotated[bool, typer.Option("--share", hidden=True)] = False,
        cluster: Annotated[
            str | None,
            typer.Option(help="auto or HOST:PORT of a cluster of Ray; needs atelier[cluster]."),
        ] = None,
        data_dir: DataDir = None,
        device: Device = None,
        dtype: Dtype = None,
    ) -> None:
        """Serve the page until stopped."""
        if share:
            raise SettingsError(
                "Atelier opens no tunnel through somebody else's server (--share); use --listen, "
                "which asks for accounts, behind a proxy with TLS of your own."
            )
        host = host or ("0.0.0.0" if listen else None)
        where = {"host": host, "port": port, "cluster": cluster, "data_dir": data_dir}
        with acting_as(HOME, ""):
            serve(load_settings(mcp=mcp, device=device, dtype=dtype, **where))

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
    app.command("resize")(resize)
    app.command("ask")(ask)
    app.command("evaluate")(evaluate)
    app.command("leaderboard")(leaderboard)
    app.command("check-squad")(check_squad)
    app.command("finetune-reader")(finetune_reader)
    app.add_typer(build_training(), name="train")
    app.add_typer(build_people(), name="people")
    app.command("backup")(backup)
    app.command("restore")(restore)
    app.command("doctor")(doctor)
    return app


def doctor(data_dir: DataDir = None, device: Device = None) -> None:
    """Check versions, card, port, container, disk and models; exit code 1 when one stops you."""
    findings = examine(lambda: load_settings(data_dir=data_dir, device=device))
    marks = {Finding.Level.GOOD: "ok  ", Finding.Level.NOTE: "note", Finding.Level.BAD: "FAIL"}
    for finding in findings:
        print(f"{marks[finding.level]}  {finding.topic:14} {finding.text}")
    if any(finding.level is Finding.Level.BAD for finding in findings):
        raise typer.Exit(1)
