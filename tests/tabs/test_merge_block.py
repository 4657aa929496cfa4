"""Merging on the Models tab: its lists, its forms, a job from the press to the end, and a stop."""

import time
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
import torch
from making import sibling
from safetensors.torch import save_file

from studio.events import Progress
from studio.model_requests import BakeRequest, ExtractRequest, MergeRequest, ResizeRequest
from studio.models.catalogue import Catalogue
from tabs import models
from tabs.blocks import fetch, merge

REQUESTS = {
    "merge": MergeRequest,
    "extract": ExtractRequest,
    "bake": BakeRequest,
    "resize": ResizeRequest,
}
KEY = "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.lora_A.weight"


@pytest.fixture
def root(settings, embedded_id) -> Path:
    folder = settings.data_dir / "models"
    folder.mkdir(parents=True, exist_ok=True)
    source = Catalogue(Path("/nonexistent")).get(embedded_id).path
    sibling(source, folder / "other", seed=1, size=0.01)
    return folder


@pytest.fixture
def view(parts) -> merge.Making:
    return parts.models.merge


@pytest.fixture
def handlers(services, view) -> merge.MergeHandlers:
    return merge.MergeHandlers(services, view)


@pytest.fixture
def told(monkeypatch) -> list[str]:
    said: list[str] = []
    for kind in ("Info", "Warning"):
        monkeypatch.setattr(gr, kind, lambda text, **more: said.append(text))
    return said


def asked(view: merge.Making, way: str, **fields: Any) -> dict[Any, Any]:
    """What the page sends: the values of all four forms, these fields in the one."""
    values = {c: c.value for form in view.forms.values() for c in form.fields.values()}
    values |= {view.forms[way].fields[name]: value for name, value in fields.items()}
    return values | {view.way: way}


@pytest.mark.parametrize(("way", "request_type"), REQUESTS.items())
def test_every_field_of_a_request_has_a_control(view, way, request_type):
    assert set(view.forms[way].fields) == set(request_type.model_fields) - {"kind"}


def test_a_control_begins_with_its_fields_default(view):
    for form, request_type in zip(view.forms.values(), REQUESTS.values(), strict=True):
        for name, component in form.fields.items():
            field = request_type.model_fields[name]
            if not field.is_required() and name != "strengths":
                assert component.value == field.default, name


def test_the_lists_are_those_of_now(handlers, view, root, embedded_id):
    save_file({KEY: torch.zeros(4, 768)}, root / "ink.safetensors")
    filled = dict(zip((field for _, field in merge.pickers(view)), handlers.lists(), strict=True))
    assert {value for _, value in filled["model_a"].choices} == {embedded_id, "other"}
    assert ("none", "") in filled["model_c"].choices
    assert filled["loras"].choices == filled["lora"].choices == [("ink", "ink")]


def test_only_what_is_wanted_is_shown(handlers):
    assert [group.visible for group in handlers.choose("bake")] == [False, False, True, False]
    for method, shown in (
        ("weighted sum", [False, False, False]),
        ("add difference", [True, False, False]),
        ("weighted sum of three", [True, True, True]),
    ):
        third, _, weight, blocks = handlers.choose_method(method)
        assert [third.visible, weight.visible, blocks.visible] == shown
    for method, value, shown in (
        ("fixed", 0.9, False),
        ("sv_fro", 0.9, True),
        ("sv_ratio", 10, True),
        ("nonsense", 0.9, False),
    ):
        share = handlers.choose_ranks(method)
        assert (share.value, share.visible) == (value, shown)
        assert bool(share.info) is shown


def test_a_merge_from_the_press_to_the_list(
    handlers, view, services, root, embedded_id, told, parts
):
    fields = {"name": " mix ", "model_a": embedded_id, "model_b": "other", "blocks": "grad v"}
    own = handlers.submit(asked(view, "merge", **fields))
    (job,) = services.queue.unended("merge")
    assert services.queue.request(job).blocks.startswith("0.5, ")
    services.maker.start()
    lines = [text for text, _ in handlers.follow(own)]
    assert lines[-1] == ""
    assert told == ["mix is here."]
    tab = models.Handlers(services, parts.models)
    assert "mix" in [row["title"] for row in tab.listed("", "model", None)["items"]]

    class Pressed:
        kind, id = "model", "mix"

    facts = tab.pick(Pressed())[parts.models.facts]
    assert "<dt>made</dt><dd>weighted sum by block: A " in facts


def test_a_lora_is_extracted_and_baked(handlers, view, services, root, embedded_id, told):
    services.maker.start()
    fields = {"name": "learnt", "tuned": "other", "base": embedded_id, "rank": 4}
    list(handlers.follow(handlers.submit(asked(view, "extract", **fields))))
    assert told[-1] == "learnt is here."
    given = {"name": "baked", "model": embedded_id, "loras": ["learnt"], "strengths": "0.5"}
    list(handlers.follow(handlers.submit(asked(view, "bake", **given))))
    assert told[-1] == "baked is here."
    assert services.catalogue.get("baked").problem == ""


def test_a_lora_is_resized(handlers, view, services, root, told):
    layer = KEY.removesuffix(".lora_A.weight")
    state = {KEY: torch.eye(4, 768), f"{layer}.lora_B.weight": torch.eye(320, 4)}
    save_file(state, root / "ink.safetensors")
    services.maker.start()
    # What an emptied box sends for the rank of convolutions.
    fields = {"name": "small", "lora": "ink", "rank": 1, "conv_rank": 0}
    list(handlers.follow(handlers.submit(asked(view, "resize", **fields))))
    assert told == [
        "The LoRA had rank 4 and has rank 1; it keeps 50.0% of its norm.",
        "small is here.",
    ]
    assert services.catalogue.loras.get("small").path == root / "loras" / "small.safetensors"


def test_what_cannot_be_done_is_said(handlers, view, root, embedded_id):
    for way, fields, words in (
        ("merge", {"name": "a/b", "model_a": "other", "model_b": "other"}, "Name must match"),
        ("merge", {"name": "new"}, "Model a must have at least 1 character"),
        ("merge", {"name": "new", "model_a": "other", "model_b": "../x"}, "not installed"),
        ("bake", {"name": "new", "model": "other"}, "Loras"),
        ("bake", {"name": "new", "model": "other", "loras": ["x"], "strengths": "a"}, "Strengths"),
        ("extract", {"name": "other", "tuned": "other", "base": embedded_id}, "other"),
        ("resize", {"name": "new"}, "Lora must have at least 1 character"),
        ("resize", {"name": "new", "lora": "../x"}, "not installed"),
        ("resize", {"name": "new", "lora": "x", "rank": 0}, "Rank must be greater than"),
        ("resize", {"name": "new", "lora": "x", "rank": None}, "Rank must be a valid integer"),
        ("resize", {"name": "new", "lora": "x", "method": "sv_ratio"}, "Share must be more than 1"),
    ):
        with pytest.raises(gr.Error, match=words):
            handlers.submit(asked(view, way, **fields))
    with pytest.raises(gr.Error, match="no way 'x'"):
        handlers.submit(asked(view, "merge") | {view.way: "x"})


def test_a_job_that_waits_is_stopped(handlers, view, services, root, embedded_id):
    fields = {"name": "mix", "model_a": embedded_id, "model_b": "other"}
    handlers.submit(asked(view, "merge", **fields))
    handlers.cancel()
    assert services.queue.unended("merge") == []
    handlers.cancel()
    assert not (root / "mix").exists()


def test_neither_pictures_nor_downloads_wait_for_it(handlers, view, services, root, embedded_id):
    handlers.submit(asked(view, "merge", name="mix", model_a=embedded_id, model_b="other"))
    services.fetcher.start()
    services.worker.start()
    time.sleep(0.3)
    assert len(services.queue.unended("merge")) == 1, "it is neither's"
    services.maker.start()
    deadline = time.monotonic() + 30
    while services.queue.unended("merge") and time.monotonic() < deadline:
        time.sleep(0.02)
    assert services.catalogue.get("mix").problem == ""


def test_how_far_it_is():
    event = Progress(step=3, steps=12, item=1, items=1, unit="tensor", seconds_left=5)
    line = fetch.shown("<mix>", event)
    assert "&lt;mix&gt;</b> 3 of 12 tensor, 5 s left" in line
