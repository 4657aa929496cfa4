"""A prompt cut into chunks that a text encoder can read, and the count of its tokens.

This is the part of encoding that needs no weights, so that a page can count while someone types.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

from tokenizers import Regex, Tokenizer, normalizers, pre_tokenizers
from tokenizers.models import BPE

from studio.diffusion.prompt import Break, parse_weights, plan
from studio.diffusion.words import with_words
from studio.errors import ModelError
from studio.models.entry import ModelEntry
from studio.models.families import Texts

COMMA_REACH = 20
"""How many tokens back a comma may stand for a full chunk to end there rather than mid-phrase."""

BORDER_TOKENS = 2
"""A chunk stands between one begin and one end token."""

COUNTED_VARIANTS = 8
"""The most texts of one prompt that are counted while someone types; the longest go first."""

_SPECIAL_TOKENS = ("bos_token", "eos_token", "unk_token", "pad_token")


@dataclass(frozen=True, slots=True)
class Chunk:
    """Token ids that are encoded together, without borders and padding, and their weights."""

    ids: tuple[int, ...]
    weights: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class TokenCount:
    """How many tokens a prompt takes, and how many fit into the chunks that it needs anyway."""

    tokens: int
    limit: int


def chunked(text: str, tokenize: Callable[[str], list[int]], length: int) -> list[Chunk]:
    """A text with weights cut into chunks of at most `length` tokens; at least one.

    tokenize: text -> ids without borders. A full chunk ends at its last comma if that is within
    COMMA_REACH tokens; BREAK ends a chunk at once. Raises PromptError as parse_weights does.
    """
    comma = tokenize(",")
    chunks: list[Chunk] = []
    ids: list[int] = []
    weights: list[float] = []
    after_comma = 0

    def finish(size: int) -> None:
        nonlocal after_comma
        chunks.append(Chunk(tuple(ids[:size]), tuple(weights[:size])))
        del ids[:size], weights[:size]
        after_comma = 0

    for piece, weight in _weighed_tokens(text, tokenize):
        if piece is None:
            finish(len(ids))
            continue
        is_comma = [piece] == comma
        if len(ids) == length:
            near = after_comma and length - after_comma < COMMA_REACH
            finish(after_comma if near and not is_comma else length)
        ids.append(piece)
        weights.append(weight)
        if is_comma:
            after_comma = len(ids)
    if ids or not chunks:
        finish(len(ids))
    return chunks


def count_for(
    entry: ModelEntry,
    text: str,
    steps: int,
    *,
    composable: bool = True,
    words: Mapping[str, range] | None = None,
) -> TokenCount:
    """The tokens of a prompt for a usable model; see `count`. words: with vectors of their own."""
    family = entry.family
    assert family is not None
    held = family.t5_tokens - 1 if family.texts is Texts.FLUX else None
    folder = entry.tokenizer(family.counted)
    return count(folder, text, steps, composable=composable, held=held, words=words)


def count(
    tokenizer_folder: Path,
    text: str,
    steps: int,
    *,
    composable: bool = True,
    held: int | None = None,
    words: Mapping[str, range] | None = None,
) -> TokenCount:
    """The tokens of a prompt's longest variant: over schedules, alternations and parts of AND.

    Reads the tokenizer's files once and no weights. held: tokens that a chunk holds between its
    borders, if not what the tokenizer says: 75 with CLIP. limit: what all chunks hold. Of more than
    COUNTED_VARIANTS texts, those with most characters are counted.
    Raises PromptError for what cannot be encoded, ModelError for a damaged folder.
    """
    tokenizer, own = _tokenizer(tokenizer_folder)
    length = held or own

    @cache
    def plain(part: str) -> list[int]:
        ids: list[int] = tokenizer.encode(part, add_special_tokens=False).ids
        return ids

    tokenize = with_words(plain, words or {})

    variants = sorted(plan(text, steps, composable=composable).texts(), key=len, reverse=True)
    return max(
        (
            _count_of(chunked(variant, tokenize, length), length)
            for variant in variants[:COUNTED_VARIANTS]
        ),
        key=lambda counted: counted.tokens,
    )


def _weighed_tokens(
    text: str, tokenize: Callable[[str], list[int]]
) -> Iterator[tuple[int | None, float]]:
    """Each token with its weight; None stands for BREAK."""
    for fragment in parse_weights(text):
        if isinstance(fragment, Break):
            yield None, 1.0
        else:
            for token in tokenize(fragment.text):
                yield token, fragment.weight


def _count_of(chunks: list[Chunk], length: int) -> TokenCount:
    # Chunks before the last are full to whoever writes on, even those that a comma or BREAK cut.
    return TokenCount(length * (len(chunks) - 1) + len(chunks[-1].ids), length * len(chunks))


@lru_cache(maxsize=8)
def _tokenizer(folder: Path) -> tuple[Tokenizer, int]:
    """A folder's tokenizer and how many tokens a chunk holds between its borders."""
    try:
        settings = json.loads((folder / "tokenizer_config.json").read_text("utf-8"))
        length = int(settings["model_max_length"]) - BORDER_TOKENS
        whole = folder / "tokenizer.json"
        tokenizer = (
            _whole_tokenizer(whole) if whole.is_file() else _clip_tokenizer(folder, settings)
        )
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(
            f"The tokenizer in {folder} cannot be read ({error}); download the model again."
        ) from error
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer, length


def _whole_tokenizer(path: Path) -> Tokenizer:
    text = path.read_text("utf-8")
    json.loads(text)  # damage shows here as a ValueError, and from the library as a bare Exception
    return Tokenizer.from_str(text)


def _clip_tokenizer(folder: Path, settings: dict[str, object]) -> Tokenizer:
    """CLIP's byte-level BPE from vocab.json and merges.txt, as in transformers' CLIPTokenizer."""
    special = [_content(settings[name]) for name in _SPECIAL_TOKENS if settings.get(name)]
    lines = (folder / "merges.txt").read_text("utf-8").splitlines()
    merges = [line.split(" ") for line in lines if line and not line.startswith("#version")]
    model = BPE(
        vocab=json.loads((folder / "vocab.json").read_text("utf-8")),
        merges=[(left, right) for left, right in merges],
        unk_token=_content(settings["unk_token"]),
        continuing_subword_prefix="",
        end_of_word_suffix="</w>",
    )
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    words = Regex(
        r"<\|startoftext\|>|<\|endoftext\|>|'(?:s|t|re|ve|m|ll|d)|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+"
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(words, behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    tokenizer.add_special_tokens(list(dict.fromkeys(special)))
    return tokenizer


def _content(token: object) -> str:
    """A special token's text; older folders store it with its stripping rules around it."""
    return str(token["content"]) if isinstance(token, dict) else str(token)
