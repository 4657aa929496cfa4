"""Windows are those that transformers' tokenizers make, for every architecture."""

from itertools import pairwise

import numpy as np
import pytest
from tiny_readers import ARCHITECTURES, TEXT, make_reader

from studio.errors import RequestError
from studio.models.readers import load_reader
from studio.reader.windows import Encoder

QUESTION = "Who built the old bridge of the city?"
PASSAGE = TEXT * 4 + "Cafe\u0301 au lait 🌉 \r\n" + TEXT * 3


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    made = {}

    def get(architecture):
        if architecture not in made:
            folder = tmp_path_factory.mktemp("readers") / architecture
            made[architecture] = load_reader(make_reader(folder, architecture))
        return made[architecture]

    return get


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("passage", [TEXT, PASSAGE], ids=["one", "many"])
def test_windows_are_those_of_the_tokenizer(loaded, architecture, passage):
    tokenizer = loaded(architecture).tokenizer
    encoder = Encoder(tokenizer, 512, max_length=128, overlap=40)
    tokens = encoder.tokens(passage)
    windows = encoder.windows(encoder.tokens(QUESTION), tokens)
    theirs = tokenizer(
        QUESTION,
        passage,
        truncation="only_second",
        max_length=128,
        stride=40,
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
        return_token_type_ids=True,
    )
    tokenizer.backend_tokenizer.no_truncation()
    assert [w.ids.tolist() for w in windows] == theirs["input_ids"]
    if "token_type_ids" in tokenizer.model_input_names:  # the others' are of no use, and vary
        assert [w.types.tolist() for w in windows] == theirs["token_type_ids"]
    assert (len(windows) > 3) == (passage is PASSAGE)
    for number, window in enumerate(windows):
        whose = np.array([-1 if s is None else s for s in theirs.sequence_ids(number)])
        inside = np.flatnonzero(whose == 1)
        assert (inside[0], inside[-1] + 1) == (window.at, window.at + window.last - window.first)
        offsets = np.array(theirs["offset_mapping"][number])[inside]
        assert offsets[:, 0].tolist() == tokens.starts[window.first : window.last].tolist()
        assert offsets[:, 1].tolist() == tokens.ends[window.first : window.last].tolist()
        assert window.ids[window.null] == tokenizer.cls_token_id


def test_a_tokenizers_own_truncation_does_not_cut_passages(loaded):
    tokenizer = loaded("bert").tokenizer
    tokenizer.backend_tokenizer.enable_truncation(16)
    tokenizer.backend_tokenizer.enable_padding(length=32)
    encoder = Encoder(tokenizer, 512)
    assert len(encoder.tokens(PASSAGE)) > 200
    assert encoder.tokens(PASSAGE).ends[-1] <= len(PASSAGE)


def test_many_texts_have_the_tokens_of_each(loaded):
    encoder = Encoder(loaded("roberta").tokenizer, 512)
    for one, many in zip(
        (encoder.tokens(text) for text in (TEXT, QUESTION, "")),
        encoder.many([TEXT, QUESTION, ""]),
        strict=True,
    ):
        assert one.ids.tolist() == many.ids.tolist()
        assert one.starts.tolist() == many.starts.tolist()


def test_an_empty_passage_has_one_window_without_a_passage(loaded):
    encoder = Encoder(loaded("bert").tokenizer, 512)
    (window,) = encoder.windows(encoder.tokens(QUESTION), encoder.tokens(""))
    assert (window.first, window.last) == (0, 0)


def test_a_question_without_room_for_a_passage_is_refused(loaded):
    encoder = Encoder(loaded("bert").tokenizer, 512, max_length=64)
    with pytest.raises(RequestError, match="takes at most 45; ask more briefly") as refused:
        encoder.windows(encoder.tokens("who " * 46), encoder.tokens(TEXT))
    assert refused.value.field == "question"
    assert encoder.windows(encoder.tokens("who " * 45), encoder.tokens(TEXT))


@pytest.mark.parametrize("overlap", [40, 128])
def test_of_a_window_at_least_half_is_new_however_long_the_question_is(loaded, overlap):
    encoder = Encoder(loaded("bert").tokenizer, 512, max_length=64, overlap=overlap)
    tokens = encoder.tokens(PASSAGE)
    windows = encoder.windows(encoder.tokens(QUESTION), tokens)
    assert windows[-1].last == len(tokens)
    for a, b in pairwise(windows):
        assert a.first + (a.last - a.first) // 2 <= b.first <= a.last
    assert len(windows) <= 2 * len(tokens) / (windows[0].last - windows[0].first)


def test_half_of_a_pair_moves_no_place(loaded):
    encoder = Encoder(loaded("bert").tokenizer, 512)
    broken = "the old \ud83c bridge"
    sound = encoder.tokens("the old \ufffd bridge")
    (many,) = encoder.many([broken])
    for found in (encoder.tokens(broken), many):
        assert found.ids.tolist() == sound.ids.tolist()
        assert broken[found.starts[-1] : found.ends[-1]] == "bridge"
