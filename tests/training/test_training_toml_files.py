"""The TOML file of a training: what is written is read back, and what is wrong is named."""

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from studio.errors import RequestError
from studio.requests import validated
from studio.training.toml_files import LONGEST, read_toml, table_of, toml_value, write_toml
from studio.training_requests import (
    TABLES,
    CaptionSource,
    Layers,
    Method,
    Optimiser,
    Precision,
    RateSchedule,
    TrainRequest,
)

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
PROMPT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=80)
NUMBERS = st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False)
VALUES = st.booleans() | NUMBERS | TEXT


def maybe(strategy):
    return st.none() | strategy


REQUESTS = st.builds(
    TrainRequest,
    name=st.from_regex(r"\A[a-z](?:[a-z .+-]{0,20}[a-z])?\Z"),
    method=st.sampled_from([Method.LORA, Method.DREAMBOOTH, Method.FULL]),
    model=st.text(st.characters(exclude_categories=["Cs"]), max_size=30),
    processes=st.integers(1, 64),
    pictures=st.just("my dog"),
    prompt=PROMPT.map(str.strip),
    trigger=PROMPT.map(str.strip),
    captions=st.sampled_from(CaptionSource),
    resolution=maybe(st.integers(64, 2048)),
    flip=st.booleans(),
    caption_dropout=st.floats(0, 1),
    held_out=maybe(st.floats(0, 0.5)),
    preservation=st.booleans(),
    class_prompt=st.just("a dog\nwith \"quotes\" and \\ and 'more'"),
    class_pictures=maybe(st.integers(1, 2000)),
    rank=st.integers(1, 1024),
    alpha=maybe(st.floats(1e-12, 4096)),
    layers=st.sampled_from(Layers),
    steps=maybe(st.integers(1, 10**6)),
    learning_rate=maybe(st.floats(1e-300, 0.1)),
    optimiser=st.sampled_from(Optimiser),
    schedule=st.sampled_from(RateSchedule),
    precision=st.sampled_from(Precision),
    checkpointing=maybe(st.booleans()),
    seed=st.integers(0, 2**32 - 1),
    sample_prompts=st.lists(PROMPT, max_size=16).map(tuple),
    sample_every=maybe(st.integers(0, 10**6)),
)


@given(VALUES | st.lists(VALUES, max_size=5))
def test_a_value_comes_back_from_toml_as_it_was(value):
    back = tomllib.loads(f"it = {toml_value(value)}\n")["it"]
    assert back == value
    assert type(back) is type(value)


@given(REQUESTS)
def test_a_request_comes_back_from_its_file(request):
    assert validated(TrainRequest, read_toml(write_toml(request))) == request


def test_values_without_a_place_in_toml_are_refused():
    with pytest.raises(TypeError, match="NoneType has no place"):
        toml_value(None)


def test_half_of_a_pair_does_not_make_a_file_that_nobody_can_save():
    assert toml_value("a\ud800b") == '"a?b"'


def test_the_file_says_what_each_setting_is_and_what_is_derived():
    text = write_toml(TrainRequest(name="rex", pictures="my dog", rank=8))
    lines = text.splitlines()
    assert lines.index('name = "rex"') < lines.index('method = "lora"') < lines.index("[pictures]")
    assert "# steps = (derived)" in lines
    assert "# One of constant, linear, cosine, cosine-restarts, polynomial." in lines
    assert "# held_out: share of the pictures that are kept for measuring alone, left out" in text
    assert not any(line.startswith("steps") for line in lines)
    assert "None" not in text
    assert max(map(len, lines)) <= 100
    assert 'owner = "' not in text
    assert "kind" not in tomllib.loads(text)


def test_every_setting_stands_in_the_file_once():
    lines = write_toml(TrainRequest(name="rex", pictures="my dog")).splitlines()
    for field in set(TrainRequest.model_fields) - {"kind", "owner"}:
        assert sum(line.removeprefix("# ").startswith(f"{field} = ") for line in lines) == 1, field


def test_a_file_may_give_a_part_only():
    assert read_toml("") == {}
    assert read_toml("[shape]\nrank = 8\n[learning]\nlearning_rate = 1\n") == {
        "rank": 8,
        "learning_rate": 1,
    }


def test_each_field_has_one_table():
    assert [table_of(name) for name in ("name", "prompt", "alpha", "seed", "judge")] == [
        "",
        "pictures",
        "shape",
        "learning",
        "watching",
    ]
    for kind in TABLES:
        assert {table_of(field) for field in kind.model_fields} == {kind.__name__.lower()}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("rank = 8", "'rank' stands at the top, but belongs in [shape]; move it there."),
        (
            "[pictures]\nsample_steps = 3",
            "'sample_steps' stands in [pictures], but belongs in [watching]; move it there.",
        ),
        ("[prior]\nrnak = 8", "'rnak' in [prior] is no setting of a training; known there are pre"),
        ('owner = "me"', "'owner' at the top is no setting of a training; known there are name, m"),
        ("[shap]\nrank = 8", "[shap] is no table of a training; known are [pictures], [prior],"),
        ("shape = 3", "shape is 3, but is to be a table: write [shape] on a line of its own"),
        ("[[shape]]\nrank = 8", "shape is [{'rank': 8}], but is to be a table"),
        ('[shape]\nrank = "8"', "Rank in [shape] must be a valid integer, but is '8'."),
        ("[shape]\nrank = 8.5", "Rank in [shape] must be a valid integer, but is 8.5."),
        ("[shape]\nrank = true", "Rank in [shape] must be a valid integer, but is True."),
        ("[shape]\nrank = 0", "Rank in [shape] must be greater than or equal to 1, but is 0."),
        ("[shape]\nrank = 2020-01-01", "Rank in [shape] is a date or a time, which no setting is"),
        ("[shape.rank]\nit = 1", "Rank in [shape] is a table, which no setting is"),
        ("[pictures]\nflip = 1", "Flip in [pictures] must be a valid boolean, but is 1."),
        ('[learning]\noptimiser = "adam"', "Optimiser in [learning] must be 'adamw', 'adamw-8bit'"),
        ("[learning]\nlearning_rate = nan", "Learning rate in [learning] must be "),
        ("[watching]\nsample_prompts = [1]", "Sample prompts in [watching] must be a valid string"),
        ('method = "lore"', "Method at the top must be 'lora', 'dreambooth', 'textual-inversion' "),
        ('[pictures]\npictures = "../x"', "Pictures in [pictures] must match pattern"),
        ("rank =", "The settings are no TOML: Invalid value (at end of document); correct"),
        ("name = 'a'\nname = 'b'", "The settings are no TOML: Cannot overwrite a value (at end of"),
        ("x = " + "[" * 10_000, "The settings are no TOML: too many brackets"),
        ("#" * (LONGEST + 1), "The settings have 1,000,001 characters, but at most 1,000,000"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(text, says):
    with pytest.raises(RequestError) as refused:
        read_toml(text)
    assert str(refused.value).startswith(says)
    assert str(refused.value).endswith(".")


def test_what_goes_together_is_asked_of_the_whole_request():
    fields = read_toml('name = "x"\n[pictures]\npictures = "p"\n[prior]\npreservation = true\n')
    with pytest.raises(RequestError, match="Class prompt is empty"):
        validated(TrainRequest, fields)
