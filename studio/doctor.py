"""Checks of all that would stop a person: versions, surroundings, memory, disk, model files."""

import shutil
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version

import psutil

from studio import __version__, surroundings
from studio.errors import AtelierError
from studio.finding import BAD, GOOD, NOTE, Finding
from studio.models.catalogue import Catalogue
from studio.models.devices import NOTES, automatic_budget, choose_device, memory
from studio.models.hashes import Hashes
from studio.models.readers import ReaderShelf
from studio.preparing import prepare_folder
from studio.settings import Settings
from studio.store.database import Database
from studio.store.sqlite import FILE_NAME

_PACKAGES = ("torch", "diffusers", "transformers", "gradio", "safetensors", "pillow", "xformers")
_OPTIONAL = ("xformers",)
_LEAST_DISK = 200 * 10**6
_LOW_DISK = 2 * 10**9
_LEAST_MEMORY = 10**9


def examine(load: Callable[[], Settings]) -> list[Finding]:
    """All findings, in the order in which one would mend them."""
    findings = [Finding(GOOD, "Atelier", f"{__version__} on Python {sys.version.split()[0]}")]
    findings += _packages()
    try:
        settings = load()
    except AtelierError as error:
        return [*findings, Finding(BAD, "settings", str(error))]
    findings.append(Finding(GOOD, "settings", "valid"))
    findings += _folder(settings)
    findings += _database(settings)
    findings += surroundings.container(settings)
    findings += surroundings.port(settings)
    findings += surroundings.driver()
    findings += _device(settings)
    findings += _models(settings)
    findings += _readers(settings)
    return findings


def _packages() -> Iterator[Finding]:
    for name in _PACKAGES:
        try:
            yield Finding(GOOD, name, version(name))
        except PackageNotFoundError:
            if name in _OPTIONAL:
                yield Finding(NOTE, name, "not installed (optional)")
            else:
                yield Finding(BAD, name, "not installed; run `pip install atelier` again")


def _folder(settings: Settings) -> Iterator[Finding]:
    try:
        prepare_folder(settings.data_dir)
    except AtelierError as error:
        yield Finding(BAD, "data folder", str(error))
        return
    yield Finding(GOOD, "data folder", f"{settings.data_dir} can be written")
    free = shutil.disk_usage(settings.data_dir).free
    text = f"{free / 1e9:,.1f} GB free"
    if free < _LEAST_DISK:
        yield Finding(BAD, "disk", f"{text}; free some space before making pictures")
    elif free < _LOW_DISK:
        yield Finding(NOTE, "disk", f"{text}; that is little for models")
    else:
        yield Finding(GOOD, "disk", text)


def _database(settings: Settings) -> Iterator[Finding]:
    """As it is: whatever is to be made or changed in it is the first start's to do."""
    url = settings.database_url.get_secret_value()
    if not url and not (settings.data_dir / FILE_NAME).is_file():
        yield Finding(GOOD, "database", "SQLite; it is made at the first start")
        return
    try:
        database = Database(settings.data_dir, url, as_it_is=True)
    except AtelierError as error:
        yield Finding(BAD, "database", str(error))
        return
    sort = "PostgreSQL" if url else "SQLite"
    yield Finding(GOOD, "database", f"{sort}, {database.shown}")
    database.close()


def _device(settings: Settings) -> Iterator[Finding]:
    try:
        device = choose_device(settings.device, settings.dtype, settings.data_dir / NOTES)
    except (AtelierError, OSError, ImportError) as error:
        yield Finding(BAD, "device", str(error))
        return
    yield Finding(GOOD, "device", f"{device.label} ({device.name}), weights in {device.dtype}")
    now = memory(device)
    budget = settings.memory_budget or automatic_budget(device)
    free = psutil.virtual_memory().available if device.sort == "cpu" else now.total - now.used
    text = (
        f"{free / 1e9:,.1f} of {now.total / 1e9:,.1f} GB free; "
        f"models may hold {budget / 1e9:,.1f} GB"
    )
    yield Finding(NOTE if free < _LEAST_MEMORY else GOOD, "memory", text)


def _models(settings: Settings) -> Iterator[Finding]:
    catalogue = Catalogue(settings.data_dir / "models", default=settings.default_model)
    entries = catalogue.entries()
    for entry in entries:
        if entry.problem:
            yield Finding(BAD, "model", entry.problem)
        else:
            yield Finding(GOOD, "model", f"{entry.id}: {entry.bytes / 1e6:,.0f} MB, complete")
    if not entries:
        yield Finding(BAD, "model", "none found; the assets folder of the project is missing")
    try:
        catalogue.usable("")
    except AtelierError as error:
        yield Finding(BAD, "default model", str(error))


def _readers(settings: Settings) -> Iterator[Finding]:
    for entry in ReaderShelf(settings.data_dir / "models", Hashes()).entries():
        # A model without a head is no fault: readers are fine-tuned from such.
        text = entry.problem or f"{entry.id}: {entry.bytes / 1e6:,.0f} MB, complete"
        yield Finding(NOTE if entry.problem else GOOD, "reader", text)
