"""Which checkpoint to use, and why, from what was measured on each."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

_SURE = 0.01
"""Worth by which checkpoints differ at least to count as different, however few the samples."""
_COPIED = 0.5
"""A checkpoint of whose samples more are copies of training pictures is not recommended."""


@dataclass(frozen=True)
class Scores:
    """What was measured on a checkpoint; what was not is None or empty.

    subject, prompt: of each sample, by one judge and in one order for all checkpoints. copies: how
    many samples are copies of training pictures.
    """

    held_out: float | None = None
    subject: tuple[float, ...] = ()
    prompt: tuple[float | None, ...] = ()
    copies: int = 0

    @property
    def mean_subject(self) -> float | None:
        """Mean subject score of the samples."""
        return _mean(self.subject)

    @property
    def mean_prompt(self) -> float | None:
        """Mean prompt score of the samples whose prompts could be judged."""
        return _mean(self.prompt)


@dataclass(frozen=True)
class Recommendation:
    """The checkpoint to use, by its step, and one sentence that says why."""

    step: int
    reason: str


def best_by_loss(scores: Mapping[int, Scores]) -> int | None:
    """Step of the lowest held-out loss, the earliest of equal ones; None when there is none."""
    known = {step: each.held_out for step, each in scores.items() if _is_number(each.held_out)}
    return min(sorted(known), key=lambda step: known[step] or 0.0) if known else None


def recommended(checkpoints: Sequence[int], scores: Mapping[int, Scores]) -> Recommendation | None:
    """The checkpoint to use; None when there is none.

    Worth of a sample: mean of its subject and its prompt score, each as a share of the best
    checkpoint's mean. Of the checkpoints whose worth is within one standard error of the best one's
    (paired by sample; Breiman et al. 1984), that of the lowest held-out loss is taken, or the
    earliest. Without scores of samples it is the lowest held-out loss alone, and without that the
    last checkpoint.
    """
    steps = sorted(set(checkpoints))
    if not steps:
        return None
    known = {step: scores[step] for step in steps if step in scores}
    original = {step: each for step, each in known.items() if not _mostly_copies(each)}
    left_out = len(known) - len(original)
    told = original or known
    worths = _worths(told)
    if worths:
        return _by_samples(told, worths, left_out if original else 0)
    low = best_by_loss(told)
    if low is None:
        reason = f"Use step {steps[-1]}: nothing was measured, and it is the last checkpoint."
        return Recommendation(steps[-1], reason)
    measured = sum(_is_number(each.held_out) for each in told.values())
    reason = (
        f"Use step {low}: its held-out loss, {told[low].held_out:.4g}, is the lowest of "
        f"{_checkpoints(measured)}; no samples were scored."
    )
    return Recommendation(low, reason)


def _by_samples(
    told: Mapping[int, Scores], worths: Mapping[int, np.ndarray], left_out: int
) -> Recommendation:
    best = max(sorted(worths), key=lambda step: float(worths[step].mean()))
    close = [step for step in sorted(worths) if _is_close(worths[step], worths[best])]
    low = best_by_loss({step: told[step] for step in close})
    chosen = close[0] if low is None else low
    parts = []
    own = told[chosen]
    for name, value in (("subject", own.mean_subject), ("prompt", own.mean_prompt)):
        if value is not None:
            parts.append(f"{name} {value:.2f}")
    reason = f"Use step {chosen}: its samples score {' and '.join(parts)}, "
    if chosen == best:
        reason += f"the best of {_checkpoints(len(worths))}"
    else:
        reason += f"as good as the best of {_checkpoints(len(worths))} (step {best}) but for chance"
    if chosen != best or len(close) > 1:
        loss = own.held_out
        if low is not None and loss is not None:
            reason += f", and its held-out loss, {loss:.4g}, is the lowest among equals"
        elif chosen != best:
            reason += ", and it is the earliest of them"
    if left_out:
        reason += f"; {_checkpoints(left_out)} left out, whose samples are mostly copies"
    return Recommendation(chosen, f"{reason}.")


def _worths(told: Mapping[int, Scores]) -> dict[int, np.ndarray]:
    """Worth of each sample of each checkpoint that has scores."""
    highest = [
        max((value for value in means if value is not None), default=0.0)
        for means in (
            [each.mean_subject for each in told.values()],
            [each.mean_prompt for each in told.values()],
        )
    ]
    found = {}
    for step, each in told.items():
        rows = [
            np.array([np.nan if v is None else v / best for v in values], float)
            for values, best in zip((each.subject, each.prompt), highest, strict=True)
            if values and best > 0
        ]
        if len(rows) == 2 and len(rows[0]) != len(rows[1]):
            rows = [np.array([np.nanmean(row)]) for row in rows if not np.isnan(row).all()]
        rows = [row for row in rows if np.isfinite(row).any()]
        if rows:
            # What cannot be judged of a sample counts as what is usual in its checkpoint.
            filled = [np.where(np.isfinite(row), row, np.nanmean(row)) for row in rows]
            found[step] = np.mean(filled, axis=0)
    return found


def _is_close(one: np.ndarray, best: np.ndarray) -> bool:
    """Whether two checkpoints differ by no more than one standard error."""
    gap = float(best.mean() - one.mean())
    error = 0.0
    if len(one) == len(best) > 1:
        error = float((best - one).std(ddof=1)) / math.sqrt(len(one))
    elif len(one) > 1 and len(best) > 1:
        error = math.sqrt(one.var(ddof=1) / len(one) + best.var(ddof=1) / len(best))
    return gap <= max(error, _SURE)


def _mostly_copies(each: Scores) -> bool:
    count = max(len(each.subject), len(each.prompt))
    return count > 0 and each.copies > _COPIED * count


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None and math.isfinite(value)]
    return sum(known) / len(known) if known else None


def _is_number(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def _checkpoints(count: int) -> str:
    return "1 checkpoint" if count == 1 else f"{count} checkpoints"
