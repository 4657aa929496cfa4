"""Passages and questions as a reader takes them: overlapping windows of tokens.

A passage is tokenised once, whatever is asked of it. A window is the question and a stretch of the
passage, put together as the tokenizer puts a pair together.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from studio.errors import DataError, RequestError
from studio.reader.squad import Asked

if TYPE_CHECKING:
    from transformers import TokenizersBackend

MAX_LENGTH = 384
"""Tokens of a window: question, passage and marks."""
OVERLAP = 128
"""Tokens that neighbouring windows share; what run_qa.py calls doc_stride."""
_HALF = re.compile("[\ud800-\udfff]")
_LEAST_PASSAGE = 16
"""Passage tokens that a window must have room for beside its question."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """A tokenised text: ids, and for each token its first character and the one after its last."""

    ids: np.ndarray
    starts: np.ndarray
    ends: np.ndarray

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, slots=True)
class Window:
    """Token ids and types of one input; passage tokens `first` to `last` stand at `at`.

    null: place of the token whose span says that there is no answer.
    """

    ids: np.ndarray
    types: np.ndarray
    at: int
    first: int
    last: int
    null: int

    def __len__(self) -> int:
        return len(self.ids)


class Encoder:
    """Makes windows as one tokenizer and one model want them.

    tokenizer: a fast one. longest: tokens that the model has places for.
    """

    def __init__(
        self,
        tokenizer: "TokenizersBackend",
        longest: int = 512,
        max_length: int = MAX_LENGTH,
        overlap: int = OVERLAP,
    ):
        self._tokenizer = tokenizer
        # Some are saved with the truncation of other uses: windows must see the whole passage.
        tokenizer.backend_tokenizer.no_truncation()
        tokenizer.backend_tokenizer.no_padding()
        self.pad_id = int(tokenizer.pad_token_id or 0)
        self.max_length = min(max_length, longest)
        self.overlap = overlap
        self._pieces = _pieces(tokenizer)

    def tokens(self, text: str) -> Tokens:
        """The tokens of a text without marks; offsets are characters of the text as it is."""
        encoding = self._tokenizer.backend_tokenizer.encode(whole(text), add_special_tokens=False)
        offsets = np.array(encoding.offsets, dtype=np.int32).reshape(-1, 2)
        return Tokens(np.array(encoding.ids, dtype=np.int32), offsets[:, 0], offsets[:, 1])

    def many(self, texts: Sequence[str]) -> list[Tokens]:
        """The tokens of many texts, which are tokenised side by side."""
        found = self._tokenizer.backend_tokenizer.encode_batch(
            list(map(whole, texts)), add_special_tokens=False
        )
        return [
            Tokens(np.array(each.ids, dtype=np.int32), offsets[:, 0], offsets[:, 1])
            for each in found
            for offsets in [np.array(each.offsets, dtype=np.int32).reshape(-1, 2)]
        ]

    def windows(self, question: Tokens, passage: Tokens) -> list[Window]:
        """The question with each stretch of the passage, as run_qa.py cuts them.

        Of a stretch never more than half is what the one before it has, too. Raises RequestError
        when the question leaves no room for a passage.
        """
        marks = sum(len(ids) for ids, _ in self._pieces.marks)
        room = self.max_length - len(question) - marks
        if room < _LEAST_PASSAGE:
            most = self.max_length - marks - _LEAST_PASSAGE
            raise RequestError(
                f"The question has {len(question)} tokens, but this reader takes at most {most}; "
                "ask more briefly.",
                "question",
            )
        # A long question leaves little room: with all of the overlap there would be thousands of
        # windows, each with a token or two that are new.
        step = room - min(self.overlap, room // 2)
        found = []
        first = 0
        while True:
            last = min(first + room, len(passage))
            found.append(self._window(question, passage, first, last))
            if last >= len(passage):
                return found
            first += step

    def _window(self, question: Tokens, passage: Tokens, first: int, last: int) -> Window:
        before, between, after = self._pieces.marks
        stretch = passage.ids[first:last]
        types = self._pieces
        parts = (before, (question.ids, types.question), between, (stretch, types.passage), after)
        ids = np.concatenate([np.asarray(part, np.int32) for part, _ in parts])
        kinds = np.concatenate(
            [np.broadcast_to(np.asarray(kind, np.int32), (len(part),)) for part, kind in parts]
        )
        at = len(before[0]) + len(question) + len(between[0])
        null = int(np.argmax(ids == types.null)) if types.null is not None else 0
        return Window(ids, kinds, at, first, last, null)


def refuse_long(encoder: Encoder, asked: Iterable[Asked]) -> None:
    """Raises DataError, with its id, for a question that leaves no room for its passage."""
    some = list(asked)
    nothing = encoder.tokens("")
    questions = encoder.many([each.question.text.strip() for each in some])
    for each, question in zip(some, questions, strict=True):
        try:
            encoder.windows(question, nothing)
        except RequestError:
            raise DataError(
                f"Question {each.question.id[:60]} of the data set has {len(question)} tokens, "
                f"which leaves no room for its passage in a window of {encoder.max_length}; "
                "shorten it or leave it out."
            ) from None


def whole(text: str) -> str:
    """The text with a mark for each half of a pair, which tokenizers refuse; no place moves."""
    return text if text.isascii() else _HALF.sub("\ufffd", text)


@dataclass(frozen=True)
class _Pieces:
    """How a tokenizer joins a pair: marks before, between and after, each with its token types.

    question, passage: token types of the two texts. null: id of the mark that says "no answer".
    """

    marks: tuple[tuple[list[int], Any], tuple[list[int], Any], tuple[list[int], Any]]
    question: int
    passage: int
    null: int | None


def _pieces(tokenizer: "TokenizersBackend") -> _Pieces:
    """Read off what the tokenizer makes of a pair, which is right for every architecture."""
    encoding = tokenizer.backend_tokenizer.encode("a", "b")
    ids, types, whose = encoding.ids, encoding.type_ids, encoding.sequence_ids
    first, second = whose.index(0), whose.index(1)
    last = len(whose) - 1 - whose[::-1].index(1)
    end_first = len(whose) - 1 - whose[::-1].index(0)
    cuts = ((0, first), (end_first + 1, second), (last + 1, len(ids)))
    before, between, after = ((ids[a:b], types[a:b]) for a, b in cuts)
    null = tokenizer.cls_token_id
    return _Pieces(
        (before, between, after),
        types[first],
        types[second],
        None if null is None else int(null),
    )
