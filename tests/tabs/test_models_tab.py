"""The Models tab: rows, what is known of one, and what its buttons do."""

import time
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
import torch
from safetensors.torch import save_file

from studio.events import Finished, Progress, Queued
from tabs import models
from tabs.blocks import fetch

KEY = "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.lora_A.weight"


@pytest.fixture
def root(settings) -> Path:
    folder = settings.data_dir / "models"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture
def tab(services, parts) -> models.Handlers:
    return models.Handlers(services, parts.models)


@pytest.fixture
def view(parts) -> models.ModelsView:
    return parts.models


def put(root: Path, name: str) -> tuple[str, str]:
    save_file({KEY: torch.zeros(4, 768)}, root / f"{name}.safetensors")
    return "LoRA", f"{name}.safetensors"


class Pressed:
    """A row that was pressed."""

    def __init__(self, kind: Any, id: Any):
        self.kind, self.id = kind, id


def test_rows_by_kind_and_words(tab, root, services):
    for name in ("ink wash", "oil", "<b>"):
        put(root, name)
    everything = tab.listed("", "", None)["items"]
    assert [row["title"] for row in everything] == [
        services.catalogue.get("").title,
        "<b>",
        "ink wash",
        "oil",
        services.readers.get("").id,
    ]
    assert everything[0]["standard"]
    assert [row["title"] for row in tab.listed("WASH diffusion", "LoRA", None)["items"]] == [
        "ink wash"
    ]
    assert tab.listed("nothing", "", None)["empty"] == "Nothing matches."
    assert tab.listed("", "VAE", None)["items"] == []


def test_of_very_many_rows_the_first_are_shown(tab, root, monkeypatch):
    monkeypatch.setattr(models, "SHOWN", 2)
    for name in "abcd":
        put(root, name)
    shown = tab.listed("", "", None)
    assert len(shown["items"]) == 2
    assert shown["more"] == "4 more; search to see them."


def test_what_is_known_of_a_model(tab, view, services, embedded_id):
    told = tab.pick(Pressed("model", embedded_id))
    assert told[view.picked] == ("model", embedded_id)
    for words in (services.catalogue.get("").title, "ships with the studio", "128 × 128", "folder"):
        assert words in told[view.facts]
    assert told[view.load].visible
    assert not told[view.trash].visible
    assert not told[view.about].visible


def test_what_is_known_of_a_lora(tab, view, root):
    told = tab.pick(Pressed(*put(root, "<i>")))
    assert "&lt;i&gt;" in told[view.facts]
    assert "<i>" not in told[view.facts]
    assert not told[view.load].visible
    assert told[view.use].visible
    assert told[view.trash].visible


def test_a_damaged_one_says_why(tab, view, root):
    (root / "old.ckpt").write_bytes(b"x")
    told = tab.pick(Pressed("model", "old"))
    assert "is a pickle" in told[view.facts]
    assert not any(told[button].visible for button in (view.use, view.load, view.standard))
    assert told[view.trash].visible


@pytest.mark.parametrize("kind", [None, "model", 3, "LoRA\n"])
@pytest.mark.parametrize("id", [None, "", "../x", 3])
def test_rows_that_are_none(tab, kind, id):
    with pytest.raises(gr.Error, match="any more"):
        tab.pick(Pressed(kind, id))


def test_using_what_was_picked(tab, root, services, embedded_id):
    assert tab.use(("model", embedded_id), "a cat") == (embedded_id, "")
    assert tab.use(put(root, "ink"), "a cat") == ("", "a cat <lora:ink:1>")
    save_file({"emb_params": torch.zeros(2, 768)}, root / "bad-hands.safetensors")
    word = ("embedding", "bad-hands.safetensors")
    assert tab.use(word, "a cat") == ("", "a cat, bad-hands")
    assert tab.use(word, "") == ("", "bad-hands")


def test_a_used_model_brings_its_defaults_and_a_used_lora_only_its_tag(
    handlers, parts, embedded_id
):
    names = list(parts.generate.form.fields)
    *updates, _presets, _examples = handlers.use(embedded_id, "")
    assert updates[names.index("model")].value == embedded_id
    assert updates[names.index("width")].value == 128
    *updates, presets, _ = handlers.use("", "a <lora:x:1>")
    assert updates[names.index("prompt")] == "a <lora:x:1>"
    assert [u for u in updates if u != gr.skip()] == ["a <lora:x:1>"]
    assert presets == gr.skip()


def test_load_unload_and_default(tab, view, services, embedded_id):
    picked = ("model", embedded_id)
    tab.load(picked)
    assert [held.id for held in services.engine.models.held()] == [embedded_id]
    tab.unload(picked)
    assert services.engine.models.held() == []
    tab.make_default(picked)
    assert services.catalogue.default == embedded_id


def test_a_check_says_how_far_it_is_and_what_came_of_it(tab, services, embedded_id, monkeypatch):
    told: list[str] = []
    monkeypatch.setattr(gr, "Info", lambda text, **more: told.append(text))
    *_, last = tab.check(("model", embedded_id))
    assert (last.value, last.interactive) == ("Check", True)
    title = services.catalogue.get(embedded_id).title
    assert told == [f"{title} is whole; its checksum is kept for the next time."]
    list(tab.check(("model", embedded_id)))
    assert "the same as on" in told[1]


def test_notes_are_kept(tab, view, root, monkeypatch):
    monkeypatch.setattr(gr, "Info", lambda text, **more: None)
    picked = put(root, "ink")
    told = tab.keep(picked, "for portraits", "sks")
    assert (told[view.notes], told[view.triggers]) == ("for portraits", "sks")
    assert tab.pick(Pressed(*picked))[view.notes] == "for portraits"


def test_into_the_trash_and_back(tab, view, root, monkeypatch):
    told: list[str] = []
    monkeypatch.setattr(gr, "Info", lambda text, **more: told.append(text))
    after = tab.trash(put(root, "<i>"))
    assert told == ["&lt;i&gt; is in the trash."]
    assert after[view.picked] is None
    (row,) = tab.listed("", "trash", None)["items"]
    assert (row["title"], row["family"]) == ("<i>", "<i>.safetensors")
    shown = tab.pick(Pressed("trash", row["id"]))
    assert shown[view.take_back].visible
    assert not shown[view.actions].visible
    tab.take_back(("trash", row["id"]))
    assert (root / "<i>.safetensors").is_file()
    assert tab.listed("", "trash", None)["items"] == []
    assert "Gone" in tab.pick(Pressed("trash", row["id"]))[view.facts]
    tab.trash(("LoRA", "<i>.safetensors"))
    (row,) = tab.listed("", "trash", None)["items"]
    assert tab.pick(Pressed("trash", row["id"]))[view.delete].visible
    assert not tab.delete(("trash", row["id"]))[view.delete].visible
    assert tab.listed("", "trash", None)["items"] == []
    assert not list((root.parent / "trash" / "models").iterdir())


def test_nothing_picked(tab):
    for act in (tab.load, tab.unload, tab.make_default, tab.trash, tab.take_back, tab.delete):
        with pytest.raises(gr.Error):
            act(None)
    with pytest.raises(gr.Error):
        list(tab.check(None))


def test_a_download_is_asked_for_shown_and_stopped(services, view, monkeypatch):
    told: list[str] = []
    monkeypatch.setattr(gr, "Warning", lambda text, **more: told.append(text))
    fetching = fetch.FetchHandlers(services, view.fetch)
    fields = view.fetch.form.fields

    def asked(repo: str) -> dict[Any, Any]:
        return {fields["repo"]: repo, fields["file"]: None, fields["revision"]: ""}

    for wrong in ("", "tiny", "../x"):
        with pytest.raises(gr.Error, match="Repo"):
            fetching.submit(asked(wrong))
    assert list(fetching.follow())[-1][0] == ""
    fetching.submit(asked(" someone/tiny "))
    (job,) = services.queue.unended("download")
    assert services.queue.request(job).repo == "someone/tiny"
    fetching.cancel()
    assert services.queue.unended("download") == []
    fetching.cancel()
    services.fetcher.start()
    own = fetching.submit(asked("someone/tiny"))
    while not services.queue.get(own).status.is_final:
        time.sleep(0.01)
    assert [text for text, _ in fetching.follow(own)] == ["", ""]
    (reason,) = told
    assert "someone/tiny cannot be fetched: HF_HUB_OFFLINE forbids it" in reason


def test_how_far_a_download_is():
    line = fetch.shown("a/<b>", Progress(step=3, steps=12, item=1, items=1, unit="MB"))
    assert "a/&lt;b&gt;</b> 3 of 12 MB" in line
    assert "width: 25.0%" in line
    for seconds, words in ((3.2, "3 s"), (200, "3 min"), (7200, "2.0 h")):
        event = Progress(step=1, steps=2, item=1, items=1, seconds_left=seconds, unit="MB")
        assert f"{words} left" in fetch.shown("a/b", event)
    assert "waits" in fetch.shown("a/b", Queued(position=1))
    assert fetch.shown("a/b", Finished()) == ""
