"""Identifiers: what tokenizers make of them, what is warned of, and what is suggested."""

import shutil
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from studio.errors import ModelError
from studio.models import torchvision_guard  # noqa: F401
from studio.models.catalogue import Catalogue
from studio.models.entry import ASSETS
from studio.training.identifiers import Verdict, look_at, suggestions, templates

CLIP = ASSETS / "tokenizers" / "clip"
PIECES = ASSETS / "tokenizers" / "t5"


@pytest.fixture(scope="module")
def own(embedded_id):
    """The tokenizer of the model that ships, which pads what it reads."""
    return Catalogue(Path("/nonexistent")).get(embedded_id).tokenizer("tokenizer")


@pytest.mark.parametrize(
    ("word", "tokens", "verdict"),
    [
        ("sks", ("sks",), Verdict.RARE),
        ("ohwx", ("ohwx",), Verdict.RARE),
        ("zwx", ("z", "wx"), Verdict.PARTS),
        ("dog", ("dog",), Verdict.KNOWN),
        ("Dog ", ("dog",), Verdict.KNOWN),
        ("toy", ("toy",), Verdict.KNOWN),
        ("a", ("a",), Verdict.KNOWN),
        ("mydog", ("my", "dog"), Verdict.KNOWN),
        ("ohwx man", ("ohwx", "man"), Verdict.KNOWN),
        ("abracadabra", ("ab", "rac", "ad", "abra"), Verdict.LONG),
        ("  ", (), Verdict.NONE),
    ],
)
def test_a_word_is_seen_as_the_tokenizer_sees_it(word, tokens, verdict):
    found = look_at(word, CLIP)
    assert (found.tokens, found.verdict) == (tokens, verdict)
    assert found.warns == (verdict not in (Verdict.RARE, Verdict.PARTS))


@pytest.mark.parametrize(
    ("word", "sentence"),
    [
        ("sks", "'sks' is one rare token (48,136 of 49,408, where common ones come first)."),
        (
            "dog",
            "'dog' is a word that the model knows (1,929 of 49,408, where common ones come first); "
            "it will learn against what it means, so take a rarer one.",
        ),
        (
            "mydog",
            "'mydog' is 2 tokens (my | dog), and the model knows 'dog' (1,929 of 49,408, where "
            "common ones come first); take a word without a meaning.",
        ),
        ("zwx", "'zwx' is 2 tokens (z | wx), none of them a well-known word."),
        (
            "abracadabra",
            "'abracadabra' is 4 tokens (ab | rac | ad | abra), which leaves less room for prompts; "
            "take a shorter word.",
        ),
        ("", "Give a word by which to call the subject up."),
    ],
)
def test_the_sentence_says_why(word, sentence):
    assert look_at(word, CLIP).sentence == sentence


def test_the_rank_is_that_of_the_best_known_part():
    assert look_at("dog", CLIP).rank < look_at("toy", CLIP).rank < look_at("sks", CLIP).rank
    assert look_at("sks dog", CLIP).rank == look_at("dog", CLIP).rank


def test_padding_is_no_part_of_a_word(own):
    assert look_at("dog", own).tokens == ("dog",)
    assert look_at("dog", own).verdict is Verdict.KNOWN
    assert look_at("zwx", own).tokens == ("z", "w", "x")


def test_pieces_without_an_end_mark_are_read_too():
    assert look_at("dog", PIECES).tokens == ("dog",)
    assert look_at("sks", PIECES).tokens == ("s", "k", "s")


@pytest.mark.parametrize("place", ["clip", "t5", "own"])
def test_suggestions_are_short_and_pass_the_look(place, own):
    tokenizer = {"clip": CLIP, "t5": PIECES, "own": own}[place]
    words = suggestions(tokenizer, 12, seed=4)
    assert len(set(words)) == 12
    assert all(3 <= len(word) <= 4 and word.isalpha() and word.islower() for word in words)
    assert not [word for word in words if look_at(word, tokenizer).warns]
    assert words == suggestions(tokenizer, 12, seed=4)
    assert words != suggestions(tokenizer, 12, seed=5)


def test_suggestions_of_a_large_vocabulary_are_single_rare_tokens():
    words = suggestions(CLIP, 40, seed=1)
    assert {look_at(word, CLIP).verdict for word in words} == {Verdict.RARE}
    assert {len(look_at(word, CLIP).tokens) for word in words} == {1}
    assert not {"gps", "dvd", "hgtv", "bbc"} & set(suggestions(CLIP, 1000, seed=1))


def test_a_tokenizer_that_is_loaded_does_as_well():
    from transformers import AutoTokenizer

    raw = Tokenizer.from_file(str(CLIP / "tokenizer.json"))
    of_transformers = AutoTokenizer.from_pretrained(str(CLIP))
    for word in ("sks", "mydog"):
        assert look_at(word, raw) == look_at(word, of_transformers) == look_at(word, CLIP)


def test_folders_in_the_older_layout_are_read(own, tmp_path):
    for name in ("vocab.json", "merges.txt", "tokenizer_config.json"):
        shutil.copy(own / name, tmp_path / name)
    assert look_at("dog", tmp_path).tokens == look_at("dog", own).tokens
    assert look_at("zwx", tmp_path).rank == look_at("zwx", own).rank


def test_a_damaged_tokenizer_is_named(tmp_path):
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(ModelError, match="cannot be read"):
        look_at("sks", tmp_path)
    with pytest.raises(ModelError, match="cannot be read"):
        look_at("sks", tmp_path / "nowhere")


def test_templates_make_a_prompt_and_its_class():
    things, person, style = templates()
    assert things.filled("sks", "dog") == ("a photo of sks dog", "a photo of a dog")
    assert things.filled("sks", "apple") == ("a photo of sks apple", "a photo of an apple")
    assert person.filled("sks") == ("a photo of sks person", "a photo of a person")
    assert style.filled("sks") == ("a picture in the style of sks", "a picture")
    assert templates(("a photo of a cat",)) == templates()


def test_templates_of_a_small_world_are_like_its_prompts(embedded_id):
    examples = Catalogue(Path("/nonexistent")).get(embedded_id).examples
    things, style = templates(examples)
    assert things.filled("sks", "dog") == ("a sks dog", "a dog")
    assert things.filled("zwx", "owl") == ("a zwx owl", "an owl")
    assert style.filled("sks", "owl") == ("an owl in the style of sks", "an owl")
