"""Checks of all that would stop a person: versions, devices, memory, disk and model files."""

import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from importlib.metadata import PackageNotFoundError, version

import psutil

from studio import __version__
from studio.errors import AtelierError
from studio.models.catalogue import Catalogue
from studio.models.devices import automatic_budget, choose_device, memory
from studio.models.hashes import Hashes
from studio.models.readers import ReaderShelf
from studio.services import prepare_folder
from studio.settings import Settings

_PACKAGES = ("torch", "diffusers", "transformers", "gradio", "safetensors", "pillow", "xformers")
_OPTIONAL = ("xformers",)
_LEAST_DISK = 200 * 10**6
_LOW_DISK = 2 * 10**9
_LEAST_MEMORY = 10**9


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at and what is to be done about it."""

    class Level(Enum):
        """How bad it is; BAD stops the person."""

        GOOD = "good"
        NOTE = "note"
        BAD = "bad"

    level: Level
    topic: str
    text: str


_GOOD, _NOTE, _BAD = Finding.Level.GOOD, Finding.Level.NOTE, Finding.Level.BAD


def examine(load: Callable[[], Settings]) -> list[Finding]:
    """All findings, in the order in which one would mend them."""
    findings = [Finding(_GOOD, "Atelier", f"{__version__} on Python {sys.version.split()[0]}")]
    findings += _packages()
    try:
        settings = load()
    except AtelierError as error:
        return [*findings, Finding(_BAD, "settings", str(error))]
    findings.append(Finding(_GOOD, "settings", "valid"))
    findings += _folder(settings)
    findings += _device(settings)
    findings += _models(settings)
    findings += _readers(settings)
    return findings


def _packages() -> Iterator[Finding]:
    for name in _PACKAGES:
        try:
            yield Finding(_GOOD, name, version(name))
        except PackageNotFoundError:
            if name in _OPTIONAL:
                yield Finding(_NOTE, name, "not installed (optional)")
            else:
                yield Finding(_BAD, name, "not installed; run `pip install atelier` again")


def _folder(settings: Settings) -> Iterator[Finding]:
    try:
        prepare_folder(settings.data_dir)
    except AtelierError as error:
        yield Finding(_BAD, "data folder", str(error))
        return
    yield Finding(_GOOD, "data folder", f"{settings.data_dir} can be written")
    free = shutil.disk_usage(settings.data_dir).free
    text = f"{free / 1e9:,.1f} GB free"
    if free < _LEAST_DISK:
        yield Finding(_BAD, "disk", f"{text}; free some space before making pictures")
    elif free < _LOW_DISK:
        yield Finding(_NOTE, "disk", f"{text}; that is little for models")
    else:
        yield Finding(_GOOD, "disk", text)


def _device(settings: Settings) -> Iterator[Finding]:
    try:
        device = choose_device(settings.device, settings.dtype, settings.data_dir / "device.json")
    except (AtelierError, OSError, ImportError) as error:
        yield Finding(_BAD, "device", str(error))
        return
    yield Finding(_GOOD, "device", f"{device.label} ({device.name}), weights in {device.dtype}")
    now = memory(device)
    budget = settings.memory_budget or automatic_budget(device)
    free = psutil.virtual_memory().available if device.sort == "cpu" else now.total - now.used
    text = (
        f"{free / 1e9:,.1f} of {now.total / 1e9:,.1f} GB free; "
        f"models may hold {budget / 1e9:,.1f} GB"
    )
    yield Finding(_NOTE if free < _LEAST_MEMORY else _GOOD, "memory", text)


def _models(settings: Settings) -> Iterator[Finding]:
    catalogue = Catalogue(settings.data_dir / "models", default=settings.default_model)
    entries = catalogue.entries()
    for entry in entries:
        if entry.problem:
            yield Finding(_BAD, "model", entry.problem)
        else:
            yield Finding(_GOOD, "model", f"{entry.id}: {entry.bytes / 1e6:,.0f} MB, complete")
    if not entries:
        yield Finding(_BAD, "model", "none found; the assets folder of the project is missing")
    try:
        catalogue.usable("")
    except AtelierError as error:
        yield Finding(_BAD, "default model", str(error))


def _readers(settings: Settings) -> Iterator[Finding]:
    for entry in ReaderShelf(settings.data_dir / "models", Hashes()).entries():
        # A model without a head is no fault: readers are fine-tuned from such.
        text = entry.problem or f"{entry.id}: {entry.bytes / 1e6:,.0f} MB, complete"
        yield Finding(_NOTE if entry.problem else _GOOD, "reader", text)
