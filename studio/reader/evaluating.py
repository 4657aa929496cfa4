"""The job that reads a whole data set and hands its scores to the leaderboard."""

import time
from collections.abc import Mapping

from studio.context import Context
from studio.errors import DataError
from studio.events import Progress
from studio.models.readers import ReaderShelf
from studio.reader.answering import Answering
from studio.reader.data_sets import DataSets, known_as
from studio.reader.evaluation import Predicted, predicted
from studio.reader.leaderboard import JOB, Entry, Leaderboard
from studio.reader.predictions import Predictions
from studio.reader.reading import reader_of
from studio.reader.squad import Squad
from studio.reader_requests import EvaluateRequest
from studio.store.submissions import SubmissionRow

_TELL_SECONDS = 0.3


class Evaluating:
    """The work function of evaluations, and what completes their requests."""

    def __init__(
        self,
        shelf: ReaderShelf,
        data_sets: DataSets,
        leaderboard: Leaderboard,
        answering: Answering,
    ):
        self._shelf = shelf
        self._data_sets = data_sets
        self._leaderboard = leaderboard
        self._answering = answering

    def resolve(self, request: EvaluateRequest) -> EvaluateRequest:
        """With the reader's id and threshold; raises when reader or data set cannot be used."""
        entry = self._shelf.usable(request.reader)
        threshold = request.threshold
        if threshold is None:
            threshold = self._answering.threshold(entry.id)
        squad = self._data_sets.get(request.data_set)
        if next(squad.asked(), None) is None:
            raise DataError(f"The data set {request.data_set} has no questions to score.")
        return request.model_copy(update={"reader": entry.id, "threshold": threshold})

    def __call__(self, request: EvaluateRequest, context: Context) -> None:
        """Read all questions and submit; nothing is submitted when it is cancelled."""
        squad = self._data_sets.get(request.data_set)
        spec = self._answering.spec(request.reader, request.precision)
        with context.borrow(spec) as loaded:
            # Now, for the reader may be deleted or made anew while it reads.
            revision = self._shelf.sha256(self._shelf.get(request.reader))
            reader = reader_of(loaded)
            found = predicted(
                reader,
                list(squad.asked()),
                longest=request.longest,
                on_done=_Meter(context),
            )
        settings = {
            JOB: context.job_id,
            "precision": spec.kind.partition("-")[2] or "full",
            "longest": request.longest,
            "max_length": reader.encoder.max_length,
            "overlap": reader.encoder.overlap,
            "calibrated": reader.is_calibrated,
        }
        self._submit(request, squad, found, revision, settings)

    def _submit(
        self,
        request: EvaluateRequest,
        squad: Squad,
        found: Predicted,
        revision: str,
        settings: Mapping[str, object],
    ) -> SubmissionRow:
        """Hand a reader's predictions to the leaderboard; request: a completed one."""
        name = known_as(squad.sha256) or self._leaderboard.free_name(request.data_set, squad)
        entry = Entry(
            request.reader,
            name,
            revision=revision,
            who=request.who,
            settings=settings,
            seconds=found.seconds,
            device=self._answering.device_label(),
        )
        predictions = Predictions(found.texts, found.na_probs)
        assert request.threshold is not None
        return self._leaderboard.submit(entry, squad, predictions, request.threshold)


class _Meter:
    """Tells a job's listeners how far the reading is, and lets them stop it."""

    def __init__(self, context: Context):
        self._context = context
        self._began = time.monotonic()
        self._told = 0.0

    def __call__(self, done: int, total: int) -> None:
        self._context.check()
        now = time.monotonic()
        if now - self._told < _TELL_SECONDS and done < total:
            return
        self._told = now
        self._context.emit(
            Progress(
                step=done,
                steps=total,
                item=1,
                items=1,
                seconds_left=(now - self._began) / max(1, done) * (total - done),
                label="reading",
                unit="question",
            )
        )
