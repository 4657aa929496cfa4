"""Upscaling models (ESRGAN and its kin): single files in models/upscalers/, loaded by spandrel."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio.context import Rung
from studio.errors import ModelError, first_words
from studio.models.devices import Device, is_out_of_memory
from studio.models.network_loader import NetworkLoader
from studio.models.slots import Footprint

if TYPE_CHECKING:
    from spandrel import ImageModelDescriptor

_PICKLES = (".pth", ".pt", ".ckpt", ".bin")


@dataclass(frozen=True)
class UpscalerEntry:
    """One file: its name for people and requests; problem says why it cannot be used, or ""."""

    name: str
    path: Path
    problem: str = ""


class UpscalerShelf:
    """The upscaling models of a folder; looked up afresh, so that a new file is seen at once."""

    def __init__(self, folder: Path):
        self._folder = folder

    def entries(self) -> list[UpscalerEntry]:
        """All of them by name; of a name that stands there twice, the usable file."""
        found: dict[str, UpscalerEntry] = {}
        if not self._folder.is_dir():
            return []
        for path in sorted(self._folder.iterdir()):
            suffix = path.suffix.lower()
            if suffix == ".safetensors":
                found[path.stem] = UpscalerEntry(path.stem, path)
            elif suffix in _PICKLES:
                problem = (
                    f"{path.name} is a pickle, which can run any code when it is opened; convert "
                    "it on the Models tab or with `atelier convert`."
                )
                found.setdefault(path.stem, UpscalerEntry(path.stem, path, problem))
        return list(found.values())

    def usable(self, name: str) -> UpscalerEntry:
        """The model of that name; ModelError when it is not here or cannot be used."""
        entry = next((each for each in self.entries() if each.name == name), None)
        if entry is None:
            raise ModelError(f"Upscaler {name!r} is not installed.")
        if entry.problem:
            raise ModelError(entry.problem)
        return entry


class UpscalerLoader(NetworkLoader):
    """Brings upscaling models to the device."""

    def __init__(self, shelf: UpscalerShelf, device: Callable[[], Device]):
        super().__init__(device)
        self._shelf = shelf

    def title(self, model_id: str) -> str:
        """The model's name for people."""
        return model_id

    def estimate(self, model_id: str, rungs: tuple[Rung, ...] = ()) -> Footprint:
        """Bytes that the weights will take: those of the file, which may hold halves."""
        size = 2 * self._shelf.usable(model_id).path.stat().st_size
        return Footprint(size, size)

    def load(self, model_id: str, rungs: tuple[Rung, ...] = ()) -> "ImageModelDescriptor":
        """The model on the device, in evaluation mode."""
        import spandrel
        from safetensors import SafetensorError

        entry = self._shelf.usable(model_id)
        damaged = (OSError, ValueError, LookupError, TypeError, RuntimeError, SafetensorError)
        with self.fitting(model_id, "model"):
            try:
                model = spandrel.ModelLoader(device="cpu").load_from_file(entry.path)
            except spandrel.UnsupportedModelError as error:
                raise ModelError(
                    f"{entry.path.name} is no upscaling model that spandrel knows; take another "
                    "one."
                ) from error
            except damaged as error:
                if is_out_of_memory(error):
                    raise
                first = first_words(error)
                raise ModelError(
                    f"{entry.path.name} could not be loaded ({first}); copy it again."
                ) from error
            _check_kind(entry, model)
            return model.to(self._device().name, dtype=self._dtype(model)).eval()

    def network(self, model: "ImageModelDescriptor") -> Any:
        """The descriptor's network, whose place the descriptor asks for anew each time."""
        return model.model

    def _dtype(self, model: "ImageModelDescriptor") -> Any:
        """The device's number format where the architecture bears it."""
        import torch

        wanted = self._device().dtype
        bears = {"float16": model.supports_half, "bfloat16": model.supports_bfloat16}
        return getattr(torch, wanted) if bears.get(wanted) else torch.float32


def _check_kind(entry: UpscalerEntry, model: Any) -> None:
    import spandrel

    pictures = isinstance(model, spandrel.ImageModelDescriptor)
    if not pictures or (model.input_channels, model.output_channels) != (3, 3):
        raise ModelError(
            f"{entry.path.name} ({model.architecture.name}) does not turn a colour picture into a "
            "larger one; take another model."
        )
