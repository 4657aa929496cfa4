"""Does a job with as little saving as it can, and with more where memory falls short."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch

from studio.context import Context, ModelSpec, Rung
from studio.diffusion.memory.need import Shape, needs
from studio.diffusion.step_cache import forget
from studio.errors import OutOfMemory, first_words
from studio.events import Notice
from studio.models.devices import Device, is_out_of_memory
from studio.models.entry import ModelEntry
from studio.models.journal import Journal

Paint = Callable[[Any, tuple[Rung, ...]], None]
"""Work with a pipeline that stands on these rungs; called again, it goes on where it was."""


class Climb:
    """The ladder of a device.

    device, free: its description and the bytes that work can take there now. release: gives back
    what nothing uses any more.
    """

    def __init__(
        self,
        device: Callable[[], Device],
        free: Callable[[], int],
        release: Callable[[], None],
        journal: Journal,
    ):
        self._device = device
        self._free = free
        self._release = release
        self._journal = journal

    def __call__(
        self, context: Context, spec: ModelSpec, entry: ModelEntry, shape: Shape, paint: Paint
    ) -> None:
        """Borrow the model and paint, on the first rungs with which both succeed.

        Each rung that is taken is told. Raises OutOfMemory when none is left.
        """
        refusal: OutOfMemory | None = None
        full = False
        for need in needs(entry, shape, self._device(), self._free()):
            if full:
                self._release()
            wanted = replace(spec, rungs=need.rungs, work=need.work)
            try:
                with context.borrow(wanted) as pipe, torch.inference_mode(), _forgetting(pipe):
                    if need.rungs:
                        names = ", ".join(need.rungs)
                        self._journal.record("rung", model=entry.title, rungs=names)
                        context.emit(Notice(text=_told(need.rungs, refusal, full=full)))
                    paint(pipe, need.rungs)
                return
            except OutOfMemory as error:
                # A copy: the frames that the error remembers hold what it lacked.
                refusal = refusal or OutOfMemory(str(error), error.needed, error.free)
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                first = first_words(error)
                self._journal.record("out_of_memory", model=entry.title, said=first)
                full = True
        if refusal is not None and not full:
            raise refusal
        raise OutOfMemory(
            f"{_many(shape)} at {shape.size[0]}x{shape.size[1]} does not fit into the device's "
            "memory, whatever is saved; choose a smaller size or batch."
        )


@contextmanager
def _forgetting(pipe: Any) -> Iterator[None]:
    """Let a step cache keep nothing beyond the block: the model may wear it for long yet."""
    try:
        yield
    finally:
        forget(getattr(pipe, "transformer", None))


def _told(rungs: tuple[Rung, ...], refusal: OutOfMemory | None, *, full: bool) -> str:
    if full or refusal is None or not refusal.needed:  # nobody counted: it did not fit when tried
        return f"The device's memory was full: the job goes on with {_listed(rungs)}."
    needed, free = _gb(refusal.needed), _gb(refusal.free)
    return f"Needs {needed}, {free} free: works with {_listed(rungs)}."


def _listed(rungs: tuple[Rung, ...]) -> str:
    *most, last = rungs
    return f"{', '.join(most)} and {last}" if most else str(last)


def _many(shape: Shape) -> str:
    return f"A batch of {shape.pictures}" if shape.pictures > 1 else "A picture"


def _gb(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 5e7 else f"{size / 1e6:.1f} MB"
