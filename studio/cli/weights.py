"""The commands about models and other weights."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from studio.cli.options import DataDir
from studio.cli.running import opened, run_job
from studio.diffusion.upscaling.choices import LATENT, of_pixels
from studio.events import Finished
from studio.models.convert import convert
from studio.requests import DownloadRequest, validated
from studio.services import build_services
from studio.settings import load_settings


def download(
    repository: Annotated[str, typer.Argument(help="As in owner/name.")],
    file: Annotated[str, typer.Option(help="One .safetensors file of it.")] = "",
    revision: Annotated[str, typer.Option(help="Branch, tag or commit.")] = "",
    data_dir: DataDir = None,
) -> None:
    """Fetch a model from the Hugging Face hub into the models folder."""
    fields = {"repo": repository, "file": file, "revision": revision}
    request = validated(DownloadRequest, fields)
    with opened(data_dir) as services:
        if isinstance(run_job(services, services.fetcher.runner, request), Finished):
            print(f"{repository} is here; `atelier models` lists it.")


def convert_file(
    file: Annotated[Path, typer.Argument(help="The .ckpt, .pt, .pth or .bin file.")],
) -> None:
    """Write a pickle's weights beside it as .safetensors and print where."""
    print(convert(file))


def models(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    data_dir: DataDir = None,
) -> None:
    """List the models and readers that can be used, and what is wrong with those that cannot."""
    services = build_services(load_settings(data_dir=data_dir))
    entries = services.catalogue.entries()
    if as_json:
        rows: list[dict[str, Any]] = [
            {
                "kind": "model",
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
        rows += [
            {
                "kind": "reader",
                "id": reader.id,
                "family": reader.architecture or None,
                "bytes": reader.bytes,
                "path": str(reader.path),
                "problem": reader.problem or None,
            }
            for reader in services.readers.entries()
        ]
        print(json.dumps(rows, indent=2))
        return
    for entry in entries:
        size = f"{entry.width}x{entry.height}" if entry.width else "?"
        family = entry.family.name if entry.family else "unknown"
        print(f"{entry.id:24} {family:20} {size:>10} {entry.bytes / 1e6:9,.0f} MB  {entry.title}")
        if entry.problem:
            print(f"{'':24} ! {entry.problem}")
    for reader in services.readers.entries():
        size = f"{reader.bytes / 1e6:9,.0f} MB"
        print(f"{reader.id:24} {reader.architecture or 'unknown':20} {'reader':>10} {size}")
        if reader.problem:
            print(f"{'':24} ! {reader.problem}")
    for kind, names in (
        ("LoRA files", [each.name for each in services.catalogue.loras.entries()]),
        ("Embeddings", [each.word for each in services.catalogue.embeddings.entries()]),
    ):
        if names:
            print(f"\n{kind}: {', '.join(names)}", end="")
    print(
        f"\nUpscalers: {', '.join(of_pixels(services.upscalers))}; before a second pass also ",
        end="",
    )
    print(", ".join(LATENT))
    for upscaler in services.upscalers.entries():
        if upscaler.problem:
            print(f"{upscaler.name:24} ! {upscaler.problem}")
