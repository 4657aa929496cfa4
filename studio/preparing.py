"""What is seen to before a studio is put together: its folder, its default model, its settings."""

import importlib.util
from pathlib import Path

from studio.errors import SettingsError, from_os_error
from studio.models.catalogue import Catalogue
from studio.models.library import preferred_model
from studio.parts import Parts
from studio.settings import Settings


def choose_default(parts: Parts) -> None:
    """Set the model of requests that name none: the setting's, else the one chosen on the page."""
    settings = parts.settings
    if settings.default_model:
        _check_default(parts.catalogue, settings.default_model)
        return
    chosen = preferred_model(settings.data_dir)
    # One that was taken away since would leave every request without a model.
    there = {entry.id for entry in parts.catalogue.entries()}
    parts.catalogue.default = chosen if chosen in there else ""


def prepare_folder(folder: Path) -> None:
    """Make the data folder and check that it can be written; StorageError when not."""
    probe = folder / ".write-test"
    try:
        for part in ("outputs", "models", "inputs"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"atelier")
        probe.unlink()
    except OSError as error:
        raise from_os_error(error, f"write to the data folder {folder}") from error


def check_attention(settings: Settings) -> None:
    """SettingsError when the settings ask for attention that is not installed."""
    if settings.attention == "xformers" and importlib.util.find_spec("xformers") is None:
        raise SettingsError(
            "Setting attention (ATELIER_ATTENTION) is 'xformers', but xformers is not installed; "
            "install atelier[xformers] or choose sdpa."
        )


def _check_default(catalogue: Catalogue, model_id: str) -> None:
    ids = [entry.id for entry in catalogue.entries()]
    if model_id not in ids:
        raise SettingsError(
            f"Setting default_model (ATELIER_DEFAULT_MODEL) is {model_id!r}, but it must be one "
            f"of: {', '.join(ids) or 'none is installed'}."
        )
