"""Scores of a model on a sample of the dev set while it is being trained."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from studio.reader.squad import Asked, Squad
from studio.reader.windows import Encoder, Tokens, Window

if TYPE_CHECKING:
    from torch import nn

_LONGEST_ANSWER = 30
_BATCH = 32


class DevScores:
    """EM and F1 of a model on some questions.

    questions: how many, drawn by the seed, 0 for all. Called with a model in evaluation mode.
    """

    def __init__(self, dev: Squad, encoder: Encoder, questions: int = 0, seed: int = 0):
        asked = list(dev.asked())
        if questions and questions < len(asked):
            lot = np.random.default_rng(seed).permutation(len(asked))[:questions]
            asked = [asked[place] for place in sorted(lot)]
        self._asked = asked
        self._encoder = encoder
        contexts = {each.place[:2]: each.context for each in asked}
        self._passages = dict(zip(contexts, encoder.many(list(contexts.values())), strict=True))
        texts = encoder.many([each.question.text.lstrip() for each in asked])
        self._windows: list[tuple[int, Window]] = [
            (place, window)
            for place, (each, text) in enumerate(zip(asked, texts, strict=True))
            for window in encoder.windows(text, self._passages[each.place[:2]])
        ]

    def __call__(self, model: "nn.Module") -> dict[str, float]:
        """exact and f1 (no answer where it scores higher), and best_f1 of all thresholds."""
        count = len(self._asked)
        best = np.full(count, -np.inf)
        null = np.full(count, np.inf)
        spans: list[tuple[int, int]] = [(0, 0)] * count
        for (place, window), start, end in self._logits(model):
            null[place] = min(null[place], start[window.null] + end[window.null])
            reach = slice(window.at, window.at + window.last - window.first)
            score, first, last = best_span(start[reach], end[reach])
            if score > best[place]:
                best[place] = score
                spans[place] = (first + window.first, last + window.first)
        texts = [
            _text(each, self._passages[each.place[:2]], span)
            for each, span in zip(self._asked, spans, strict=True)
        ]
        return _scores(self._asked, texts, null - best)

    def _logits(
        self, model: "nn.Module"
    ) -> Iterator[tuple[tuple[int, Window], np.ndarray, np.ndarray]]:
        import inspect

        import torch

        device = next(model.parameters()).device
        takes_types = "token_type_ids" in inspect.signature(model.forward).parameters
        order = sorted(self._windows, key=lambda item: len(item[1]))
        for first in range(0, len(order), _BATCH):
            some = order[first : first + _BATCH]
            shape = (len(some), len(some[-1][1]))
            ids = torch.full(shape, self._encoder.pad_id)
            types, mask = torch.zeros(shape, dtype=torch.long), torch.zeros(shape, dtype=torch.long)
            for row, (_, window) in enumerate(some):
                ids[row, : len(window)] = torch.from_numpy(window.ids)
                types[row, : len(window)] = torch.from_numpy(window.types)
                mask[row, : len(window)] = 1
            inputs = {"input_ids": ids.to(device), "attention_mask": mask.to(device)}
            if takes_types:
                inputs["token_type_ids"] = types.to(device)
            with torch.inference_mode():
                out = model(**inputs)
            starts, ends = (x.float().cpu().numpy() for x in (out.start_logits, out.end_logits))
            yield from zip(some, starts, ends, strict=True)


def best_span(start: np.ndarray, end: np.ndarray) -> tuple[float, int, int]:
    """The span of at most 30 tokens with the highest sum of logits: the sum, first, last."""
    found = (-np.inf, 0, 0)
    for more in range(min(_LONGEST_ANSWER, len(start))):
        sums = start[: len(start) - more] + end[more:]
        first = int(sums.argmax())
        if sums[first] > found[0]:
            found = (float(sums[first]), first, first + more)
    return found


def _text(asked: Asked, passage: Tokens, span: tuple[int, int]) -> str:
    if not len(passage):
        return ""
    first, last = span
    return asked.context[passage.starts[first] : passage.ends[last]]


def _scores(asked: list[Asked], texts: list[str], margins: np.ndarray) -> dict[str, float]:
    """margins: by how much no answer scores higher than the text."""
    has = np.array([each.question.has_answer for each in asked])
    pairs = [
        _compare(text, each) if each.question.has_answer else (0.0, 0.0)
        for text, each in zip(texts, asked, strict=True)
    ]
    exact, f1 = np.array(pairs).reshape(-1, 2).T
    says_none = margins > 0
    told: dict[str, float] = {}
    for name, raw in (("exact", exact), ("f1", f1)):
        told[name] = _mean(np.where(has, np.where(says_none, 0, raw), says_none))
    told["HasAns_f1"] = _mean(np.where(says_none, 0, f1)[has])
    told["NoAns_f1"] = _mean(says_none[~has].astype(float))
    # As the official script does: all are unanswered, then answers are let in by their margin.
    order = np.argsort(margins, kind="stable")
    gains = np.where(has, f1, -1.0)[order]
    reached = (~has).sum() + np.concatenate([[0.0], np.cumsum(gains)])
    told["best_f1"] = round(100 * float(reached.max()) / max(1, len(asked)), 4)
    return told


def _mean(values: np.ndarray) -> float:
    return round(100 * float(values.mean()), 4) if len(values) else 0.0


def _compare(text: str, asked: Asked) -> tuple[float, float]:
    golds = [answer.text for answer in asked.question.answers]
    pairs = [_exact_and_f1(gold, text) for gold in golds]
    return max(pair[0] for pair in pairs), max(pair[1] for pair in pairs)


def _normalised(text: str) -> list[str]:
    import re
    import string

    text = "".join(char for char in text.lower() if char not in set(string.punctuation))
    return re.sub(r"\b(a|an|the)\b", " ", text).split()


def _exact_and_f1(gold: str, text: str) -> tuple[float, float]:
    from collections import Counter

    wanted, found = _normalised(gold), _normalised(text)
    if not wanted or not found:
        return float(wanted == found), float(wanted == found)
    same = sum((Counter(wanted) & Counter(found)).values())
    return float(wanted == found), 2 * same / (len(wanted) + len(found))
