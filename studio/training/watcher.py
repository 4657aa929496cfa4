"""Whoever looks at a run on the way: curves, samples and notices go into its folder."""

import contextlib
import io
import threading

from PIL import Image

from studio.training.assembly import Parts
from studio.training.beat import Beat
from studio.training.learner import Learner
from studio.training.looks import Looks
from studio.training.results import Results
from studio.training.run_folder import Phase
from studio.training.tensorboard import FOLDER as EVENTS
from studio.training.tensorboard import EventFile


class FolderWatcher:
    """Writes what a run tells into its folder.

    beat: of the process that tells; None in the others, which write nothing. ending: set when the
    process is to save and end.
    """

    def __init__(
        self,
        parts: Parts,
        learner: Learner,
        results: Results,
        beat: Beat | None,
        ending: threading.Event,
    ):
        self._folder = parts.folder
        self._note = parts.note
        self._beat = beat
        self._ending = ending
        self._looks = Looks(parts, learner, self._show, self.noticed)
        self._results = results
        self._events: EventFile | None = None

    def __enter__(self) -> "FolderWatcher":
        return self

    def __exit__(self, *_: object) -> None:
        if self._events is not None:
            self._events.close()

    def began(self, step: int, steps: int) -> None:
        """Forget what was measured after the checkpoint that the loop goes on from."""
        with contextlib.suppress(FileNotFoundError):
            self._folder.cut(step)
        if self._events is not None:
            self._events.close()
        self._events = EventFile(self._folder.path / EVENTS, step)
        self._set(phase=Phase.TRAINING, step=step, steps=steps)
        if step == 0 and self._note:
            self.noticed(self._note)

    def stepped(self, step: int, seconds_left: float | None) -> None:
        """Tell where the loop is."""
        self._set(phase=Phase.TRAINING, step=step, seconds_left=seconds_left)

    def measured(self, step: int, values: dict[str, float]) -> None:
        """Add a point to the curves."""
        self._folder.measure(step, values)
        if self._events is not None:
            self._events.scalars(step, values)

    def looked(self, step: int) -> dict[str, float]:
        """Make samples and measure."""
        self._set(phase=Phase.SAMPLING)
        values = self._looks(step)
        self._set(phase=Phase.TRAINING)
        return values

    def compared(self, step: int) -> dict[str, float]:
        """Measure what is held out alone."""
        return self._looks.held_out()

    def saved(self, step: int) -> None:
        """Keep what can be used of this step, and have the curves on the disk too."""
        self._results.keep(step)
        if self._events is not None:
            self._events.flush()

    def noticed(self, text: str) -> None:
        """Add a notice."""
        if self._beat is not None:
            self._folder.notice(text)

    def wished(self) -> bool:
        """Whether a signal or a person wishes that the loop ends."""
        return self._ending.is_set() or self._folder.wished() is not None

    def _show(self, step: int, prompt: str, picture: Image.Image) -> None:
        """Let TensorBoard show a sample."""
        if self._events is not None:
            stream = io.BytesIO()
            picture.save(stream, "PNG")
            self._events.image(step, f"samples/{prompt}"[:80], stream.getvalue())

    def _set(self, **changes: object) -> None:
        if self._beat is not None:
            self._beat.set(**changes)
