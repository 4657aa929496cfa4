"""The official scores of SQuAD 2.0, equal to evaluate-v2.0.py to the last digit.

exact: share of answers equal to one of the gold answers; f1: overlap of their words; both after
lower case, without ASCII punctuation, articles and superfluous space. Source: the script of
Rajpurkar et al., "Know What You Don't Know", 2018; for a set where all questions have answers they
are the scores of SQuAD 1.1.

Sums are taken one by one in the order of the script: another order changes the last digits. So
would `sum`, which rounds in another way from Python 3.12 on.
"""

import math
import re
import string
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from studio.errors import RequestError
from studio.reader.predictions import Predictions, checked
from studio.reader.squad import Question, Squad

THRESHOLD = 1.0
"""No-answer probability above which a prediction does not count, as the script has it."""
_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


@dataclass(frozen=True, slots=True)
class Scored:
    """One question with what was predicted; exact and f1 from 0 to 1.

    withheld: its no-answer probability is above the threshold, so it counts as "no answer".
    raw_exact, raw_f1: what the text alone would earn.
    """

    id: str
    has_answer: bool
    text: str
    na_prob: float
    withheld: bool
    exact: float
    f1: float
    raw_exact: float
    raw_f1: float

    @property
    def shown(self) -> str:
        """What the reader answers at this threshold, "" for no answer."""
        return "" if self.withheld else self.text


@dataclass(frozen=True, slots=True)
class Score:
    """Means over `total` questions, in percent."""

    exact: float
    f1: float
    total: int


@dataclass(frozen=True, slots=True)
class Best:
    """The best score that any threshold gives, in percent, and the smallest threshold for it.

    Fitted on the very questions it is measured on, so it flatters.
    """

    score: float
    threshold: float


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """Precision against recall, both 0 to 1, when only the surest questions are answered.

    precision, recall: one number more than thresholds, for they begin with no question answered.
    average: average precision in percent.
    """

    precision: np.ndarray
    recall: np.ndarray
    thresholds: np.ndarray
    average: float


@dataclass(frozen=True, slots=True)
class Ranked:
    """What only no-answer probabilities can tell; curves are None where no question has an answer.

    oracle: of a reader whose answers are all right, so it shows the probabilities alone.
    """

    best_exact: Best
    best_f1: Best
    exact: Curve | None
    f1: Curve | None
    oracle: Curve | None


@dataclass(frozen=True, slots=True)
class Scores:
    """All scores of one set of predictions.

    has_answer, no_answer: apart, None where there is no such question. ranked: None without
    no-answer probabilities. questions: in the order of the data set.
    """

    all: Score
    has_answer: Score | None
    no_answer: Score | None
    ranked: Ranked | None
    threshold: float
    questions: tuple[Scored, ...]

    def official(self) -> dict[str, float]:
        """The keys of evaluate-v2.0.py in its order."""
        told: dict[str, float] = {}
        parts = (("", self.all), ("HasAns_", self.has_answer), ("NoAns_", self.no_answer))
        for prefix, score in parts:
            if score is not None:
                told[f"{prefix}exact"] = score.exact
                told[f"{prefix}f1"] = score.f1
                told[f"{prefix}total"] = score.total
        if self.ranked is None:
            return told
        for name, best in (("exact", self.ranked.best_exact), ("f1", self.ranked.best_f1)):
            told[f"best_{name}"] = best.score
            told[f"best_{name}_thresh"] = best.threshold
        for name in ("exact", "f1", "oracle"):
            curve: Curve | None = getattr(self.ranked, name)
            if curve is not None:
                told[f"pr_{name}_ap"] = curve.average
        return told


@dataclass(frozen=True, slots=True, eq=False)
class ThresholdCurve:
    """Scores in percent for every threshold that makes a difference, from low to high."""

    thresholds: np.ndarray
    exact: np.ndarray
    f1: np.ndarray


def normalise(text: str) -> str:
    """Lower case, without ASCII punctuation, English articles and superfluous space."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def exact_of(gold: str, prediction: str) -> int:
    """1 where both are the same after normalisation."""
    return int(normalise(gold) == normalise(prediction))


def f1_of(gold: str, prediction: str) -> float:
    """Harmonic mean of the shares of words that each has in common with the other."""
    return _overlap(normalise(gold).split(), normalise(prediction).split())


def golds_of(question: Question) -> list[str]:
    """The answers that count; [""] where "no answer" is the right one.

    An answer of which normalisation leaves nothing does not count.
    """
    return [answer.text for answer in question.answers if normalise(answer.text)] or [""]


def scores(squad: Squad, predictions: Predictions, threshold: float = THRESHOLD) -> Scores:
    """Score predictions as the official script does.

    threshold: a question whose no-answer probability is above it counts as not answered.
    Raises DataError when the predictions do not fit the data set.
    """
    if math.isnan(threshold):
        raise RequestError("The threshold must be a number, not NaN.", "threshold")
    checked(predictions, squad)
    # An id that stands twice counts once, for its last question, as in the script.
    asked = {each.question.id: each.question for each in squad.asked()}
    questions = tuple(_scored(question, predictions, threshold) for question in asked.values())
    everything = _mean(questions)
    assert everything is not None, "checked() lets no empty data set through"
    return Scores(
        everything,
        _mean(each for each in questions if each.has_answer),
        _mean(each for each in questions if not each.has_answer),
        None if predictions.na_probs is None else _ranked(_by_na_prob(questions, predictions)),
        threshold,
        questions,
    )


def threshold_curve(scored: Scores) -> ThresholdCurve:
    """How exact and f1 go with the threshold; ties of no-answer probability move together."""
    questions = sorted(scored.questions, key=lambda each: each.na_prob)
    probs = np.array([each.na_prob for each in questions], dtype=np.float64)
    last = np.append(probs[1:] != probs[:-1], True)
    exact, f1 = (
        100 * _totals(questions, raw)[1:][last] / len(questions)
        for raw in ([q.raw_exact for q in questions], [q.raw_f1 for q in questions])
    )
    return ThresholdCurve(probs[last], exact, f1)


def _scored(question: Question, predictions: Predictions, threshold: float) -> Scored:
    text = predictions.texts[question.id]
    na_prob = 0.0 if predictions.na_probs is None else predictions.na_probs[question.id]
    mine = normalise(text)
    words = mine.split()
    golds = [normalise(gold) for gold in golds_of(question)]
    exact = float(mine in golds)
    f1 = max(_overlap(gold.split(), words) for gold in golds)
    has_answer = question.has_answer
    withheld = na_prob > threshold
    counted = (float(not has_answer),) * 2 if withheld else (exact, f1)
    return Scored(question.id, has_answer, text, na_prob, withheld, *counted, exact, f1)


def _overlap(gold: list[str], prediction: list[str]) -> float:
    if not gold or not prediction:
        return float(gold == prediction)
    same = sum((Counter(gold) & Counter(prediction)).values())
    if same == 0:
        return 0.0
    precision = 1.0 * same / len(prediction)
    recall = 1.0 * same / len(gold)
    return (2 * precision * recall) / (precision + recall)


def _mean(questions: Iterable[Scored]) -> Score | None:
    exact = f1 = 0.0
    total = 0
    for question in questions:
        exact += question.exact
        f1 += question.f1
        total += 1
    return Score(100.0 * exact / total, 100.0 * f1 / total, total) if total else None


def _by_na_prob(questions: Sequence[Scored], predictions: Predictions) -> list[Scored]:
    """By rising no-answer probability; ties in the order of their file, as in the script."""
    of = {question.id: question for question in questions}
    return sorted((of[key] for key in predictions.na_probs or ()), key=lambda each: each.na_prob)


def _ranked(questions: list[Scored]) -> Ranked:
    exact = [each.raw_exact for each in questions]
    f1 = [each.raw_f1 for each in questions]
    oracle = [float(each.has_answer) for each in questions]
    return Ranked(
        _best(questions, exact),
        _best(questions, f1),
        *(_curve(questions, raw) for raw in (exact, f1, oracle)),
    )


def _totals(questions: Sequence[Scored], raw: Sequence[float]) -> np.ndarray:
    """Sums of the scores when the first 0, 1, 2, … questions are answered."""
    gains: list[float] = [sum(not each.has_answer for each in questions)]
    for question, score in zip(questions, raw, strict=True):
        gains.append(score if question.has_answer else -float(question.text != ""))
    return np.cumsum(gains, dtype=np.float64)


def _best(questions: Sequence[Scored], raw: Sequence[float]) -> Best:
    totals = _totals(questions, raw)
    place = int(np.argmax(totals))
    score = 100.0 * float(totals[place]) / len(questions)
    return Best(score, questions[place - 1].na_prob if place else 0.0)


def _curve(questions: Sequence[Scored], raw: Sequence[float]) -> Curve | None:
    possible = sum(each.has_answer for each in questions)
    if not possible:
        return None
    gains = [score if q.has_answer else 0.0 for q, score in zip(questions, raw, strict=True)]
    right = np.cumsum(gains, dtype=np.float64)
    probs = np.array([each.na_prob for each in questions], dtype=np.float64)
    # A threshold can only stand between different probabilities.
    last = np.append(probs[1:] != probs[:-1], True)
    precision = np.concatenate([[1.0], (right / np.arange(1, len(right) + 1))[last]])
    recall = np.concatenate([[0.0], (right / possible)[last]])
    average = float(np.cumsum(precision[1:] * np.diff(recall))[-1])
    return Curve(precision, recall, probs[last], 100.0 * average)
