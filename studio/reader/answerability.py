"""How sure a reader is that a passage answers a question at all: a probability that means it.

A reader's margin is its score of "no answer" minus that of its best span. On held-out questions a
temperature and an offset are fitted that turn margins into probabilities (Platt 1999; Guo et al.
2017, "On calibration of modern neural networks"), and the threshold beyond which "no answer" is
said. They are stored beside the model's weights.
"""

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from studio.errors import ModelError

FILE = "answerability.json"
_BINS = 10


@dataclass(frozen=True)
class Answerability:
    """Turns a margin into the probability that there is no answer.

    temperature, offset: in logits. threshold: the probability above which "no answer" is said.
    """

    temperature: float = 1.0
    offset: float = 0.0
    threshold: float = 0.5

    def no_answer(self, margin: float) -> float:
        """Probability that there is no answer, 0 to 1."""
        return sigmoid((margin - self.offset) / self.temperature)

    def odds(self, margin: float) -> float:
        """Odds that there is an answer, as a logarithm."""
        return (self.offset - margin) / self.temperature


def sigmoid(value: float) -> float:
    """1 / (1 + exp(-value)) without overflow."""
    if value >= 0:
        return 1 / (1 + math.exp(-value))
    return math.exp(value) / (1 + math.exp(value))


def fitted(margins: np.ndarray, answerable: np.ndarray, scores: np.ndarray) -> Answerability:
    """Temperature, offset and threshold for margins of held-out questions.

    answerable: whether each has an answer. scores: F1 of the best span, 0 to 1, for each; the
    threshold is where the mean F1 is highest. Raises ValueError when one of the two sorts of
    questions is missing, for then nothing can be fitted.
    """
    from scipy.optimize import minimize

    absent = ~answerable.astype(bool)
    if absent.all() or not absent.any():
        raise ValueError("calibration needs questions with and without answers")
    scale = float(np.std(margins)) or 1.0
    # Platt's targets (section 2.2): without them a few questions that margins divide without a
    # fault would make every probability 0 or 1.
    without, with_one = int(absent.sum()), int((~absent).sum())
    targets = np.where(absent, (without + 1) / (without + 2), 1 / (with_one + 2))

    def loss(parameters: np.ndarray) -> float:
        # The logarithm of the temperature, which must stay positive.
        logits = (margins - parameters[1]) / math.exp(parameters[0])
        return float(np.mean(np.logaddexp(0, logits) - targets * logits))

    found = minimize(loss, np.array([math.log(scale), 0.0]), method="Nelder-Mead")
    temperature, offset = math.exp(found.x[0]), float(found.x[1])
    sure = Answerability(temperature, offset)
    threshold = sure.no_answer(best_margin(margins, absent, scores))
    return Answerability(temperature, offset, threshold)


def best_margin(margins: np.ndarray, absent: np.ndarray, scores: np.ndarray) -> float:
    """The margin above which saying "no answer" gives the highest mean F1."""
    order = np.argsort(margins, kind="stable")
    # With the first k questions answered: their F1, and a point for each other one without answer.
    gained = np.where(absent, -1.0, scores)[order]
    totals = np.concatenate([[0.0], np.cumsum(gained)])
    sorted_margins = margins[order]
    # Between two equal margins no threshold can be.
    possible = np.concatenate([[True], sorted_margins[1:] != sorted_margins[:-1], [True]])
    best = int(np.argmax(np.where(possible, totals, -np.inf)))
    if best == 0:
        return float(sorted_margins[0]) - 1e-6
    if best == len(margins):
        return float(sorted_margins[-1])
    return float((sorted_margins[best - 1] + sorted_margins[best]) / 2)


@dataclass(frozen=True)
class Reliability:
    """Of each tenth of probability: how sure the reader was, how often it was right, how many.

    error: the expected calibration error, the mean distance of the two (Naeini et al. 2015).
    """

    sure: tuple[float, ...]
    true: tuple[float, ...]
    counts: tuple[int, ...]
    error: float


def reliability(probabilities: np.ndarray, happened: np.ndarray, bins: int = _BINS) -> Reliability:
    """Bins of equal width of the probability of something, against how often it happened."""
    place = np.minimum((probabilities * bins).astype(int), bins - 1)
    counts = np.bincount(place, minlength=bins)
    full = np.maximum(counts, 1)
    sure = np.bincount(place, probabilities, bins) / full
    true = np.bincount(place, happened.astype(float), bins) / full
    error = float(np.sum(counts * np.abs(sure - true)) / max(1, len(probabilities)))
    return Reliability(tuple(sure.tolist()), tuple(true.tolist()), tuple(counts.tolist()), error)


def read_answerability(folder: Path) -> Answerability | None:
    """What is stored beside a model's weights, None where it was never calibrated."""
    try:
        value = json.loads((folder / FILE).read_text(encoding="utf-8"))
        found = Answerability(**{name: float(value[name]) for name in asdict(Answerability())})
    except FileNotFoundError:
        return None
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise ModelError(
            f"{FILE} of reader {folder.name!r} cannot be read ({error}); calibrate it again."
        ) from None
    if not found.temperature > 0 or not all(map(math.isfinite, asdict(found).values())):
        raise ModelError(
            f"{FILE} of reader {folder.name!r} has no usable temperature "
            f"({found.temperature}); calibrate it again."
        )
    return found


def write_answerability(folder: Path, found: Answerability) -> None:
    """Store it beside a model's weights."""
    part = folder / f"{FILE}.part"
    part.write_text(json.dumps(asdict(found), indent=2) + "\n", encoding="utf-8")
    part.replace(folder / FILE)
