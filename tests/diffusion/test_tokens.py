"""Chunks of tokens, and the count that a page shows while someone types."""

import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import CLIPTokenizer

from studio.diffusion.tokens import COMMA_REACH, Chunk, TokenCount, chunked, count
from studio.errors import ModelError, PromptError
from studio.requests import PROMPT_LIMIT

ROOT = Path(__file__).parents[2]
MODELS = ROOT / "assets" / "models"
TOKENIZER = next(path.parent for path in sorted(MODELS.glob("*/model_index.json"))) / "tokenizer"
COMMA = 0


def words(text: str) -> list[int]:
    """Numbers stand for themselves, a comma is a token of its own."""
    return [COMMA if word == "," else int(word) for word in text.replace(",", " , ").split()]


def numbers(first: int, last: int) -> str:
    return " ".join(str(number) for number in range(first, last + 1))


def ids(text: str, length: int = 75) -> list[list[int]]:
    return [list(chunk.ids) for chunk in chunked(text, words, length)]


# --- chunks -------------------------------------------------------------------------------------


def test_an_empty_prompt_is_one_empty_chunk() -> None:
    assert chunked("", words, 75) == [Chunk((), ())]


def test_tokens_carry_their_weights() -> None:
    [chunk] = chunked("1 (2 3:1.5) [4]", words, 75)
    assert chunk == Chunk((1, 2, 3, 4), (1.0, 1.5, 1.5, 1 / 1.1))


def test_a_full_chunk_is_followed_by_another_in_order() -> None:
    assert ids(numbers(1, 75)) == [list(range(1, 76))]
    assert ids(numbers(1, 151)) == [list(range(1, 76)), list(range(76, 151)), [151]]


def test_break_ends_a_chunk() -> None:
    assert ids("1 2 BREAK 3") == [[1, 2], [3]]
    assert ids("1 BREAK") == [[1]]
    assert ids("BREAK 1") == [[], [1]]
    assert ids("1 BREAK BREAK 2") == [[1], [], [2]]


def test_a_full_chunk_ends_at_a_near_comma() -> None:
    assert ids("1 2 , 3 4 5", length=5) == [[1, 2, COMMA], [3, 4, 5]]
    # Weights move with their tokens.
    first, second = chunked("1 , (2:2) 3", words, 3)
    assert (first.ids, second.ids, second.weights) == ((1, COMMA), (2, 3), (2.0, 1.0))


@pytest.mark.parametrize("after", [0, 1, COMMA_REACH - 1, COMMA_REACH, COMMA_REACH + 1])
def test_a_comma_is_near_within_twenty_tokens(after: int) -> None:
    """after: tokens that stand between the comma and the end of the full chunk."""
    text = f"{numbers(1, 74 - after)} , {numbers(1, after + 1)}"
    first, second = ids(text)
    moved = after < COMMA_REACH
    assert len(first) == (75 - after if moved else 75)
    assert first[74 - after] == COMMA
    assert len(second) == (after + 1 if moved else 1)


def test_a_comma_that_comes_too_late_opens_the_next_chunk() -> None:
    assert ids("1 2 , 3 4 , 5", length=5) == [[1, 2, COMMA, 3, 4], [COMMA, 5]]


@given(
    st.lists(st.sampled_from(["1", "22", ",", "(3:1.2)", "[4]", "BREAK"]), max_size=60),
    st.integers(1, 12),
)
def test_chunks_hold_every_token_once_and_in_order(tokens: list[str], length: int) -> None:
    text = " ".join(tokens)
    chunks = chunked(text, words, length)
    plain = [one.strip("([])").removesuffix(":1.2") for one in tokens if one != "BREAK"]
    assert [one for chunk in chunks for one in chunk.ids] == words(" ".join(plain))
    assert all(len(chunk.ids) == len(chunk.weights) <= length for chunk in chunks)


# --- counting -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", (0, 75)),
        ("a cat", (2, 75)),
        ("a ((cat:1.3)), [a dog]", (5, 75)),
        ("cat " * 75, (75, 75)),
        ("cat " * 76, (76, 150)),
        ("cat BREAK cat", (76, 150)),
        ("a cat <lora:ink:0.8>", (2, 75)),
        ("[cat:a cat and a dog:0.5]", (5, 75)),
        ("[cat|a cat|a cat and]", (3, 75)),
        ("a cat and a dog AND a cat :0.5", (5, 75)),
    ],
)
def test_count(text: str, expected: tuple[int, int]) -> None:
    assert count(TOKENIZER, text, 20) == TokenCount(*expected)


def test_and_is_counted_as_a_word_where_prompts_are_not_composed() -> None:
    assert count(TOKENIZER, "a cat AND a dog", 20, composable=False).tokens == 5


@pytest.mark.parametrize("composed", [True, False], ids=["tokenizer.json", "vocab and merges"])
@pytest.mark.parametrize(
    "text", ["a cat", "DON'T stop at 12:30!!!", "naïve 猫 🙂\n\tx", "<|endoftext|> a", "it's we'll"]
)
def test_tokens_are_those_of_transformers(
    folder_without_whole: Path, text: str, composed: bool
) -> None:
    folder = TOKENIZER if composed else folder_without_whole
    tokenizer = CLIPTokenizer.from_pretrained(folder)
    expected = len(tokenizer(text, add_special_tokens=False).input_ids)
    assert count(folder, text, 20).tokens == expected


@pytest.fixture(scope="module")
def folder_without_whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tokenizer")
    for name in ("vocab.json", "merges.txt", "tokenizer_config.json"):
        shutil.copy(TOKENIZER / name, folder / name)
    return folder


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "tokenizer_config.json").unlink(),
        lambda folder: (folder / "tokenizer_config.json").write_text("{}"),
        lambda folder: (folder / "tokenizer.json").write_text('{"version"'),
        lambda folder: [(folder / name).unlink() for name in ("tokenizer.json", "vocab.json")],
    ],
    ids=["no settings", "empty settings", "cut short", "no vocabulary"],
)
def test_a_damaged_folder_is_named(tmp_path: Path, damage: Callable[[Path], object]) -> None:
    folder = tmp_path / "tokenizer"
    shutil.copytree(TOKENIZER, folder)
    damage(folder)
    with pytest.raises(ModelError, match="cannot be read"):
        count(folder, "a cat", 20)


@pytest.mark.alone
@pytest.mark.parametrize(
    "text",
    [
        "(a)b" * (PROMPT_LIMIT // 4),
        "[|a]" * (PROMPT_LIMIT // 4),
        "[a|b][a|b|c][a|b|c|d|e][a|b|c|d|e|f|g]" + "(a)b" * (PROMPT_LIMIT // 4 - 10),
        "🙂" * PROMPT_LIMIT,
        "BREAK " * (PROMPT_LIMIT // 6),
        "(" * PROMPT_LIMIT,
    ],
    ids=lambda text: repr(text[:8]),
)
def test_counting_hostile_prompts_takes_no_time(text: str) -> None:
    count(TOKENIZER, "", 20)
    started = time.thread_time()
    count(TOKENIZER, text, 150)
    assert time.thread_time() - started < 1.5


def test_what_cannot_be_encoded_is_not_counted() -> None:
    with pytest.raises(PromptError, match="weight"):
        count(TOKENIZER, "(cat:99999)", 20)


def test_counting_needs_neither_torch_nor_transformers() -> None:
    code = (
        "import sys, pathlib; from studio.diffusion.tokens import count; "
        f"count(pathlib.Path({str(TOKENIZER)!r}), 'a cat', 20); "
        "assert not {'torch', 'transformers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
