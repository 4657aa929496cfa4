"""Settings made to hurt: circles, depth, huge numbers, letters that cannot be encoded."""

import contextlib
import json
import time

import pytest
from foreign_samples import COMFYUI, FOOOCUS, INVOKEAI, SWARMUI, imported
from hypothesis import given
from hypothesis import strategies as st

from studio.diffusion.metadata import comfyui
from studio.diffusion.metadata.files import read_text
from studio.errors import MetadataError
from studio.requests import GenerationRequest


def test_circles_in_a_graph_end():
    graph = {
        "1": {
            "class_type": "KSampler",
            "inputs": {
                "seed": ["2", 0],
                "steps": 4,
                "sampler_name": "euler",
                "scheduler": ["2", 0],
                "model": ["3", 0],
                "positive": ["3", 0],
                "negative": ["1", 0],
                "latent_image": ["1", 0],
            },
        },
        "2": {"class_type": "A", "inputs": {"value": ["4", 0]}},
        "3": {"class_type": "B", "inputs": {"model": ["3", 0], "conditioning": ["1", 0]}},
        "4": {"class_type": "C", "inputs": {"value": ["2", 0]}},
    }
    found = imported("prompt", graph)
    assert found.fields["steps"] == 4
    assert "seed" not in found.fields


def test_large_graphs_take_no_time():
    links = {
        str(n): {
            "class_type": "R",
            "inputs": {"conditioning": [str(n + 1), 0], "model": [str(n + 1), 0]},
        }
        for n in range(10_000)
    }
    samplers = {
        f"s{n}": {
            "class_type": "KSampler",
            "inputs": {"sampler_name": "euler", "positive": ["0", 0], "latent_image": ["0", 0]},
        }
        for n in range(2_000)
    }
    began = time.perf_counter()
    comfyui.load(links | samplers, "")
    assert time.perf_counter() - began < 5


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        '{"a":' * 100_000,
        '{"1": {"class_type": "KSampler", "inputs": ' + '{"a":' * 5_000,
        '{"steps": ' + "9" * 5_000 + "}",
        '{"sui_image_params": {"steps": NaN, "cfgscale": Infinity, "seed": -Infinity}}',
        '{"sui_image_params": {"steps": [[[]]], "prompt": 3, "width": {}, "height": true}}',
        '{"sui_image_params": []}',
        '{"positive_prompt": null, "loras": {"a": 1}, "model": []}',
        '{"positive_prompt": {}, "clip_skip": 1e999}',
        '{"metadata_scheme": 1, "resolution": "(1, 2, 3)", "loras": [[], [1, 2], 3]}',
        '{"1": {"class_type": "KSampler"}}',
        '{"1": {"class_type": "SamplerCustom", "inputs": {"sigmas": [[], 0], "noise": ["1", 0]}}}',
        '{"1": {"class_type": 5, "inputs": {"a": [1, 2, 3]}}}',
    ],
)
def test_hostile_settings_are_refused_in_words(text):
    for key in ("parameters", "prompt", "invokeai_metadata", "sd-metadata", "atelier"):
        with contextlib.suppress(MetadataError):
            # A graph or object of nonsense may still carry an empty prompt; no more than that.
            assert set(imported(key, text).fields.values()) <= {""}


def test_huge_numbers_are_left_out():
    params = SWARMUI["sui_image_params"] | {
        "steps": 10**4000,
        "seed": 10**4000,
        "cfgscale": "1e400",
    }
    found = imported("parameters", {"sui_image_params": params})
    assert not {"steps", "seed", "cfg_scale"} & found.fields.keys()
    assert all(len(note) < 300 for note in found.notes)


def test_what_is_shown_can_be_encoded():
    data = {"sui_image_params": {"prompt": "a\ud800b", "model": "\udfff", "vae": "\ud800\x00"}}
    found = read_text(json.dumps(data))
    for text in (found.text, found.model_name, found.fields["prompt"], *found.notes):
        assert text.encode("utf-8")


KEYS = [
    *(*SWARMUI, *SWARMUI["sui_image_params"], *FOOOCUS, *INVOKEAI, *COMFYUI["3"]["inputs"]),
    *("1", "2", "inputs", "class_type", "text", "text_g", "request", "image"),
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(KEYS), inner | st.just(["1", 0]) | st.just("KSampler"), max_size=6
        )
    ),
    max_leaves=30,
)


@given(JSON)
def test_any_json_gives_fields_or_one_error(data):
    try:
        found = read_text(json.dumps(data))
    except MetadataError:
        return
    GenerationRequest(**found.fields)
