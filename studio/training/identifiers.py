"""The word that is to call a subject up: what a model's tokenizer makes of it, and better ones.

Ruiz et al. 2022 (arXiv 2208.12242), section 4.1: an identifier should be a rare token, for a common
word means something already and letters of one's own fall apart into tokens that do. Tokens of a
BPE stand in the order in which they were merged, the common ones first.
"""

import random
import re
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from studio.errors import ModelError

_RARE, _KNOWN = 0.8, 0.4
"""Shares of the vocabulary, from the common end, from which on a token is rare, or little known."""
_TAIL = 0.9
"""Of suggestions, which are to be rarer than what is let pass."""
_MOST_TOKENS = 3
_END, _BEGIN = "</w>", "\u2581"
"""How CLIP's BPE marks the end of a word, and T5's pieces its beginning."""
_CONSONANTS = "bcdfghjklmnpqrstvwxz"
_ABBREVIATIONS = (
    *("bbc", "bgt", "bmw", "bnp", "bpm", "brt", "bsd", "btn", "bwfc", "cbp", "ccp", "cdp", "cfp"),
    *("chd", "cmdr", "cng", "cnn", "crt", "css", "dbs", "dbz", "dmx", "dprk", "dsd", "dss"),
    *("dtm", "dvd", "fbs", "ffxv", "fpv", "ftp", "gbc", "gmbh", "gps", "gsp", "hdd", "hgtv"),
    *("hgv", "hpc", "hpv", "hsv", "html", "http", "httr", "jdm", "jpg", "kfc", "kgs", "khz"),
    *("kkkk", "kph", "lbj", "lgbt", "llll", "lls", "lpg", "lpgc", "mlb", "mlg", "mls", "mmd"),
    *("mms", "mnd", "mph", "mphs", "mrs", "msn", "mtc", "mtr", "mvc", "nbl", "nfl", "nhc", "nhl"),
    *("nhs", "nnnn", "npt", "nrc", "pcs", "pdc", "pdf", "php", "pkg", "pms", "png", "ppm", "psc"),
    *("psst", "psv", "pvp", "qtr", "rbs", "rmb", "rms", "rnb", "rpg", "rpgs", "rps", "rsl"),
    *("rtr", "sdk", "smh", "snf", "sql", "srs", "ssh", "sst", "stx", "svt", "szn", "tbd", "tbr"),
    *("tbt", "thn", "tls", "tms", "tmw", "tsk", "tsm", "tvs", "twc", "txst", "vcs", "wcs", "wdw"),
    *("wtc", "wwdc", "wwf", "wwfc", "xbx", "zzz", "zzzz"),
)
"""Rare tokens without a vowel that many pictures are about all the same."""


class Verdict(StrEnum):
    """How good a word is: a rare token, parts that mean little, known, too long, or no word."""

    RARE = "rare"
    PARTS = "parts"
    KNOWN = "known"
    LONG = "long"
    NONE = "none"


@dataclass(frozen=True)
class Identifier:
    """A word as a tokenizer sees it.

    tokens: its parts. rank: place in the vocabulary of the part that is known best, 0 the most
    common. sentence: what to think of the word, for people.
    """

    tokens: tuple[str, ...]
    rank: int
    verdict: Verdict
    sentence: str

    @property
    def warns(self) -> bool:
        """Whether another word would be better."""
        return self.verdict not in (Verdict.RARE, Verdict.PARTS)


@dataclass(frozen=True)
class Template:
    """How a prompt calls a subject up. prompt, class_prompt: with {word} and {thing} in them."""

    title: str
    prompt: str
    class_prompt: str

    def filled(self, word: str, thing: str = "") -> tuple[str, str]:
        """The prompt and its class's. word: the identifier. thing: what it is, as in "dog"."""
        made = (
            text.format(word=word, thing=thing or "thing")
            for text in (self.prompt, self.class_prompt)
        )
        prompt, class_prompt = (re.sub(r"\ba (?=[aeiou])", "an ", text) for text in made)
        return prompt, class_prompt


_PHOTOS = (
    Template("A thing or an animal", "a photo of {word} {thing}", "a photo of a {thing}"),
    Template("A person", "a photo of {word} person", "a photo of a person"),
    Template("A style", "a picture in the style of {word}", "a picture"),
)
_PLAIN = (
    Template("A thing or an animal", "a {word} {thing}", "a {thing}"),
    Template("A style", "a {thing} in the style of {word}", "a {thing}"),
)


def templates(examples: tuple[str, ...] = ()) -> tuple[Template, ...]:
    """Prompts that suit a model. examples: prompts as it knows them; none for a model of photos."""
    return _PLAIN if examples and not any("photo" in text for text in examples) else _PHOTOS


def look_at(word: str, tokenizer: Path | Any) -> Identifier:
    """What a tokenizer makes of a word.

    tokenizer: a folder with tokenizer.json (or CLIP's older files), or one that is loaded, of
    tokenizers or of transformers. Raises ModelError when the folder cannot be read.
    """
    loaded = _loaded(tokenizer)
    word = " ".join(word.split())
    pairs = [(_plain(text), number) for text, number in _tokens(loaded, word)]
    # T5 cuts off the mark of a word's beginning as a piece of its own where it must.
    pairs = [(text, number) for text, number in pairs if text]
    if not pairs:
        return Identifier((), 0, Verdict.NONE, "Give a word by which to call the subject up.")
    parts = tuple(text for text, _ in pairs)
    size = loaded.get_vocab_size()
    # A part of one or two letters is common as letters are, and means nothing by it.
    part, rank = min(
        [(text, number) for text, number in pairs if len(text) > 2] or [pairs[-1]],
        key=lambda pair: pair[1],
    )
    verdict = _verdict(pairs, rank, size)
    return Identifier(parts, rank, verdict, _sentence(word, parts, part, (rank, size), verdict))


def suggestions(tokenizer: Path | Any, n: int, seed: int) -> list[str]:
    """Short words that are one rare token and mean nothing; of more tokens where there are too few.

    Three or four consonants. The same seed gives the same words.
    """
    loaded = _loaded(tokenizer)
    size = loaded.get_vocab_size()
    vocabulary = loaded.get_vocab()
    known = sorted(
        _plain(token)
        for token, number in vocabulary.items()
        if number >= _TAIL * size and (token.endswith(_END) or token.startswith(_BEGIN))
    )
    shape = re.compile(f"[{_CONSONANTS}]{{3,4}}")
    rare = [
        word
        for word in dict.fromkeys(known)
        if shape.fullmatch(word) and word not in _ABBREVIATIONS and len(_tokens(loaded, word)) == 1
    ]
    chance = random.Random(seed)
    chosen = chance.sample(rare, min(n, len(rare)))
    if len(chosen) < n:
        made = {"".join(chance.sample(_CONSONANTS, 3)) for _ in range(20 * n)}
        free = sorted(made.difference(chosen, _ABBREVIATIONS))
        chance.shuffle(free)
        free = [word for word in free if not look_at(word, loaded).warns]
        chosen += sorted(free, key=lambda word: len(look_at(word, loaded).tokens))[
            : n - len(chosen)
        ]
    return chosen


def _verdict(pairs: list[tuple[str, int]], rank: int, size: int) -> Verdict:
    if len(pairs) > _MOST_TOKENS:
        return Verdict.LONG
    if len(pairs) == 1:
        return Verdict.RARE if rank >= _RARE * size else Verdict.KNOWN
    told = any(len(text) > 2 for text, _ in pairs) and rank < _KNOWN * size
    return Verdict.KNOWN if told else Verdict.PARTS


def _sentence(
    word: str, parts: tuple[str, ...], part: str, place: tuple[int, int], verdict: Verdict
) -> str:
    cut = f"{len(parts)} tokens ({' | '.join(parts)})"
    where = f"{place[0]:,} of {place[1]:,}, where common ones come first"
    match verdict:
        case Verdict.RARE:
            return f"'{word}' is one rare token ({where})."
        case Verdict.PARTS:
            return f"'{word}' is {cut}, none of them a well-known word."
        case Verdict.LONG:
            return f"'{word}' is {cut}, which leaves less room for prompts; take a shorter word."
    if len(parts) == 1:
        return (
            f"'{word}' is a word that the model knows ({where}); it will learn against what it "
            "means, so take a rarer one."
        )
    return (
        f"'{word}' is {cut}, and the model knows '{part}' ({where}); take a word without a meaning."
    )


def _tokens(loaded: Tokenizer, word: str) -> list[tuple[str, int]]:
    """Tokens with their numbers, without the padding that some tokenizers add."""
    found = loaded.encode(word, add_special_tokens=False)
    told = zip(found.tokens, found.ids, found.attention_mask, strict=True)
    return [(text, number) for text, number, counts in told if counts]


def _plain(token: str) -> str:
    return token.removesuffix(_END).removeprefix(_BEGIN)


def _loaded(tokenizer: Path | Any) -> Tokenizer:
    if isinstance(tokenizer, Path):
        return _read(tokenizer)
    found: Tokenizer = getattr(tokenizer, "backend_tokenizer", tokenizer)
    return found


@lru_cache(maxsize=8)
def _read(folder: Path) -> Tokenizer:
    whole = folder / "tokenizer.json"
    try:
        if whole.is_file():
            return Tokenizer.from_str(whole.read_text(encoding="utf-8"))
        from transformers import AutoTokenizer

        made: Tokenizer = AutoTokenizer.from_pretrained(
            str(folder), local_files_only=True
        ).backend_tokenizer
        return made
    except Exception as error:  # the library raises bare ones
        raise ModelError(
            f"The tokenizer in {folder} cannot be read ({error}); download the model again."
        ) from error
