"""Questions on a document: the passages that could hold the answer, read together.

Answers are not jobs: they come in a moment, and what people ask and read is kept nowhere. They take
the same way to the device as jobs do, a lease of the broker and a loan of the model manager.
"""

import hashlib
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from studio.context import ModelSpec
from studio.errors import DeviceBusy
from studio.models.broker import Broker, Holder, Lease, this_thread
from studio.models.devices import Device, cpu_has_bfloat16
from studio.models.manager import ModelManager
from studio.models.readers import BFLOAT16, FULL, INT8, ReaderShelf
from studio.people import Deed, needs
from studio.reader.answerability import Answerability, read_answerability, sigmoid
from studio.reader.documents import Document
from studio.reader.metrics import normalise
from studio.reader.reading import Pair, Reading, reader_of
from studio.reader.retrieval import Retriever
from studio.reader_requests import AskRequest, Precision

_REMEMBERED = 4
"""Documents whose index is kept for further questions."""
PATIENCE = 30.0
"""Seconds that a question over the network waits for the device: each that waits holds up one of
the server's threads, and when all of them wait nobody is served."""
Waits = Callable[[list[Lease]], None]


@dataclass(frozen=True, slots=True)
class Found:
    """An answer in a document: characters `start` to `end`, which read `text`.

    probability: that this is the answer, 0 to 1. place: where in the document. passage: its index.
    """

    start: int
    end: int
    text: str
    probability: float
    place: str
    passage: int


@dataclass(frozen=True, slots=True)
class Answered:
    """What a reader found: answers, best first, and the probability that there is one at all.

    is_answered: whether the best is given as the answer, by the threshold of "no answer".
    is_calibrated: whether the reader's probabilities were fitted. passages: how many were read, of
    how many. Times in seconds.
    """

    question: str
    answers: tuple[Found, ...]
    probability: float
    threshold: float
    is_answered: bool
    is_calibrated: bool
    reader: str
    passages: tuple[int, int]
    seconds: float

    @property
    def best(self) -> Found | None:
        """The answer, None for "no answer"."""
        return self.answers[0] if self.is_answered and self.answers else None


def at_most(seconds: float) -> Waits:
    """Waits so long for the device, then ends with DeviceBusy: a training has it for hours."""
    ends = time.monotonic() + seconds

    def on_wait(held: list[Lease]) -> None:
        if time.monotonic() >= ends:
            raise DeviceBusy(
                f"The device is taken by {held[0].holder.title}; ask again when that has ended."
            )

    return on_wait


class Answering:
    """Reads documents with the readers of a shelf; device: tells it once torch may be imported.

    models: that lend them; None where somebody else reads.
    """

    def __init__(
        self,
        shelf: ReaderShelf,
        models: ModelManager | None,
        broker: Broker,
        device: Callable[[], Device],
    ):
        self._shelf = shelf
        self._models = models
        self._broker = broker
        self._device = device
        self._lock = threading.Lock()
        self._indexed: OrderedDict[str, Retriever] = OrderedDict()

    @needs(Deed.MAKE)
    def ask(
        self,
        document: Document,
        request: AskRequest,
        on_load: Callable[[str], None] = lambda title: None,
        on_wait: Waits = lambda held: None,
    ) -> Answered:
        """The answers to a question on a document.

        on_load: told the reader's name when it must be loaded. on_wait: told now and then who has
        the device; what it raises ends the waiting. Raises ModelError for a reader that cannot be
        loaded and RequestError for a question that is too long for it.
        """
        began = time.perf_counter()
        assert self._models is not None
        entry = self._shelf.usable(request.reader)
        chosen = self._chosen(document, request)
        pairs = [Pair(request.question, document.passage_text(index)) for index in chosen]
        holder = Holder("a question", "", this_thread())
        with (
            self._broker.lease(holder, alone=False, on_wait=on_wait),
            self._models.borrow(self.spec(entry.id, request.precision), on_load) as loaded,
        ):
            reader = reader_of(loaded)
            readings = reader.read(pairs, longest=request.longest)
        answers, odds = together(document, chosen, readings, reader.answerability)
        sure = reader.answerability
        threshold = sure.threshold if request.threshold is None else request.threshold
        probability = sigmoid(odds)
        return Answered(
            request.question,
            answers[: request.answers],
            probability,
            threshold,
            bool(answers) and 1 - probability <= threshold,
            reader.is_calibrated,
            entry.id,
            (len(chosen), len(document.passages)),
            time.perf_counter() - began,
        )

    def threshold(self, reader_id: str) -> float:
        """The probability above which this reader says "no answer", unless it is asked otherwise.

        Raises ModelError when it cannot be used.
        """
        sure = read_answerability(self._shelf.usable(reader_id).path) or Answerability()
        return sure.threshold

    def device_label(self) -> str:
        """What people call the device."""
        return self._device().label

    def holders(self) -> list[str]:
        """Who has the device alone, or is next to, so that a question would wait."""
        return [lease.holder.title for lease in self._broker.leases() if lease.alone]

    def spec(self, reader_id: str, precision: Precision) -> ModelSpec:
        """The loan that a precision means on this device."""
        device = self._device()
        if device.sort != "cpu" or precision is Precision.FULL:
            return ModelSpec(FULL, reader_id)
        if precision is Precision.INT8:
            return ModelSpec(INT8, reader_id)
        # The device's own format was measured: not every processor with bfloat16 gains by it.
        wanted = precision is Precision.BFLOAT16 or device.dtype == "bfloat16"
        return ModelSpec(BFLOAT16 if wanted and cpu_has_bfloat16() else FULL, reader_id)

    def _chosen(self, document: Document, request: AskRequest) -> Sequence[int]:
        """Passages to be read, in the document's order: all of a short text, the best of a long."""
        if len(document.passages) <= request.passages:
            return range(len(document.passages))
        best = self._retriever(document).best(request.question, request.passages)
        return sorted(each.passage for each in best)

    def _retriever(self, document: Document) -> Retriever:
        key = _fingerprint(document)
        with self._lock:
            if key not in self._indexed:
                self._indexed[key] = Retriever(document)
                while len(self._indexed) > _REMEMBERED:
                    self._indexed.popitem(last=False)
            self._indexed.move_to_end(key)
            return self._indexed[key]


def _fingerprint(document: Document) -> str:
    """Tells texts apart, and the same text with other passages, as of a Markdown file."""
    told = hashlib.sha256(document.text.encode("utf-8", "surrogatepass"))
    cuts = [(passage.start, passage.end) for passage in document.passages]
    told.update(np.array(cuts, np.int64).tobytes())
    return told.hexdigest()


def together(
    document: Document,
    chosen: Sequence[int],
    readings: Sequence[Reading],
    sure: Answerability,
) -> tuple[tuple[Found, ...], float]:
    """The answers of several passages with their probabilities, and the odds that there is one.

    The odds, as a logarithm, are the sum of the passages' own, so that an answer which stands in
    several of them counts more; the same text in two places is one answer, at its better place.
    """
    odds = [sure.odds(reading.margin) for reading in readings]
    total = float(np.logaddexp.reduce(odds)) if odds else -math.inf
    weights: dict[str, float] = {}
    best: dict[str, tuple[float, Found]] = {}
    for index, reading, own in zip(chosen, readings, odds, strict=True):
        passage = document.passages[index]
        shares = np.array([span.log_probability for span in reading.spans])
        logs = shares - np.logaddexp.reduce(shares) + own if len(shares) else shares
        for span, log in zip(reading.spans, logs.tolist(), strict=True):
            key = normalise(span.text) or span.text
            start, end = passage.start + span.start, passage.start + span.end
            weights[key] = float(np.logaddexp(weights.get(key, -math.inf), log))
            if key not in best or log > best[key][0]:
                best[key] = (log, Found(start, end, span.text, 0.0, passage.place, index))
    answers = [
        replace(found, probability=sigmoid(total) * math.exp(weights[key] - total))
        for key, (_, found) in best.items()
    ]
    answers.sort(key=lambda found: (-found.probability, found.start))
    return tuple(answers), total
