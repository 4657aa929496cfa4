"""Words with vectors of their own in a prompt: found in its text, put in place of tokens.

A text encoder's weights and its tokenizer stay as they are: the vectors are put where the encoder
looks up its own, only in the thread that asks, and only while it does.
"""

import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from studio.models.embeddings import FIRST_ID, Embedding, EmbeddingShelf, embedding_hash
from studio.models.entry import ModelEntry

if TYPE_CHECKING:
    import torch

Tokenize = Callable[[str], list[int]]


@dataclass(frozen=True)
class Words:
    """Words that a prompt may use. ids: of each, in chunks. vectors: of each id, by encoder."""

    ids: Mapping[str, range] = field(default_factory=dict)
    vectors: Mapping[int, "tuple[torch.Tensor, ...]"] = field(default_factory=dict)

    @contextmanager
    def spoken(self, encoder: Any, place: int, ids: Sequence[int]) -> Iterator[None]:
        """While the block runs, the encoder sees the words' vectors where their ids stand.

        place: of the encoder among a model's own.
        """
        own = {at: self.vectors[each][place] for at, each in enumerate(ids) if each >= FIRST_ID}
        if not own:
            yield
            return
        speaker = threading.get_ident()

        def put(_module: Any, _given: Any, looked_up: "torch.Tensor") -> "torch.Tensor | None":
            if threading.get_ident() != speaker:
                return None  # somebody else reads with the same weights
            changed = looked_up.clone()
            for at, vector in own.items():
                changed[:, at] = vector.to(changed)
            return changed

        hook = encoder.get_input_embeddings().register_forward_hook(put)
        try:
            yield
        finally:
            hook.remove()


NO_WORDS = Words()


def with_words(tokenize: Tokenize, ids: Mapping[str, range]) -> Tokenize:
    """A tokenizer that knows these words too, whatever the case of their letters."""
    if not ids:
        return tokenize

    def tokens(text: str) -> list[int]:
        folded = text.casefold()
        used = {word.casefold(): ids[word] for word in ids if word.casefold() in folded}
        if not used:
            return tokenize(text)
        found: list[int] = []
        at = 0
        for match in _pattern(used).finditer(text):
            found += tokenize(text[at : match.start()]) if text[at : match.start()].strip() else []
            found += used[match[0].casefold()]
            at = match.end()
        return found + (tokenize(text[at:]) if text[at:].strip() else [])

    return tokens


def _pattern(words: Mapping[str, range]) -> re.Pattern[str]:
    """Any of the words where it stands alone; the longest first."""
    choices = "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True))
    return re.compile(rf"(?<!\w)(?:{choices})(?!\w)", re.IGNORECASE)


def used_in(texts: Sequence[str], shelf: EmbeddingShelf) -> list[Embedding]:
    """The textual inversions whose word stands in one of the texts, whatever they are for."""
    found = []
    for entry in shelf.entries():
        word = entry.word.casefold()
        if any(_pattern({word: range(0)}).search(t) for t in texts if word in t.casefold()):
            found.append(entry)
    return found


def words_of(texts: Sequence[str], model: ModelEntry, shelf: EmbeddingShelf) -> Words:
    """The words of texts with their vectors; ModelError for a damaged file."""
    ids = shelf.ids(model)
    own = {entry.word: entry for entry in used_in(texts, shelf) if entry.word in ids}
    vectors = {}
    for word, entry in own.items():
        sides = entry.load()
        for row, each in enumerate(ids[word]):
            vectors[each] = tuple(side[row] for side in sides)
    return Words({word: ids[word] for word in own}, vectors)


def hashes_of_words(words: Words, shelf: EmbeddingShelf) -> dict[str, str]:
    """The hashes of the files by their words, for the record in a picture."""
    return {e.word: embedding_hash(e) for e in shelf.entries() if e.word in words.ids}
