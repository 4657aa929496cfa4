"""The commands that train models from pictures."""

import re
import sys
import tomllib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from studio.cli.options import DataDir, Device, Model
from studio.cli.running import opened
from studio.cli.runs import do_training, grid, kill, list_runs, pause, remove, resume, stop
from studio.errors import NotFound, RequestError, from_os_error
from studio.requests import validated
from studio.services import Services
from studio.training.presets import preset as fields_of_preset
from studio.training.toml_files import read_toml, table_of, write_toml
from studio.training_requests import (
    TABLES,
    CaptionSource,
    Method,
    Optimiser,
    Precision,
    RateSchedule,
    TrainRequest,
)

HUB = "hub:"
"""Before the id of a data set of the Hugging Face hub."""
_NO_NAME = re.compile(r"[^\w.+-]+")


def build_training() -> typer.Typer:
    """The commands below `atelier train`."""
    app = typer.Typer(
        add_completion=False,
        no_args_is_help=True,
        rich_markup_mode=None,
        help="Teach a model a subject or a style from pictures.",
    )
    said = {
        Method.LORA: "Train a LoRA.",
        Method.DREAMBOOTH: "Bind a subject to an identifier, as a LoRA or in all weights.",
        Method.TEXTUAL_INVERSION: "Train vectors of a new word.",
        Method.FULL: "Train all weights of the denoiser.",
    }
    for method in Method:
        app.command(method.value, help=said[method])(_training(method))
    app.command("resume")(resume)
    app.command("pause")(pause)
    app.command("stop")(stop)
    app.command("kill")(kill)
    app.command("remove")(remove)
    app.command("grid")(grid)
    app.command("list")(list_runs)
    return app


def _training(method: Method) -> Callable[..., None]:
    """The command of a method: all take the same options."""

    def train(  # noqa: PLR0913 - a command's options are its layout
        data: Annotated[
            str,
            typer.Option(help="Pictures: a folder, .zip, .parquet, a set or hub:ID."),
        ] = "",
        prompt: Annotated[str | None, typer.Option(help="What they show.")] = None,
        model: Model = "",
        name: Annotated[str, typer.Option(help="Of what is made; else by the pictures.")] = "",
        preset: Annotated[str, typer.Option(help="A file of assets/presets by its name.")] = "",
        config: Annotated[Path | None, typer.Option(help="A TOML file of settings.")] = None,
        trigger: Annotated[str | None, typer.Option(help="The word that calls it up.")] = None,
        captions: Annotated[str | None, typer.Option(help=", ".join(CaptionSource))] = None,
        resolution: Annotated[int | None, typer.Option(help="Side in pixels.")] = None,
        flip: Annotated[bool | None, typer.Option("--flip", help="Mirror half of them.")] = None,
        class_prompt: Annotated[
            str | None, typer.Option(help="What the class is; a prompt a line.")
        ] = None,
        class_pictures: Annotated[int | None, typer.Option(help="Of the class.")] = None,
        preservation: Annotated[
            bool | None, typer.Option("--preservation", help="Keep the class as it is.")
        ] = None,
        rank: Annotated[int | None, typer.Option(help="Of a LoRA's matrices.")] = None,
        alpha: Annotated[float | None, typer.Option(help="Of a LoRA; else its rank.")] = None,
        text_encoder: Annotated[
            bool | None, typer.Option("--text-encoder", help="Train text encoders too.")
        ] = None,
        whole: Annotated[
            bool | None, typer.Option("--whole", help="DreamBooth in all weights.")
        ] = None,
        vectors: Annotated[int | None, typer.Option(help="Of a new word.")] = None,
        initial_word: Annotated[str | None, typer.Option(help="It begins as this one.")] = None,
        steps: Annotated[int | None, typer.Option(help="Of the optimiser.")] = None,
        learning_rate: Annotated[float | None, typer.Option(help="At its highest.")] = None,
        text_rate: Annotated[float | None, typer.Option(help="The text encoders'.")] = None,
        batch_size: Annotated[int | None, typer.Option(help="On all devices together.")] = None,
        optimiser: Annotated[str | None, typer.Option(help=", ".join(Optimiser))] = None,
        schedule: Annotated[str | None, typer.Option(help=", ".join(RateSchedule))] = None,
        precision: Annotated[str | None, typer.Option(help=", ".join(Precision))] = None,
        seed: Annotated[int | None, typer.Option(help="Of all that is drawn.")] = None,
        sample_prompt: Annotated[
            list[str] | None, typer.Option(help="Shown on the way; may be given for each.")
        ] = None,
        sample_every: Annotated[int | None, typer.Option(help="Steps; 0 for none.")] = None,
        save_every: Annotated[int | None, typer.Option(help="Steps.")] = None,
        processes: Annotated[int | None, typer.Option(help="One on each device.")] = None,
        accelerate: Annotated[str | None, typer.Option(help="Name of its configuration.")] = None,
        settings: Annotated[
            list[str] | None,
            typer.Option("--set", metavar="TABLE.FIELD=VALUE", help="Any other setting."),
        ] = None,
        owner: Annotated[str | None, typer.Option(help="For the list of runs.")] = None,
        show: Annotated[bool, typer.Option("--show", help="Print the TOML file, and end.")] = False,
        detach: Annotated[bool, typer.Option("--detach", help="Begin it, and end.")] = False,
        data_dir: DataDir = None,
        device: Device = None,
    ) -> None:
        given = {key: value for key, value in locals().items() if key in TrainRequest.model_fields}
        fields = {key: value for key, value in given.items() if value not in (None, "")}
        if sample_prompt:
            fields["sample_prompts"] = tuple(sample_prompt)
        with opened(data_dir, device) as services:
            known = _known(services, data, preset, config, method)
            asked = known | fields | _settings(settings or []) | {"method": method}
            asked.setdefault("name", _named(str(asked.get("pictures", "")), method))
            request: TrainRequest = validated(TrainRequest, asked)
            if show:
                print(write_toml(services.training.resolve(request)), end="")
                return
            do_training(services, request, detach)

    return train


def _known(
    services: Services, data: str, preset: str, config: Path | None, method: Method
) -> dict[str, Any]:
    """Fields of the pictures, the preset and the file, in this order."""
    fields: dict[str, Any] = {}
    taken: dict[str, Any] = {}
    if data in services.picture_sets.names() and not Path(data).is_dir():
        taken = {"pictures": data}
    elif data:
        repo = data.removeprefix(HUB)
        sets = services.picture_sets
        found = sets.take_in(Path(data)) if repo == data else sets.take_parquet(repo)
        for notice in found.notices:
            print(notice, file=sys.stderr)
        fields = dict(found.fields)
        taken = {"pictures": found.name}
    if preset:
        fields |= _preset(preset, method)
    if config is not None:
        try:
            fields |= read_toml(config.read_text(encoding="utf-8"))
        except OSError as error:
            raise from_os_error(error, f"read the settings {config}") from None
        except UnicodeDecodeError:
            raise RequestError(f"{config} is no TOML file: it is no text in UTF-8.") from None
    return fields | taken


def _preset(name: str, method: Method) -> dict[str, Any]:
    """The preset of a name that may leave out the method."""
    for each in (f"{name}-{method.value}", name):
        with suppress(NotFound):
            return fields_of_preset(each)
    raise NotFound(
        f"There is no preset {name[:60]!r} for {method.value}; their names are of a family and a "
        "memory, as in sd15-12gb or small-cpu."
    )


def _settings(given: list[str]) -> dict[str, Any]:
    """Fields of `table.field=value`, where the value is as in TOML, or a text."""
    fields: dict[str, Any] = {}
    for each in given:
        path, equals, value = each.partition("=")
        table, _, field = path.strip().rpartition(".")
        if not equals or field not in TrainRequest.model_fields or table != table_of(field):
            tables = ", ".join(kind.__name__.lower() for kind in TABLES)
            raise RequestError(
                f"--set {each!r} names no setting; write table.field=value, as in "
                f"learning.noise_offset=0.05, with one of the tables {tables}."
            )
        try:
            fields[field] = tomllib.loads(f"x = {value.strip()}")["x"]
        except tomllib.TOMLDecodeError:
            fields[field] = value.strip()
    return fields


def _named(pictures: str, method: Method) -> str:
    return _NO_NAME.sub("-", f"{pictures}-{method.value}").strip("-.")[:100].strip("-.")
