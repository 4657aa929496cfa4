"""The windows of all questions, tokenised once and kept on disk, mapped into memory.

Each window has its labels as run_qa.py (transformers, examples/pytorch/question-answering) gives
them: the tokens in which its answer starts and ends, or the null token for both when the window
does not hold all of the answer.
"""

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from studio.errors import DataError, RequestError, from_os_error
from studio.reader.squad import Answer, Asked, Squad
from studio.reader.windows import Encoder, Tokens, Window, refuse_long

if TYPE_CHECKING:
    import pyarrow
    import torch

_FORM = 1
"""Of the files; another one whenever what is written changes."""
_AT_A_TIME = 512
"""Paragraphs that are tokenised side by side and written together."""


@dataclass(frozen=True)
class Batch:
    """Windows padded to the longest; all (windows, tokens), the labels (windows,)."""

    ids: "torch.Tensor"
    types: "torch.Tensor"
    mask: "torch.Tensor"
    start: "torch.Tensor"
    end: "torch.Tensor"

    def inputs(self, device: "torch.device", types: bool) -> dict[str, "torch.Tensor"]:
        """What a network takes; types: whether it takes those of tokens."""
        told = {"input_ids": self.ids, "attention_mask": self.mask}
        told |= {"token_type_ids": self.types} if types else {}
        return {name: tensor.to(device) for name, tensor in told.items()}


class Features:
    """Windows on disk.

    name: tells them from all others. lengths: tokens of each. questions: its question's place in
    the data set.
    """

    def __init__(self, path: Path, pad_id: int):
        from datasets import Dataset

        self._data = Dataset.from_file(str(path)).with_format("numpy")
        self._pad_id = pad_id
        self.name = path.stem
        self.lengths = np.asarray(self._data.with_format(None).data.column("length"), np.int32)
        self.questions = np.asarray(self._data.with_format(None).data.column("question"), np.int32)

    def __len__(self) -> int:
        return len(self.lengths)

    def rows(self, places: np.ndarray) -> dict[str, Any]:
        """Columns of some windows, as they are stored."""
        rows: dict[str, Any] = self._data[places]
        return rows

    def batch(self, places: np.ndarray, multiple: int = 1) -> Batch:
        """Some windows, padded to a multiple of so many tokens, as GPUs like it."""
        import torch

        rows = self.rows(places)
        longest = int(self.lengths[places].max())
        shape = (len(places), -(-longest // multiple) * multiple)
        ids = np.full(shape, self._pad_id, np.int64)
        types = np.zeros(shape, np.int64)
        mask = np.zeros(shape, np.int64)
        for row, (some, kinds) in enumerate(zip(rows["ids"], rows["types"], strict=True)):
            ids[row, : len(some)] = some
            types[row, : len(some)] = kinds
            mask[row, : len(some)] = 1
        start, end = (np.asarray(rows[name], np.int64) for name in ("start", "end"))
        return Batch(*(torch.from_numpy(each) for each in (ids, types, mask, start, end)))


def features(squad: Squad, encoder: Encoder, tokenizer: str, folder: Path) -> Features:
    """The windows of a data set, from the folder when they are there.

    tokenizer: its hash. Raises DataError when the data set has no question, or one without room
    for a passage.
    """
    told = [_FORM, squad.sha256, tokenizer, encoder.max_length, encoder.overlap]
    name = hashlib.sha256(json.dumps(told).encode()).hexdigest()[:24]
    path = folder / f"{name}.arrow"
    if not path.is_file():
        _write(squad, encoder, path)
    return Features(path, encoder.pad_id)


def tokenizer_hash(tokenizer: Any) -> str:
    """SHA-256 of all that a fast tokenizer is."""
    return hashlib.sha256(tokenizer.backend_tokenizer.to_str().encode()).hexdigest()


def takes_types(tokenizer: Any) -> bool:
    """Whether networks of this tokenizer take types of tokens, as readers see it."""
    return "token_type_ids" in tokenizer.model_input_names


def labels(window: Window, passage: Tokens, answer: Answer | None) -> tuple[int, int]:
    """Where the answer starts and ends in the window; the null token twice where it does not.

    The tokens are the first and the last one that hold some of the answer.
    """
    none = (window.null, window.null)
    if answer is None or not answer.text:
        return none
    # Tokens of no characters, as of accents that a tokenizer strips, hold nothing.
    holds = (passage.ends > answer.start) & (passage.starts < answer.end)
    holds &= passage.ends > passage.starts
    found = np.flatnonzero(holds)
    if not len(found) or found[0] < window.first or found[-1] >= window.last:
        return none
    at = window.at - window.first
    return int(found[0]) + at, int(found[-1]) + at


def _write(squad: Squad, encoder: Encoder, path: Path) -> None:
    from datasets import Features as Columns
    from datasets import List, Value
    from datasets.arrow_writer import ArrowWriter

    whole, small = Value("int32"), Value("int8")
    columns = Columns(
        ids=List(whole), types=List(small), length=whole, start=whole, end=whole, question=whole
    )
    # Two runs may write the same windows: each its own file, and the last rename wins.
    aside = path.with_suffix(f".{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with ArrowWriter(features=columns, path=str(aside)) as writer:
            count = 0
            for table in _tables(squad, encoder):
                writer.write_table(table)
                count += table.num_rows
            if not count:
                raise DataError("The data set has no question; nothing can be learnt from it.")
            writer.finalize()
        aside.replace(path)
    except OSError as error:
        raise from_os_error(error, f"write tokenised data to {path}") from None
    finally:
        aside.unlink(missing_ok=True)


def _tables(squad: Squad, encoder: Encoder) -> Iterator["pyarrow.Table"]:
    asked = list(squad.asked())
    some: list[tuple[int, Asked]] = []
    contexts: set[tuple[int, int]] = set()
    for place, each in enumerate(asked):
        if len(contexts) == _AT_A_TIME and each.place[:2] not in contexts:
            yield _table(some, encoder)
            some, contexts = [], set()
        some.append((place, each))
        contexts.add(each.place[:2])
    if some:
        yield _table(some, encoder)


def _table(asked: list[tuple[int, Asked]], encoder: Encoder) -> "pyarrow.Table":
    import pyarrow

    contexts = {each.place[:2]: each.context for _, each in asked}
    passages = dict(zip(contexts, encoder.many(list(contexts.values())), strict=True))
    texts = encoder.many([each.question.text.strip() for _, each in asked])
    windows: list[Window] = []
    rows: list[tuple[int, int, int]] = []
    for (place, each), question in zip(asked, texts, strict=True):
        passage = passages[each.place[:2]]
        answer = each.question.answers[0] if each.question.answers else None
        try:
            cut = encoder.windows(question, passage)
        except RequestError:
            refuse_long(encoder, [each])
            raise
        windows += cut
        rows += [(*labels(window, passage, answer), place) for window in cut]
    lengths = np.array([len(window) for window in windows], np.int32)
    cuts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    start, end, question_places = np.array(rows, np.int32).reshape(-1, 3).T
    return pyarrow.table(
        {
            "ids": _lists(cuts, [window.ids for window in windows], np.int32),
            "types": _lists(cuts, [window.types for window in windows], np.int8),
            "length": lengths,
            "start": start,
            "end": end,
            "question": question_places,
        }
    )


def _lists(cuts: np.ndarray, values: list[np.ndarray], kind: type) -> "pyarrow.ListArray":
    import pyarrow

    return pyarrow.ListArray.from_arrays(cuts, np.concatenate(values).astype(kind))
