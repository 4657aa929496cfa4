"""How fast models were on this machine, as they are and with speed-ups: measured, and kept."""

import json
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

from studio.errors import from_os_error
from studio.models.devices import Device

_KEPT = 200


@dataclass(frozen=True)
class Speed:
    """What one timing has found.

    device, torch: what it holds for. width, height: pixels. seconds: for one evaluation of the
    denoiser, by speed-up, "" for none.
    """

    device: str
    torch: str
    model: str
    width: int
    height: int
    batch_size: int
    steps: int
    seconds: Mapping[str, float]

    @property
    def ratios(self) -> dict[str, float]:
        """How many times as fast as without, by speed-up."""
        plain = self.seconds[""]
        return {key: plain / each for key, each in self.seconds.items() if key}

    @property
    def _key(self) -> tuple[object, ...]:
        size = (self.width, self.height, self.batch_size, self.steps)
        return (self.device, self.torch, self.model, *size)


class Speeds:
    """The file of all timings of a data folder."""

    def __init__(self, path: Path):
        self._path = path
        self._lock = threading.Lock()

    def keep(self, speed: Speed) -> None:
        """Remember a timing in place of an older one of the same; may raise StorageError."""
        with self._lock:
            others = [each for each in self._read() if each._key != speed._key]
            rows = [{**asdict(each), "seconds": dict(each.seconds)} for each in (*others, speed)]
            partial = self._path.with_suffix(".part")
            try:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                partial.write_text(json.dumps(rows[-_KEPT:], indent=1), encoding="utf-8")
                partial.replace(self._path)
            except OSError as error:
                raise from_os_error(error, f"keep the timing in {self._path}") from error

    def newest(self, model: str, device: Device | None) -> Speed | None:
        """The last timing of a model on a device with the present torch, of whatever size."""
        if device is None:
            return None
        here = (name_of(device), version("torch"), model)
        rows = [each for each in self._read() if (each.device, each.torch, each.model) == here]
        return rows[-1] if rows else None

    def _read(self) -> list[Speed]:
        """All rows that can be read: a damaged file costs a timing, no more."""
        try:
            return [Speed(**row) for row in json.loads(self._path.read_text(encoding="utf-8"))]
        except (OSError, ValueError, TypeError):
            return []


def name_of(device: Device) -> str:
    """A device as timings know it: another card, number of threads or format is another one."""
    return f"{device.name} {device.label} {device.dtype}"
