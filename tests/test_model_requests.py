"""Requests for new models: limits, names, and strengths as people write them."""

import pytest

from studio.errors import RequestError
from studio.model_requests import (
    BakeRequest,
    ExtractRequest,
    MergeRequest,
    ResizeRequest,
    StoredAs,
)
from studio.requests import Request, validated

MERGE = {"name": "new", "model_a": "a", "model_b": "b"}
EXTRACT = {"name": "new", "tuned": "a", "base": "b"}
BAKE = {"name": "new", "model": "a", "loras": ["x", "y"]}
RESIZE = {"name": "new", "lora": "x"}


@pytest.mark.parametrize(
    ("kind", "fields", "field", "least", "most"),
    [
        (MergeRequest, MERGE, "weight", 0, 1),
        (MergeRequest, MERGE, "weight_c", 0, 1),
        (ExtractRequest, EXTRACT, "rank", 1, 1024),
        (ExtractRequest, EXTRACT, "clamp", 0.5, 1),
        (ResizeRequest, RESIZE, "rank", 1, 4096),
    ],
)
def test_limits(kind: type[Request], fields: dict, field: str, least: float, most: float) -> None:
    for value in (least, most):
        assert getattr(validated(kind, {**fields, field: value}), field) == value
    for value in (least - 0.1, most + 1, float("nan"), "x", None):
        with pytest.raises(RequestError) as caught:
            validated(kind, {**fields, field: value})
        assert caught.value.field == field


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (MergeRequest, MERGE),
        (ExtractRequest, EXTRACT),
        (BakeRequest, BAKE),
        (ResizeRequest, RESIZE),
    ],
)
def test_they_go_through_json_and_unknown_fields_are_refused(
    kind: type[Request], fields: dict
) -> None:
    request = validated(kind, fields)
    assert kind.model_validate_json(request.model_dump_json()) == request
    with pytest.raises(RequestError, match="no setting of this request"):
        validated(kind, {**fields, "path": "/etc"})
    for missing in fields:
        with pytest.raises(RequestError):
            validated(kind, {k: v for k, v in fields.items() if k != missing})


def test_an_ending_is_no_part_of_a_name() -> None:
    assert validated(MergeRequest, {**MERGE, "name": " mix.safetensors "}).name == "mix"


@pytest.mark.parametrize(
    ("strengths", "worn"),
    [
        ("", (1, 1)),
        ("0.5", (0.5, 0.5)),
        ("0.5, -1", (0.5, -1)),
        ([0.25, 2], (0.25, 2)),
    ],
)
def test_strengths(strengths: object, worn: tuple[float, float]) -> None:
    request = validated(BakeRequest, {**BAKE, "strengths": strengths})
    assert request.worn == (("x", worn[0]), ("y", worn[1]))


@pytest.mark.parametrize("strengths", ["1 2 3", "11", "much", [1, 2, 3]])
def test_strengths_that_are_none(strengths: object) -> None:
    with pytest.raises(RequestError, match="trengths"):
        validated(BakeRequest, {**BAKE, "strengths": strengths})


def test_a_lora_is_stored_in_a_format_of_its_own() -> None:
    assert validated(ExtractRequest, EXTRACT).stored is StoredAs.FLOAT16
    with pytest.raises(RequestError):
        validated(ExtractRequest, {**EXTRACT, "stored": "same"})


@pytest.mark.parametrize("rank", [0, -1, 4097, 2.5, "x"])
def test_ranks_of_convolutions_that_are_none(rank: object) -> None:
    assert validated(ResizeRequest, {**RESIZE, "conv_rank": None}).conv_rank is None
    with pytest.raises(RequestError, match="Conv rank must be") as caught:
        validated(ResizeRequest, {**RESIZE, "conv_rank": rank})
    assert caught.value.field == "conv_rank"


@pytest.mark.parametrize(
    ("method", "good", "wrong", "words"),
    [
        ("fixed", 5, 0, "Share must be greater than 0"),
        ("sv_fro", 1, 1.5, "Share must be at most 1 for sv_fro, but is 1.5."),
        ("sv_cumulative", 0.1, 2, "Share must be at most 1 for sv_cumulative, but is 2."),
        ("sv_ratio", 1.5, 1, "Share must be more than 1 for sv_ratio, but is 1."),
        ("sv_fro", 0.9, float("nan"), "Share must be less than or equal to 10000"),
        ("sv_ratio", 10_000, 10_001, "Share must be less than or equal to 10000"),
    ],
)
def test_shares_are_of_their_method(method: str, good: float, wrong: float, words: str) -> None:
    assert validated(ResizeRequest, {**RESIZE, "method": method, "share": good}).share == good
    with pytest.raises(RequestError, match=words) as caught:
        validated(ResizeRequest, {**RESIZE, "method": method, "share": wrong})
    assert caught.value.field == "share"


def test_a_ratio_needs_a_share_of_its_own() -> None:
    with pytest.raises(RequestError, match="more than 1 for sv_ratio, but is 0"):
        validated(ResizeRequest, {**RESIZE, "method": "sv_ratio"})
