"""What a run will cost, as a few of its steps have shown."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from studio.errors import DataError
from studio.store.writing import replace_file

FILE = "cost.json"
KEPT_CHECKPOINTS = 3
"""The last two, and the best."""


@dataclass(frozen=True)
class Cost:
    """What a run needs.

    seconds: of all of it; seconds_a_step: of one, once it is under way. memory: bytes at most, of
    the device where it has its own, else of the process; free: that were free before. disk: bytes
    of checkpoints, samples and what is kept in the cache; disk_free. micro_batch, checkpointing:
    how the steps were taken at last. way: what had to be changed for them to fit, in words.
    """

    seconds: float
    seconds_a_step: float
    pictures_a_second: float
    memory: int
    free: int
    disk: int
    disk_free: int
    micro_batch: int
    checkpointing: bool
    way: tuple[str, ...] = ()

    @property
    def fits(self) -> bool:
        """Whether memory and disk will do."""
        return self.memory <= self.free and self.disk <= self.disk_free

    def write(self, folder: Path) -> None:
        """Put it into a run's folder."""
        replace_file(folder / FILE, json.dumps(asdict(self), indent=2).encode())


def read_cost(folder: Path) -> Cost:
    """The cost in a run's folder; DataError when there is none."""
    try:
        told = json.loads((folder / FILE).read_text(encoding="utf-8"))
        return Cost(**{**told, "way": tuple(told["way"])})
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise DataError(f"Nothing was measured in {folder} ({error}); check again.") from None


def steady(seconds: Sequence[float]) -> float:
    """Seconds of a step under way: the least after the first one, which warms up."""
    return min(seconds[1:] or seconds)
