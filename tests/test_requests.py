"""Requests: limits, one sentence for each refusal, and the way through JSON and back."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from studio.errors import RequestError
from studio.requests import (
    PROMPT_LIMIT,
    SEED_LIMIT,
    GenerationRequest,
    ImageFormat,
    Sampler,
    Schedule,
    label,
    validated,
)


def refusal(fields: object) -> RequestError:
    """What a request is refused with: one short sentence."""
    with pytest.raises(RequestError) as caught:
        validated(GenerationRequest, fields)
    message = str(caught.value)
    assert "\n" not in message
    assert message.endswith(".")
    assert message[0].isupper() or message[0] == "'"
    assert len(message) < 500
    return caught.value


def test_nothing_has_to_be_given():
    request = validated(GenerationRequest, {})
    assert request.seed == -1
    assert request.image_count == 1
    assert request.width is None
    assert request.kind == "generate"


@pytest.mark.parametrize(
    ("field", "least", "most"),
    [
        ("steps", 1, 150),
        ("cfg_scale", 1, 30),
        ("width", 64, 2048),
        ("height", 64, 2048),
        ("seed", -1, SEED_LIMIT),
        ("batch_size", 1, 16),
        ("batch_count", 1, 100),
        ("clip_skip", 1, 12),
        ("variation_seed", -1, SEED_LIMIT),
        ("variation_strength", 0, 1),
        ("preview_every", 0, 50),
    ],
)
def test_limits(field, least, most):
    for value in (least, most):
        assert getattr(validated(GenerationRequest, {field: value}), field) == value
    for value, limit in ((least - 1, least), (most + 1, most)):
        error = refusal({field: value})
        assert error.field == field
        assert str(error).startswith(label(field))
        assert str(limit) in str(error)
        assert str(value) in str(error)


def test_seeds_stay_exact_in_a_browser():
    assert int(float(SEED_LIMIT)) == SEED_LIMIT
    assert float(SEED_LIMIT) != float(SEED_LIMIT - 1)


def test_steps_0():
    error = refusal({"steps": 0})
    assert str(error) == "Steps must be greater than or equal to 1, but is 0."


def test_an_unknown_sampler_is_told_the_known_ones():
    error = refusal({"sampler": "Euler b"})
    assert error.field == "sampler"
    assert "'Euler b'" in str(error)
    for sampler in Sampler:
        assert f"'{sampler}'" in str(error)


def test_an_unknown_schedule_and_format():
    assert "'Karras'" in str(refusal({"schedule": "karras!"}))
    assert "'webp'" in str(refusal({"image_format": "tiff"}))


def test_a_prompt_of_ten_megabytes_is_not_repeated_in_the_answer():
    error = refusal({"prompt": "ab" * 5_000_000})
    assert error.field == "prompt"
    assert "20000" in str(error)
    assert "10,000,000 characters" in str(error)
    assert len(str(error)) < 200


@pytest.mark.parametrize("field", ["prompt", "negative_prompt"])
def test_a_prompt_may_be_as_long_as_its_limit(field):
    text = "x" * PROMPT_LIMIT
    assert getattr(validated(GenerationRequest, {field: text}), field) == text
    assert refusal({field: text + "x"}).field == field


def test_an_unknown_field_is_named_with_the_known_ones():
    error = refusal({"promt": "a red apple"})
    assert error.field == "promt"
    assert "'promt'" in str(error)
    assert "negative_prompt" in str(error)


def test_the_name_of_an_unknown_field_is_not_repeated_at_length():
    assert "1,000,000 characters" in str(refusal({"x" * 1_000_000: 1}))


@pytest.mark.parametrize("field", ["prompt", "negative_prompt"])
def test_a_nul_is_refused(field):
    error = refusal({field: "a\0b"})
    assert str(error) == f"{label(field)} contains a NUL character."
    assert error.field == field


def test_line_ends_are_made_alike():
    assert validated(GenerationRequest, {"prompt": "a\r\nb\nc"}).prompt == "a\nb\nc"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("steps", "many"),
        ("steps", 1.5),
        ("steps", None),
        ("steps", []),
        ("steps", 10**400),
        ("cfg_scale", math.nan),
        ("cfg_scale", math.inf),
        ("variation_strength", math.nan),
        ("width", "100px"),
        ("prompt", 5),
        ("prompt", {"a": 1}),
        ("prompt", "\ud800"),
        ("model", "m" * 201),
        ("kind", "train"),
        ("seed", "0x10"),
    ],
)
def test_values_of_the_wrong_sort_get_a_sentence(field, value):
    assert refusal({field: value}).field == field


@pytest.mark.parametrize("fields", [[], "text", None, 5, [1] * 1000])
def test_what_is_no_set_of_fields_gets_a_sentence(fields):
    assert refusal(fields).field == ""


def test_numbers_in_text_are_read_as_forms_send_them():
    request = validated(GenerationRequest, {"steps": "12", "cfg_scale": "4.5", "seed": "7"})
    assert (request.steps, request.cfg_scale, request.seed) == (12, 4.5, 7)


def test_a_request_is_frozen():
    request = GenerationRequest()
    with pytest.raises(ValidationError, match="frozen"):
        request.steps = 3


def test_image_count():
    assert GenerationRequest(batch_size=3, batch_count=4).image_count == 12


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r"), max_size=50)
SEEDS = st.integers(-1, SEED_LIMIT)
REQUESTS = st.builds(
    GenerationRequest,
    model=TEXT,
    prompt=TEXT,
    negative_prompt=TEXT,
    sampler=st.sampled_from(Sampler),
    schedule=st.sampled_from(Schedule),
    steps=st.integers(1, 150),
    cfg_scale=st.none() | st.floats(1, 30),
    width=st.none() | st.integers(64, 2048),
    height=st.none() | st.integers(64, 2048),
    seed=SEEDS,
    batch_size=st.integers(1, 16),
    batch_count=st.integers(1, 100),
    clip_skip=st.integers(1, 12),
    variation_seed=SEEDS,
    variation_strength=st.floats(0, 1),
    preview_every=st.integers(0, 50),
    image_format=st.sampled_from(ImageFormat),
)


@given(REQUESTS)
def test_json_and_back(request):
    assert GenerationRequest.model_validate_json(request.model_dump_json()) == request
    assert validated(GenerationRequest, request.model_dump(mode="json")) == request


def test_labels_are_as_people_read_them():
    assert label("cfg_scale") == "CFG scale"
    assert label("negative_prompt") == "Negative prompt"
