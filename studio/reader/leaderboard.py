"""The leaderboard: evaluations are submitted, ranked beside people, and compared.

Only predictions that cover a data set are taken, and a data set's name stands for one file: scores
on different questions must not be ranked together.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from studio.errors import DataError
from studio.people import Deed, needs
from studio.reader.comparison import Compared, compare
from studio.reader.data_sets import official_sum
from studio.reader.metrics import THRESHOLD, Scores, scores
from studio.reader.predictions import Predictions
from studio.reader.squad import Squad
from studio.store.submissions import DataSetRow, NewSubmission, SubmissionRow, SubmissionTable

JOB = "job"
"""Under which the settings of a submission name the job that made it."""
_LONGEST = 200
"""Characters of a name."""


class NaProb(StrEnum):
    """What no-answer probabilities are worth; constant ones make best_* and pr_* meaningless."""

    NONE = "none"
    CONSTANT = "constant"
    GIVEN = "given"


@dataclass(frozen=True, slots=True)
class Entry:
    """Whose evaluation of what; revision: hash of the weights or "", seconds: that reading took.

    data_set: what people call it. data_set_sha256: of the file that is meant, "" to take what was
    submitted under this name before. settings: JSON values that somebody needs to do it again.
    """

    model: str
    data_set: str
    revision: str = ""
    data_set_sha256: str = ""
    who: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    device: str = ""


@dataclass(frozen=True, slots=True)
class Standing:
    """A line of the leaderboard; rank and submission are None for what is only there to compare.

    note: of whom or what the scores are.
    """

    rank: int | None
    name: str
    exact: float
    f1: float
    note: str = ""
    submission: SubmissionRow | None = None


HUMAN = Standing(None, "Human performance", 86.831, 89.452, "SQuAD 2.0, test set")
HUMAN_1_1 = Standing(None, "Human performance", 82.304, 91.221, "SQuAD 1.1, test set")


class Leaderboard:
    """All submissions of a data folder."""

    def __init__(self, submissions: SubmissionTable):
        self._submissions = submissions

    @needs(Deed.MAKE)
    def submit(
        self, entry: Entry, squad: Squad, predictions: Predictions, threshold: float = THRESHOLD
    ) -> SubmissionRow:
        """Score predictions, keep them and return the row.

        Raises DataError with counts when they do not cover the data set, or when its name means
        another version of it.
        """
        name = _line(entry.data_set) or "unnamed"
        self._refuse_other_version(name, entry.data_set_sha256, squad, predictions)
        scored = scores(squad, predictions, threshold)
        kept = self._submissions.save(
            NewSubmission(
                who=_line(entry.who),
                model=_line(entry.model) or "unnamed",
                revision=_line(entry.revision),
                data_set=name,
                data_set_sha256=squad.sha256,
                questions=scored.all.total,
                scores=scored.official(),
                settings={**entry.settings, "threshold": threshold},
                seconds=entry.seconds,
                device=_line(entry.device),
                na_prob=_worth(predictions.na_probs),
                predictions=predictions.texts,
                na_probs=predictions.na_probs,
            )
        )
        return self._submissions.get(kept)

    def ranked(self, data_set: str, history: bool = False) -> tuple[Standing, ...]:
        """The submissions on a data set by f1, with people and a silent reader in their places.

        history: all submissions; otherwise the best of each model and person.
        """
        rows = self._submissions.listed(data_set)
        if not rows:
            return ()
        lines = _lines(rows[0])
        seen: set[tuple[str, str]] = set()
        for row in rows:
            if history or (row.who, row.model) not in seen:
                seen.add((row.who, row.model))
                rank = sum(line.submission is not None for line in lines) + 1
                lines.append(Standing(rank, row.model, row.exact, row.f1, row.who, row))
        return tuple(sorted(lines, key=lambda line: (-line.f1, -line.exact, line.rank or 0)))

    def data_sets(self) -> tuple[DataSetRow, ...]:
        """The data sets that there are submissions on."""
        return self._submissions.data_sets()

    def free_name(self, name: str, squad: Squad) -> str:
        """The name, or one like it when that means another file: for who cannot be asked."""
        name = _line(name) or "unnamed"
        if self._meant(name) in ("", squad.sha256):
            return name
        return f"{name} ({squad.sha256[:8]})"

    def get(self, submission_id: int) -> SubmissionRow:
        """The submission of this id, or NotFound."""
        return self._submissions.get(submission_id)

    def of_job(self, job_id: str) -> SubmissionRow | None:
        """The submission that a job has made, None while there is none."""
        rows = self._submissions.listed()
        return next((row for row in rows if row.settings.get(JOB) == job_id), None)

    def predictions(self, submission_id: int) -> Predictions:
        """What was predicted; NotFound when the submission or its file is gone."""
        return Predictions(
            self._submissions.predictions(submission_id), self._submissions.na_probs(submission_id)
        )

    def scores(self, submission_id: int, squad: Squad) -> Scores:
        """The scores of a submission with all its questions, on the data set it was made on."""
        row = self.get(submission_id)
        if row.data_set_sha256 != squad.sha256:
            raise DataError(
                f"Submission {row.id} was scored on another version of {row.data_set} "
                f"({row.questions:,} questions, sha256 {row.data_set_sha256[:12]}…) than the file "
                f"given ({_count(squad):,} questions, sha256 {squad.sha256[:12]}…); use that."
            )
        threshold = row.settings.get("threshold", THRESHOLD)
        return scores(squad, self.predictions(submission_id), threshold)

    def compare(self, a: int, b: int, squad: Squad) -> tuple[Compared, ...]:
        """Two submissions question by question; DataError when they are of other data sets."""
        return compare(squad, self.scores(a, squad), self.scores(b, squad))

    @needs(Deed.MAKE)
    def delete(self, submission_id: int) -> None:
        """Delete a submission with its predictions, for ever."""
        self._submissions.delete(submission_id)

    def _refuse_other_version(
        self, name: str, sha256: str, squad: Squad, predictions: Predictions
    ) -> None:
        meant = sha256 or self._meant(name)
        if meant in ("", squad.sha256):
            return
        if not (sha256 or official_sum(name) or any(e.name == name for e in self.data_sets())):
            raise DataError(f"Somebody else calls another data set {name}; use another name.")
        ids = {asked.question.id for asked in squad.asked()}
        covered = sum(each in ids for each in predictions.texts)
        raise DataError(
            f"The data set is another version of {name}: its sha256 is {squad.sha256[:12]}… "
            f"instead of {meant[:12]}…, and {covered:,} of {len(predictions.texts):,} predictions "
            f"are for its {len(ids):,} questions; use the file that is meant or another name."
        )

    def _meant(self, name: str) -> str:
        """sha256 of the file that a name means, "" where it is free."""
        return official_sum(name) or self._submissions.meant(name)


def data_set_name(file: str) -> str:
    """What a file is called on the leaderboard: dev-v2.0.json.gz is dev-v2.0."""
    return file.removesuffix(".gz").removesuffix(".json")


def _lines(row: SubmissionRow) -> list[Standing]:
    """What submissions on this data set are compared with."""
    silent = row.scores.get("NoAns_total", 0)
    if not silent:
        return [HUMAN_1_1]
    floor = 100.0 * silent / row.questions
    return [HUMAN, Standing(None, "Always no answer", floor, floor, "the floor")]


def _worth(na_probs: Mapping[str, float] | None) -> NaProb:
    if na_probs is None:
        return NaProb.NONE
    return NaProb.CONSTANT if len(set(na_probs.values())) <= 1 else NaProb.GIVEN


def _count(squad: Squad) -> int:
    return sum(1 for _ in squad.asked())


def _line(text: str) -> str:
    """A name as it is shown: one line, not too long, only what can be stored and printed."""
    printable = "".join(each if each.isprintable() else " " for each in text)
    return " ".join(printable.split())[:_LONGEST]
