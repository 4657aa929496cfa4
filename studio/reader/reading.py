"""The reader: many questions on many passages in, the best spans of each out.

Passages are tokenised once, whatever is asked of them. All windows of all questions stand in one
line, ordered by length, and go through the network in batches of about equal tokens, so that hardly
any of them is padding.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from studio.models.readers import LoadedReader
from studio.reader.answerability import Answerability, read_answerability
from studio.reader.spans import LONGEST_ANSWER, N_BEST, Span, WindowSpans, best_spans, merged
from studio.reader.windows import Encoder, Tokens, Window

if TYPE_CHECKING:
    import torch

_TOKENS_ON_CPU = 3072
_TOKENS_ON_GPU = 65_536
"""Tokens of a batch, padding included."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A question and the passage in which its answer is looked for."""

    question: str
    passage: str


@dataclass(frozen=True, slots=True)
class Reading:
    """What a reader makes of a pair: spans, best first, and its score of "no answer"."""

    spans: tuple[Span, ...]
    null: float

    @property
    def margin(self) -> float:
        """Score of "no answer" minus that of the best span; infinite where there is no span."""
        return self.null - self.spans[0].score if self.spans else float("inf")


class Reader:
    """A loaded question-answering model.

    network: one of transformers' models with a question-answering head. answerability: as fitted
    for it, None where it never was.
    """

    def __init__(
        self,
        network: Any,
        encoder: Encoder,
        answerability: Answerability | None = None,
        takes_types: bool = True,
    ):
        self.network = network
        self.encoder = encoder
        self.is_calibrated = answerability is not None
        self.answerability = answerability or Answerability()
        self._takes_types = takes_types

    def read(
        self,
        pairs: Sequence[Pair],
        *,
        n_best: int = N_BEST,
        longest: int = LONGEST_ANSWER,
        on_done: Callable[[int, int], object] = lambda done, total: None,
    ) -> list[Reading]:
        """The reading of each pair, in their order.

        longest: tokens of an answer. on_done: told after each batch how many windows are done of
        how many; what it raises ends the reading. Raises RequestError for a question that leaves
        no room for a passage.
        """
        passages = _tokenised(self.encoder, [pair.passage for pair in pairs])
        # As in run_qa.py: some questions have spaces before them, which would be cut with them.
        questions = _tokenised(self.encoder, [pair.question.strip() for pair in pairs])
        line: list[tuple[int, Window]] = [
            (number, window)
            for number, pair in enumerate(pairs)
            for window in self.encoder.windows(
                questions[pair.question.strip()], passages[pair.passage]
            )
        ]
        found: list[list[WindowSpans]] = [[] for _ in pairs]
        done = 0
        for batch in self._batches(line):
            windows = [window for _, window in batch]
            for (number, _), spans in zip(
                batch, self._spans(windows, n_best, longest), strict=True
            ):
                found[number].append(spans)
            done += len(batch)
            on_done(done, len(line))
        return [
            Reading(*merged(spans, pair.passage, passages[pair.passage], n_best))
            for pair, spans in zip(pairs, found, strict=True)
        ]

    def _batches(self, line: list[tuple[int, Window]]) -> Iterator[list[tuple[int, Window]]]:
        """Windows of about one length together, the longest first: what does not fit fails soon."""
        budget = _TOKENS_ON_CPU if self._device.type == "cpu" else _TOKENS_ON_GPU
        ordered = sorted(line, key=lambda each: -len(each[1]))
        first = 0
        while first < len(ordered):
            count = max(1, budget // len(ordered[first][1]))
            yield ordered[first : first + count]
            first += count

    def _spans(self, windows: list[Window], n: int, longest: int) -> list[WindowSpans]:
        """The best spans of each window of a batch."""
        import torch

        inputs, allowed = self._inputs(windows)
        with torch.inference_mode():
            outputs = self.network(**inputs)
            starts, ends = outputs.start_logits.float(), outputs.end_logits.float()
            rows = torch.arange(len(windows), device=starts.device)
            nulls = torch.tensor([window.null for window in windows], device=starts.device)
            null = (starts[rows, nulls] + ends[rows, nulls]).cpu().numpy()
            first, last, scores = (
                each.cpu().numpy() for each in best_spans(starts, ends, allowed, longest, n)
            )
        return [
            # From places in the window to tokens of the passage.
            WindowSpans(
                first[row] - window.at + window.first,
                last[row] - window.at + window.first,
                scores[row],
                float(null[row]),
            )
            for row, window in enumerate(windows)
        ]

    def _inputs(self, windows: list[Window]) -> "tuple[dict[str, torch.Tensor], torch.Tensor]":
        """A batch as the network takes it, and which tokens may be in an answer."""
        import torch

        shape = (len(windows), max(len(window) for window in windows))
        ids = np.full(shape, self.encoder.pad_id, np.int64)
        types, mask = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
        allowed = np.zeros(shape, bool)
        for row, window in enumerate(windows):
            ids[row, : len(window)] = window.ids
            types[row, : len(window)] = window.types
            mask[row, : len(window)] = 1
            allowed[row, window.at : window.at + window.last - window.first] = True
        inputs = {"input_ids": ids, "attention_mask": mask}
        if self._takes_types:
            inputs["token_type_ids"] = types
        device = self._device
        return (
            {name: torch.from_numpy(value).to(device) for name, value in inputs.items()},
            torch.from_numpy(allowed).to(device),
        )

    @property
    def _device(self) -> "torch.device":
        device: torch.device = self.network.device
        return device


def reader_of(loaded: LoadedReader) -> Reader:
    """A reader around what the model manager lends."""
    return Reader(
        loaded.network,
        Encoder(loaded.tokenizer, loaded.longest),
        read_answerability(loaded.folder),
        takes_types="token_type_ids" in loaded.tokenizer.model_input_names,
    )


def _tokenised(encoder: Encoder, texts: Sequence[str]) -> dict[str, Tokens]:
    """Each different text's tokens."""
    different = list(dict.fromkeys(texts))
    return dict(zip(different, encoder.many(different), strict=True))
