"""A reader on a whole data set: its predictions, its scores, and its calibration."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from studio.errors import RequestError
from studio.reader.answerability import Answerability, Reliability, fitted, reliability
from studio.reader.metrics import Scores, exact_of, f1_of, golds_of
from studio.reader.reading import Pair, Reader, Reading
from studio.reader.spans import LONGEST_ANSWER
from studio.reader.squad import Asked, Squad
from studio.reader.windows import refuse_long

_AT_ONCE = 2048
"""Questions that are read together: enough for windows of one length to find each other."""


@dataclass(frozen=True)
class Predicted:
    """What a reader says to each question of a data set, in its order.

    texts: the best span of each, also where "no answer" is likelier: only then does every threshold
    of the official script mean something. na_probs: probability of "no answer". margins: what
    that was made of.
    """

    texts: dict[str, str]
    na_probs: dict[str, float]
    margins: np.ndarray
    seconds: float


def predicted(
    reader: Reader,
    asked: Sequence[Asked],
    *,
    longest: int = LONGEST_ANSWER,
    on_done: Callable[[int, int], object] = lambda done, total: None,
) -> Predicted:
    """A reader's predictions for questions of a data set.

    longest: tokens of an answer. on_done: told how many questions are read of how many; what it
    raises ends the reading. Raises DataError for a question without room for a passage.
    """
    began = time.perf_counter()
    readings: list[Reading] = []
    for first in range(0, len(asked), _AT_ONCE):
        part = asked[first : first + _AT_ONCE]
        before = len(readings)

        def tell(done: int, total: int, before: int = before, count: int = len(part)) -> None:
            on_done(before + count * done // max(1, total), len(asked))

        pairs = [Pair(each.question.text, each.context) for each in part]
        try:
            readings += reader.read(pairs, longest=longest, n_best=1, on_done=tell)
        except RequestError:
            refuse_long(reader.encoder, part)
            raise
    margins = np.array([reading.margin for reading in readings])
    sure = reader.answerability
    return Predicted(
        {
            each.question.id: reading.spans[0].text if reading.spans else ""
            for each, reading in zip(asked, readings, strict=True)
        },
        {
            each.question.id: sure.no_answer(reading.margin)
            for each, reading in zip(asked, readings, strict=True)
        },
        margins,
        time.perf_counter() - began,
    )


def calibrated(asked: Sequence[Asked], found: Predicted) -> Answerability:
    """Temperature, offset and threshold from predictions on held-out questions.

    Raises ValueError when all of them, or none, have answers.
    """
    scores = [
        max(f1_of(gold, found.texts[each.question.id]) for gold in golds_of(each.question))
        for each in asked
    ]
    answerable = np.array([each.question.has_answer for each in asked])
    # A passage without any span is as unlike the others as the most unlike of them, and no more:
    # one alone would draw the whole fit to itself.
    finite = found.margins[np.isfinite(found.margins)]
    margins = np.minimum(found.margins, finite.max() if len(finite) else 0.0)
    return fitted(margins, answerable, np.array(scores))


def reliability_of(scored: Scores) -> Reliability:
    """How well the probabilities that there is an answer mean what they say."""
    sure = np.array([1 - each.na_prob for each in scored.questions])
    return reliability(sure, np.array([each.has_answer for each in scored.questions]))


def quick_scores(reader: Reader, asked: Sequence[Asked]) -> dict[str, float]:
    """EM and F1, in percent, at the best threshold, as a look during a training.

    That threshold is chosen on the very questions, as the official best_f1 is.
    """
    found = predicted(reader, asked)
    pairs = [(golds_of(each.question), found.texts[each.question.id]) for each in asked]
    f1 = np.array([max(f1_of(gold, text) for gold in golds) for golds, text in pairs])
    exact = np.array([max(exact_of(gold, text) for gold in golds) for golds, text in pairs])
    answerable = np.array([each.question.has_answer for each in asked])
    told = {"has_ans_f1": 100 * float(f1[answerable].mean()) if answerable.any() else 0.0}
    for name, scores in (("exact", exact), ("f1", f1)):
        order = np.argsort(found.margins, kind="stable")
        gained = np.where(answerable, scores, -1.0)[order]
        best = max(0.0, float(np.cumsum(gained).max()))
        told[name] = 100 * (best + float((~answerable).sum())) / len(asked)
    return told


def evenly(squad: Squad, count: int) -> list[Asked]:
    """So many questions of a data set, evenly spread over it; all of them where it has no more."""
    asked = list(squad.asked())
    if not count or len(asked) <= count:
        return asked
    return [asked[index * len(asked) // count] for index in range(count)]
