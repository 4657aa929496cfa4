"""The Models tab and the LoRA picker, as a person uses them."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import diffusers
import pytest
from lora_files import lora_file
from playwright.sync_api import expect

from browser.live_server import LiveServer
from browser.studio_page import StudioPage
from studio.models.catalogue import Catalogue


@pytest.fixture
def lora(server: LiveServer) -> Iterator[Path]:
    """A LoRA for the model that ships."""
    path = server.data / "models" / "loras" / "wobbly.safetensors"
    embedded = Catalogue(Path("/nonexistent")).get("")
    pipe = diffusers.DiffusionPipeline.from_pretrained(embedded.path)
    lora_file(pipe, path, size=0.2)
    path.with_suffix(".json").write_text('{"activation text": "wobbly, ink", "notes": "try it"}')
    yield path
    for each in (path, path.with_suffix(".json")):
        each.unlink(missing_ok=True)


def test_a_lora_is_found_added_and_changes_the_picture(studio: StudioPage, lora: Path):
    page = studio.page
    studio.fill("a red apple", seed=7, steps=4)
    studio.run()
    studio.ends()
    plain = studio.original()
    studio.open_fold(page.locator("#at-loras .label-wrap"))
    picker = page.locator("#at-lora input")
    expect(picker).to_be_enabled()
    picker.click()
    page.get_by_role("option", name="wobbly").click()
    expect(page.locator("#at-loras .at-chip")).to_have_text(["wobbly", "ink"])
    page.locator("#at-lora-add").click()
    expect(studio.prompt).to_have_value("a red apple <lora:wobbly:1>")
    studio.run()
    studio.ends()
    assert studio.original() != plain
    page.locator("#at-lora-remove").click()
    expect(studio.prompt).to_have_value("a red apple")
    studio.run()
    studio.ends()
    assert studio.original() == plain


def test_models_are_seen_loaded_and_put_away(studio: StudioPage, lora: Path):
    page = studio.page
    studio.tab("Models")
    rows = page.locator(".at-model")
    own = rows.filter(has_text="wobbly")
    expect(own).to_have_count(1)
    rows.first.click()
    page.locator("#at-model-unload").click()
    expect(page.locator(".at-state.on")).to_have_count(0)
    page.locator("#at-model-load").click()
    expect(page.locator(".at-state.on")).to_contain_text("loaded")
    expect(page.locator(".at-memory:not(.at-main) p")).to_contain_text("by models")
    own.click()
    notes = page.locator("#at-model-notes textarea")
    expect(notes).to_have_value("try it")
    page.locator("#at-model-trash").click()
    expect(own).to_have_count(0)
    assert not lora.exists()
    page.get_by_label("Trash").click()
    own.click()
    page.locator("#at-model-back").click()
    expect(rows).to_have_count(0)
    assert lora.exists()
    page.get_by_label("All", exact=True).click()
    rows.filter(has_text="wobbly").click()
    page.locator("#at-model-use").click()
    expect(studio.prompt).to_be_visible()
    expect(studio.prompt).to_have_value("<lora:wobbly:1>")


def test_a_model_is_merged_seen_and_used(studio: StudioPage, server: LiveServer):
    page, title = studio.page, Catalogue(Path("/nonexistent")).get("").title
    studio.tab("Models")
    studio.open_fold(page.locator("#at-merge > button.label-wrap"))
    page.locator("#at-merge-name input, #at-merge-name textarea").fill("mix")
    for picker in ("#at-merge-a", "#at-merge-b"):
        page.locator(f"{picker} input").click()
        page.locator(picker).get_by_role("option", name=title).click()
        expect(page.locator(f"{picker} input")).to_have_value(title)
    page.locator("#at-merge-start").click()
    row = page.locator(".at-model", has_text="mix")
    expect(row).to_have_count(1, timeout=60_000)
    row.click()
    expect(page.locator("#at-model-facts")).to_contain_text("weighted sum: A ")
    page.locator("#at-model-use").click()
    studio.fill("a red apple", seed=7, steps=2)
    studio.run()
    studio.ends()
    shutil.rmtree(server.data / "models" / "mix")


def test_a_lora_is_resized_seen_and_used(studio: StudioPage, server: LiveServer, lora: Path):
    page = studio.page
    studio.tab("Models")
    studio.open_fold(page.locator("#at-merge > button.label-wrap"))
    page.get_by_label("Resize a LoRA").click()
    picker = page.locator("#at-resize-lora")
    expect(picker).to_be_visible(timeout=60_000)
    picker.locator("input").click()
    picker.get_by_role("option", name="wobbly").click()
    page.locator("#at-merge-name input, #at-merge-name textarea").fill("wobbly-small")
    rank, share = (page.locator(f"#at-resize-{name} input") for name in ("rank", "share"))
    rank.fill("0")
    with studio.told() as heard:
        page.locator("#at-merge-start").click()
    assert "Rank must be greater than or equal to 1, but is 0." in heard[0]
    rank.fill("3")
    expect(share).to_have_count(0)
    page.locator("#at-resize-method input").click()
    page.get_by_role("option", name="by share of the norm (sv_fro)").click()
    expect(share).to_have_value("0.9")
    share.fill("2")
    with studio.told() as heard:
        page.locator("#at-merge-start").click()
    assert "Share must be at most 1 for sv_fro, but is 2." in heard[0]
    share.fill("0.8")
    page.locator("#at-merge-start").click()
    told = page.get_by_test_id("toast-text")
    ranks = re.compile(
        r"^The LoRA had rank 4 and has ranks? .* it keeps (8|9)\d\.\d% of its norm\.$"
    )
    expect(told.filter(has_text=ranks)).to_have_count(1, timeout=60_000)
    row = page.locator(".at-model", has_text="wobbly-small")
    expect(row).to_have_count(1)
    row.click()
    expect(page.locator("#at-model-facts")).to_contain_text("LoRA resize: LoRA wobbly")
    page.locator("#at-model-use").click()
    expect(studio.prompt).to_have_value("<lora:wobbly-small:1>")
    studio.fill("a red apple <lora:wobbly-small:1>", seed=7, steps=2)
    studio.run()
    studio.ends()
    made = server.data / "models" / "loras" / "wobbly-small.safetensors"
    assert made.stat().st_size < lora.stat().st_size
    made.unlink()
