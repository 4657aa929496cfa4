"""What the loaders of networks with one use share: captioners, readers, upscaling models."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from studio.context import ModelSpec, Rung
from studio.errors import OutOfMemory
from studio.models.devices import Device, is_out_of_memory
from studio.models.headers import read_header
from studio.models.slots import Footprint


class NetworkLoader:
    """Networks that take no adapters, rungs or speed-ups, and go to the device as a whole.

    device: tells it once torch may be imported.
    """

    def __init__(self, device: Callable[[], Device]):
        self._device = device

    def measure(self, model: Any) -> int:
        """Bytes of all parameters and buffers."""
        network = self.network(model)
        tensors = (*network.parameters(), *network.buffers())
        return sum(tensor.numel() * tensor.element_size() for tensor in tensors)

    def view(self, model: Any, task: str) -> Any:
        """The model itself: it can do one thing."""
        return model

    def dress(self, model: Any, spec: ModelSpec) -> None:
        """Nothing: no adapter, rung or speed-up is for it."""

    def rest(self, model: Any) -> None:
        """Move the model to main memory."""
        self.network(model).to("cpu")

    def wake(self, model: Any, rungs: tuple[Rung, ...]) -> None:
        """Move it back to the device."""
        self.network(model).to(self._device().name)

    def network(self, model: Any) -> Any:
        """The torch module of a loaded model."""
        return model.network

    @contextmanager
    def fitting(self, what: str, other: str) -> Iterator[None]:
        """Turn a lack of memory into OutOfMemory: `what` did not fit, `other` could be taken."""
        try:
            yield
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            raise OutOfMemory(
                f"{what} did not fit on {self._device().label}; close other programs that use it "
                f"or choose a smaller {other}."
            ) from error


def weights(folder: Path) -> list[Path]:
    """The weights of a transformers folder."""
    return sorted(folder.glob("model*.safetensors"))


def footprint(files: Sequence[Path], dtype: str) -> Footprint:
    """Bytes that weights take in a number format."""
    numbers = sum(read_header(file).numbers() for file in files)
    size = numbers * (4 if dtype == "float32" else 2)
    return Footprint(size, size)
