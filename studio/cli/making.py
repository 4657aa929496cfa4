"""The commands that make new models: merge, extract, bake, resize."""

from typing import Annotated

import typer

from studio.cli.options import DataDir
from studio.cli.running import opened, run_job
from studio.errors import RequestError
from studio.events import Finished
from studio.model_requests import (
    BakeRequest,
    ExtractRequest,
    MergeMethod,
    MergeRequest,
    NewModelRequest,
    RankMethod,
    ResizeRequest,
    StoredAs,
)
from studio.models.merging.blocks import PRESETS
from studio.requests import validated

Name = Annotated[str, typer.Argument(help="What the new one is called.")]
Stored = Annotated[str, typer.Option("--dtype", help=", ".join(StoredAs))]


def merge(  # noqa: PLR0913 - a command's options are its layout
    name: Name,
    model_a: Annotated[str, typer.Argument(help="Id of model A; see `atelier models`.")],
    model_b: Annotated[str, typer.Argument(help="Id of model B.")],
    model_c: Annotated[str, typer.Argument(help="Id of model C, for methods of three.")] = "",
    method: Annotated[
        str | None,
        typer.Option(help=f"{', '.join(MergeMethod)}; without it, by how many models there are."),
    ] = None,
    weight: Annotated[
        float, typer.Option(help="Share of B, or how much of B - C is added; 0 to 1.")
    ] = 0.5,
    weight_c: Annotated[float, typer.Option(help="Share of C in a sum of three; 0 to 1.")] = 0.0,
    blocks: Annotated[
        str, typer.Option(help=f"The weight by block: numbers, or {', '.join(PRESETS)}.")
    ] = "",
    blocks_c: Annotated[str, typer.Option(help="The same for the weight of C.")] = "",
    keep_vae: Annotated[bool, typer.Option("--keep-vae", help="Keep A's VAE.")] = False,
    keep_text: Annotated[bool, typer.Option("--keep-text", help="Keep A's text encoders.")] = False,
    stored: Stored = StoredAs.SAME.value,
    data_dir: DataDir = None,
) -> None:
    """Merge two or three models of one family into a new one."""
    usual = MergeMethod.DIFFERENCE if model_c else MergeMethod.SUM
    fields = {
        "name": name,
        "method": method or usual.value,
        "model_a": model_a,
        "model_b": model_b,
        "model_c": model_c,
        "weight": weight,
        "weight_c": weight_c,
        "blocks": blocks,
        "blocks_c": blocks_c,
        "merge_vae": not keep_vae,
        "merge_text": not keep_text,
        "stored": stored,
    }
    _make(validated(MergeRequest, fields), data_dir)


def extract(
    name: Name,
    tuned: Annotated[str, typer.Argument(help="Id of the model that was trained.")],
    base: Annotated[str, typer.Argument(help="Id of the model that it was made from.")],
    rank: Annotated[int, typer.Option(help="Of each layer's matrices, 1 to 1024.")] = 32,
    clamp: Annotated[
        float, typer.Option(help="Clamp numbers beyond this share of all; 1 for none.")
    ] = 0.99,
    no_text: Annotated[bool, typer.Option("--no-text", help="Without text encoders.")] = False,
    stored: Stored = StoredAs.FLOAT16.value,
    data_dir: DataDir = None,
) -> None:
    """Write what a model has learnt beyond the one that it was made from as a LoRA."""
    fields = {
        "name": name,
        "tuned": tuned,
        "base": base,
        "rank": rank,
        "clamp": clamp,
        "text": not no_text,
        "stored": stored,
    }
    _make(validated(ExtractRequest, fields), data_dir)


def bake(
    name: Name,
    model: Annotated[str, typer.Argument(help="Id of the model; see `atelier models`.")],
    lora: Annotated[list[str], typer.Option(help="NAME or NAME=STRENGTH; once for each.")],
    stored: Stored = StoredAs.SAME.value,
    data_dir: DataDir = None,
) -> None:
    """Write a model with LoRAs in its weights."""
    pairs = [_with_strength(each) for each in lora]
    fields = {
        "name": name,
        "model": model,
        "loras": [each for each, _ in pairs],
        "strengths": [strength for _, strength in pairs],
        "stored": stored,
    }
    _make(validated(BakeRequest, fields), data_dir)


def resize(
    name: Name,
    lora: Annotated[str, typer.Argument(help="Name of the LoRA; see `atelier models`.")],
    rank: Annotated[int, typer.Option(help="Of each layer's matrices at most, 1 to 4096.")] = 16,
    conv_rank: Annotated[
        int | None, typer.Option(help="The same for convolutions; --rank if not given.")
    ] = None,
    method: Annotated[
        str, typer.Option(help=f"How each layer's own rank is found: {', '.join(RankMethod)}.")
    ] = RankMethod.FIXED.value,
    share: Annotated[
        float, typer.Option(help="What the method keeps, 0 to 1; of sv_ratio more than 1.")
    ] = 0.9,
    stored: Stored = StoredAs.SAME.value,
    data_dir: DataDir = None,
) -> None:
    """Write a LoRA of another rank that is nearest to one that is here."""
    fields = {
        "name": name,
        "lora": lora,
        "rank": rank,
        "conv_rank": conv_rank,
        "method": method,
        "share": share,
        "stored": stored,
    }
    _make(validated(ResizeRequest, fields), data_dir)


def _with_strength(text: str) -> tuple[str, float]:
    name, _, strength = text.partition("=")
    try:
        return name, float(strength or 1)
    except ValueError:
        raise RequestError(
            f"--lora is {text!r}, but must be a name, or a name and a strength such as ink=0.8.",
            "strengths",
        ) from None


def _make(request: NewModelRequest, data_dir: str | None) -> None:
    with opened(data_dir) as services:
        if isinstance(run_job(services, services.maker.runner, request), Finished):
            print(f"{request.name} is here; `atelier models` lists it.")
