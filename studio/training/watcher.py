"""Whoever looks at a run on the way: curves, samples and notices go into its folder."""

import contextlib
import io
import threading

from studio.training.beat import Beat
from studio.training.run_folder import Phase, RunFolder
from studio.training.samples import Sampler


class FolderWatcher:
    """Writes what a run tells into its folder.

    beat: of the process that tells; None in the others, which write nothing.
    """

    def __init__(
        self, folder: RunFolder, beat: Beat | None, ending: threading.Event, sampler: Sampler
    ):
        self._folder = folder
        self._beat = beat
        self._ending = ending
        self._sampler = sampler

    def began(self, step: int, steps: int) -> None:
        """Forget what was measured after the checkpoint that the loop goes on from."""
        with contextlib.suppress(FileNotFoundError):
            self._folder.cut(step)
        self._set(phase=Phase.TRAINING, step=step, steps=steps)

    def stepped(self, step: int, seconds_left: float | None) -> None:
        """Tell where the loop is."""
        self._set(phase=Phase.TRAINING, step=step, seconds_left=seconds_left)

    def measured(self, step: int, values: dict[str, float]) -> None:
        """Add a point to the curves."""
        self._folder.measure(step, values)

    def looked(self, step: int) -> dict[str, float]:
        """Make samples."""
        self._set(phase=Phase.SAMPLING)
        for number, request in enumerate(self._sampler.requests()):
            picture = self._sampler.paint(request)
            stream = io.BytesIO()
            picture.save(stream, "WEBP", quality=92)
            path = self._folder.sample_path(step, number)
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(stream.getvalue())
        self._set(phase=Phase.TRAINING)
        return {}

    def saved(self, step: int) -> None:
        """Nothing more: the checkpoint is there."""

    def noticed(self, text: str) -> None:
        """Add a notice."""
        if self._beat is not None:
            self._folder.notice(text)

    def wished(self) -> bool:
        """Whether a signal or a person wishes that the loop ends."""
        return self._ending.is_set() or self._folder.wished() is not None

    def _set(self, **changes: object) -> None:
        if self._beat is not None:
            self._beat.set(**changes)
