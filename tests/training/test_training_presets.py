"""Presets: each is a request, says where its numbers come from, and the best fit comes first."""

import pytest

from studio.errors import NotFound
from studio.models.families import FAMILIES
from studio.requests import validated
from studio.training.presets import FOLDER, preset, presets
from studio.training.rate_table import group_of
from studio.training.toml_files import read_toml
from studio.training_requests import Method, TrainRequest

FILES = sorted(FOLDER.glob("*.toml"))
GB = 2**30
BASE = {"name": "n", "pictures": "p", "class_prompt": "a dog", "trigger": "sks"}


def names(family, method, gigabytes, sort="cuda"):
    return [each.name for each in presets(family, method, int(gigabytes * GB), sort)]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_each_is_a_request_and_names_its_source(file):
    text = file.read_text("utf-8")
    fields = read_toml(text)
    request = validated(TrainRequest, {**BASE, **fields})
    assert file.stem.endswith(f"-{request.method.value}")
    assert not fields.keys() & {"name", "model", "pictures", "prompt", "trigger", "class_prompt"}
    batch = request.micro_batch or request.batch_size
    assert request.batch_size % batch == 0, "so that all parts of a step are of one size"
    head = [line for line in text.splitlines() if line.startswith("#")]
    assert text.splitlines()[: len(head)] == head
    sources = ("https://", "our own", "benchmarks/readme.md")
    assert any(each in text.lower() for each in sources)
    assert max(map(len, text.splitlines())) <= 100


def test_there_is_one_for_each_family_and_method():
    groups = {group_of(family.key) for family in FAMILIES}
    assert {file.stem.partition("-")[0] for file in FILES} == groups
    for group in ("sd1", "sdxl", "sd3", "flux-dev", "sd"):
        for method in (Method.LORA, Method.DREAMBOOTH):
            assert names(group, method, 80), (group, method)
    for group in ("sd1", "sdxl", "sd"):
        for method in Method:
            assert names(group, method, 80), (group, method)


@pytest.mark.parametrize(
    ("family", "method", "gigabytes", "sort", "first"),
    [
        ("sd1", Method.LORA, 7.7, "cuda", "sd15-8gb-lora"),
        ("sd1", Method.LORA, 11, "cuda", "sd15-12gb-lora"),
        ("sd2", Method.LORA, 15.9, "cuda", "sd15-16gb-lora"),
        ("sd1-inpaint", Method.LORA, 23.6, "cuda", "sd15-24gb-lora"),
        ("sd1", Method.LORA, 80, "cuda", "sd15-24gb-lora"),
        ("sd1", Method.LORA, 64, "mps", "sd15-apple-lora"),
        ("sd1", Method.LORA, 64, "cpu", "sd15-cpu-lora"),
        ("sdxl", Method.LORA, 64, "mps", "sdxl-apple-lora"),
        ("sdxl", Method.DREAMBOOTH, 32, "mps", "sdxl-24gb-dreambooth"),
        ("sd1", Method.LORA, 4, "cuda", "sd15-cpu-lora"),
        ("sdxl", Method.LORA, 10, "cuda", "sdxl-8gb-lora"),
        ("sdxl", Method.LORA, 6, "cuda", "sdxl-8gb-lora"),
        ("sdxl", Method.FULL, 23.6, "cuda", "sdxl-24gb-full"),
        ("sdxl", Method.FULL, 12, "cuda", "sdxl-24gb-full"),
        ("sd1", Method.DREAMBOOTH, 44.5, "cuda", "sd15-48gb-dreambooth"),
        ("flux-schnell", Method.LORA, 24, "cuda", "flux-48gb-lora"),
        ("sd", Method.FULL, 8, "cpu", "small-cpu-full"),
        ("sd", Method.FULL, 8, "cuda", "small-cpu-full"),
    ],
)
def test_the_best_fit_comes_first(family, method, gigabytes, sort, first):
    assert names(family, method, gigabytes, sort)[0] == first


def test_what_asks_for_more_than_there_is_comes_last():
    assert names("sdxl", Method.LORA, 16) == [
        "sdxl-16gb-lora",
        "sdxl-12gb-lora",
        "sdxl-8gb-lora",
        "sdxl-24gb-lora",
        "sdxl-48gb-lora",
        "sdxl-apple-lora",
    ]
    assert [each.fits(16 * GB, "cuda") for each in presets("sdxl", Method.LORA, 16 * GB, "cuda")][
        :4
    ] == [True, True, True, False]


def test_a_preset_is_found_by_its_name():
    assert preset("sdxl-8gb-lora")["rank"] == 8
    assert preset("sd15-12gb") == preset("sd15-12gb-lora")
    assert preset("sd15-12gb-dreambooth")["learning_rate"] == 2e-6
    for wrong in ("sd15", "", "../sd15-12gb-lora", "sd15-12gb-lora.toml"):
        with pytest.raises(NotFound, match="There is no preset"):
            preset(wrong)


def test_what_is_given_out_is_ones_own():
    preset("sdxl-8gb-lora")["rank"] = 1
    assert preset("sdxl-8gb-lora")["rank"] == 8


def test_a_preset_says_what_it_is():
    first = presets("sdxl", Method.LORA, 8 * GB, "cuda")[0]
    assert first.title == "Stable Diffusion XL, LoRA, 8 GB"
    assert first.source.startswith('"Tips for SDXL training" in docs/train_SDXL-en.md of https')
    assert (first.sort, first.memory) == ("cuda", 8)
