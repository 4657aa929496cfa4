"""A run's files told as a job's events, from wherever the run is when one begins to follow."""

import math
from collections.abc import Callable
from typing import Any

from studio.events import Event, Measured, Notice, Preview, Progress
from studio.training.run_folder import CURVE, Phase, RunFolder, RunStatus

_LABELS = {
    Phase.PREPARING: ("preparing", "step"),
    Phase.CACHING: ("pictures and texts", "item"),
    Phase.TRAINING: ("training", "step"),
    Phase.SAMPLING: ("samples", "picture"),
    Phase.SAVING: ("saving", "step"),
}


class Follower:
    """Tells what is new in a run's folder.

    emit: told of it. expect: told the seconds until the run is over.
    """

    def __init__(
        self,
        run: RunFolder,
        emit: Callable[[Event], None],
        expect: Callable[[float], None] = lambda seconds: None,
    ):
        self._run = run
        self._emit = emit
        self._expect = expect
        self._status = RunStatus()
        self._told: list[int] = []
        self._file = self._curve_at = self._notices_at = 0
        self._sample: object = None

    def look(self) -> RunStatus:
        """Tell what is new, and return where the run is."""
        status = self._run.status()  # before the files: what it speaks of is in them
        self._tell_status(status)
        self._tell_points()
        notices, self._notices_at = self._run.notices(self._notices_at)
        for each in notices:
            self._emit(Notice(text=str(each.get("text", ""))))
        self._tell_sample()
        return status

    def _tell_status(self, status: RunStatus) -> None:
        known = self._status
        self._status = status
        same = (status.phase, status.step, status.seconds_left) == (
            known.phase,
            known.step,
            known.seconds_left,
        )
        if same or status.phase not in _LABELS:
            return
        label, unit = _LABELS[status.phase]
        if status.seconds_left is not None:
            self._expect(status.seconds_left)
        self._emit(
            Progress(
                step=status.step,
                steps=status.steps,
                item=1,
                items=1,
                seconds_left=status.seconds_left,
                label=label,
                unit=unit,
            )
        )

    def _tell_points(self) -> None:
        for point in self._new_points():
            values = {
                name: float(value)
                for name, value in point.items()
                if isinstance(value, int | float) and name != "step" and math.isfinite(value)
            }
            if values:
                self._emit(Measured(step=int(point["step"]), values=values))

    def _new_points(self) -> list[dict[str, Any]]:
        """The points that were not told; also when the run went back and its file is another."""
        try:
            file = (self._run.path / CURVE).stat().st_ino
        except OSError:
            return []
        replaced, self._file = file != self._file, file
        points, self._curve_at = self._run.curve(0 if replaced else self._curve_at)
        points = [each for each in points if isinstance(each.get("step"), int)]
        hashes = [hash(str(each)) for each in points]
        if not replaced:
            self._told += hashes
            return points
        pairs = zip(hashes, self._told, strict=False)
        same = next((n for n, (new, old) in enumerate(pairs) if new != old), None)
        if same is None:
            same = min(len(hashes), len(self._told))
        self._told = hashes
        return points[same:]

    def _tell_sample(self) -> None:
        newest = max(self._run.samples(), default=None)
        if newest is None or newest == self._sample:
            return
        step, _, file = newest
        try:
            self._emit(Preview(image=file.read_bytes(), step=step))
        except OSError:  # it was removed just now
            return
        self._sample = newest
