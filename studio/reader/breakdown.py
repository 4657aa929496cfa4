"""Where a reader is good and where not: scores by the sort of question, and how sure they are.

Intervals and the test between two readers resample questions (Efron and Tibshirani, "An
Introduction to the Bootstrap", 1993), seeded, so that the same predictions give the same numbers.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from studio.errors import DataError
from studio.reader.metrics import Score, Scored, Scores, golds_of, normalise
from studio.reader.question_words import QUESTION_WORDS, question_word
from studio.reader.squad import Asked, Question, Squad

RESAMPLES = 1000
SEED = 0
_LENGTHS = ((1, "1 word"), (2, "2 words"), (3, "3 words"), (5, "4 to 5 words"), (10, "6 to 10"))
_CHUNK = 1 << 20
"""Numbers that are held at a time."""


@dataclass(frozen=True, slots=True)
class Group:
    """The questions that have something in common, and their scores in percent."""

    name: str
    score: Score


@dataclass(frozen=True, slots=True)
class Breakdown:
    """Groups of each view; a group without questions is left out.

    lengths: words of the shortest gold answer, for questions that have one. articles: in the
    order of the data set.
    """

    question_words: tuple[Group, ...]
    lengths: tuple[Group, ...]
    answerability: tuple[Group, ...]
    articles: tuple[Group, ...]


@dataclass(frozen=True, slots=True)
class Interval:
    """A score in percent and the ends of its 95 % confidence interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Intervals:
    """Of all questions, and of those with and without an answer, None where there are none."""

    exact: Interval
    f1: Interval
    has_answer_f1: Interval | None
    no_answer_f1: Interval | None


@dataclass(frozen=True, slots=True)
class Difference:
    """A minus B in points of percent; p: how often chance alone makes a difference as large."""

    exact: Interval
    f1: Interval
    exact_p: float
    f1_p: float


def answer_length(question: Question) -> int:
    """Words of the shortest gold answer, normalised; 0 for none."""
    return min(len(normalise(gold).split()) for gold in golds_of(question))


def breakdown(squad: Squad, scored: Scores) -> Breakdown:
    """The scores apart by the sort of question."""
    pairs = list(paired(squad, scored))

    def by(name: Callable[[Asked], str], order: Iterable[str] = ()) -> tuple[Group, ...]:
        groups: dict[str, list[Scored]] = {each: [] for each in order}
        for asked, each in pairs:
            groups.setdefault(name(asked), []).append(each)
        groups.pop("", None)
        return tuple(Group(each, _score(those)) for each, those in groups.items() if those)

    return Breakdown(
        by(lambda asked: question_word(asked.question.text), QUESTION_WORDS),
        by(lambda asked: _length(asked.question), (*(name for _, name in _LENGTHS), "over 10")),
        by(
            lambda asked: "has an answer" if asked.question.has_answer else "has no answer",
            ("has an answer", "has no answer"),
        ),
        by(lambda asked: asked.title or "untitled"),
    )


def paired(squad: Squad, scored: Scores) -> Iterator[tuple[Asked, Scored]]:
    """Each question in its place with its score; DataError when they do not belong together."""
    # Of an id that stands twice the last question counts, as in scoring.
    asked = {each.question.id: each for each in squad.asked()}
    if list(asked) != [each.id for each in scored.questions]:
        known = sum(each.id in asked for each in scored.questions)
        raise DataError(
            f"The scores are of another data set: {known:,} of their {len(scored.questions):,} "
            f"questions are among the {len(asked):,} of this one; choose the data set that they "
            "were made on."
        )
    yield from zip(asked.values(), scored.questions, strict=True)


def intervals(scored: Scores, resamples: int = RESAMPLES, seed: int = SEED) -> Intervals:
    """95 % confidence intervals by the percentile bootstrap over questions."""
    rng = np.random.default_rng(seed)
    exact, f1 = _percent(scored)
    both = _resampled(np.stack([exact, f1]), resamples, rng)
    apart = [
        _interval(f1[mask], _resampled(f1[None, mask], resamples, rng)[0]) if mask.any() else None
        for has_answer in [np.array([each.has_answer for each in scored.questions])]
        for mask in (has_answer, ~has_answer)
    ]
    return Intervals(_interval(exact, both[0]), _interval(f1, both[1]), *apart)


def difference(
    a: Scores, b: Scores, resamples: int = RESAMPLES * 10, seed: int = SEED
) -> Difference:
    """The paired bootstrap test between two sets of predictions on the same questions.

    p is two-sided: the share of resamples whose difference is as far from the observed one as that
    is from zero (Berg-Kirkpatrick et al., "An Empirical Investigation of Statistical Significance
    in NLP", 2012). Raises DataError when the questions differ.
    """
    if [each.id for each in a.questions] != [each.id for each in b.questions]:
        raise DataError(
            f"The two submissions are of different questions ({len(a.questions):,} and "
            f"{len(b.questions):,}); choose two on the same data set."
        )
    gaps = np.stack(_percent(a)) - np.stack(_percent(b))
    drawn = _resampled(gaps, resamples, np.random.default_rng(seed))
    values = gaps.mean(axis=1)
    # Rounding must not make the observed difference smaller than itself.
    far = np.abs(drawn - values[:, None]) >= np.abs(values[:, None]) - 1e-9
    exact_p, f1_p = (1 + far.sum(axis=1)) / (1 + resamples)
    return Difference(
        _interval(gaps[0], drawn[0]), _interval(gaps[1], drawn[1]), float(exact_p), float(f1_p)
    )


def _length(question: Question) -> str:
    if not question.has_answer:
        return ""
    length = answer_length(question)
    return next((name for most, name in _LENGTHS if length <= most), "over 10")


def _score(questions: list[Scored]) -> Score:
    return Score(
        100 * sum(each.exact for each in questions) / len(questions),
        100 * sum(each.f1 for each in questions) / len(questions),
        len(questions),
    )


def _percent(scored: Scores) -> tuple[np.ndarray, np.ndarray]:
    return (
        100 * np.array([each.exact for each in scored.questions]),
        100 * np.array([each.f1 for each in scored.questions]),
    )


def _resampled(values: np.ndarray, resamples: int, rng: np.random.Generator) -> np.ndarray:
    """Means of values (k, n) over n questions drawn with replacement, (k, resamples).

    Only how often each value is drawn matters, so questions that earned the same are one outcome.
    """
    count = values.shape[1]
    outcomes, times = np.unique(values, axis=1, return_counts=True)
    step = max(1, _CHUNK // len(times))
    means = [
        outcomes @ rng.multinomial(count, times / count, size=min(step, resamples - first)).T
        for first in range(0, resamples, step)
    ]
    return np.concatenate(means, axis=1) / count


def _interval(values: np.ndarray, drawn: np.ndarray) -> Interval:
    low, high = np.percentile(drawn, (2.5, 97.5))
    return Interval(float(values.mean()), float(low), float(high))
