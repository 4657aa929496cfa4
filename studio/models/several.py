"""The models in the memory of several devices, as one."""

from collections.abc import Callable, Sequence

from studio.context import ModelSpec
from studio.models.slots import Held, InMemory


class SeveralModels:
    """All of them; what is loaded for its own sake goes to the first device.

    each: of the devices that there are at the moment.
    """

    def __init__(self, each: Callable[[], Sequence[InMemory]]):
        self._each = each

    def held(self) -> list[Held]:
        """The models in memory, device by device."""
        return [held for models in self._each() for held in models.held()]

    def load(self, spec: ModelSpec) -> None:
        """Bring a model into memory, where it stays until its room is needed."""
        self._each()[0].load(spec)

    def unload(self, kind: str, model_id: str) -> bool:
        """Drop a model wherever nobody holds it; False when that is not so everywhere."""
        there = [
            models
            for models in self._each()
            if any((held.kind, held.id) == (kind, model_id) for held in models.held())
        ]
        gone = [models.unload(kind, model_id) for models in there]
        return bool(gone) and all(gone)

    def drop_idle(self, seconds: float) -> list[str]:
        """Drop what nobody has held for so long; the titles."""
        return [title for models in self._each() for title in models.drop_idle(seconds)]
