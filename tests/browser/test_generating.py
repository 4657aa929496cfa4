"""From a prompt to a picture: progress, preview, cancelling, skipping, and what cannot be done."""

import time

import pytest
from judge.judge import Judge
from playwright.sync_api import expect

from browser.studio_page import LONG, StudioPage, picture


def test_a_typed_prompt_becomes_a_picture_of_it(studio: StudioPage):
    studio.fill("a red apple", seed=7)
    expect(studio.page.locator(".at-counted", has=studio.prompt)).to_contain_text("3 of 75 tokens")
    studio.run()
    studio.ends()
    seen = studio.seen()
    assert [text for text in seen["steps"] if text.startswith("Step ")][-1] == "Step 20 of 20"
    assert any(text.endswith(" left") for text in seen["left"])
    assert seen["previews"] > 0
    (made,) = studio.pictures()
    expect(studio.large).to_have_attribute("src", f"outputs/{made}/image")
    image = picture(studio.original())
    assert image.size == (128, 128)
    judge = Judge.load()
    assert judge.recognises(image, "apple")
    assert judge.colour(image) == "red"


def test_the_picture_is_seen_large_and_with_its_settings(studio: StudioPage):
    studio.fill("a blue cat", seed=5, steps=2)
    studio.run()
    studio.ends()
    studio.page.get_by_text("Settings of this picture").click()
    expect(studio.stage.locator(".at-facts pre")).to_contain_text("Steps: 2, Sampler: DPM++ 2M")
    studio.large.click()
    viewer = studio.stage.locator("dialog")
    expect(viewer).to_be_visible()
    studio.page.keyboard.press("Escape")
    expect(viewer).to_be_hidden()
    studio.fill(seed=-1)
    studio.page.get_by_role("button", name="Reuse seed").click()
    expect(studio.number("seed")).to_have_value("5")


def test_escape_stops_a_long_run_and_frees_the_device(studio: StudioPage):
    studio.fill("a red apple", steps=150, batch_count=10)
    cancel = studio.page.locator("#at-cancel")
    expect(cancel).to_be_disabled()
    studio.run()
    studio.works()
    expect(cancel).to_be_enabled()
    pressed = time.monotonic()
    studio.page.keyboard.press("Escape")
    expect(studio.message).to_have_text("Cancelled.")
    assert time.monotonic() - pressed < 5
    expect(cancel).to_be_disabled()
    studio.fill(steps=2, batch_count=1)
    studio.run()
    studio.ends()
    assert len(studio.pictures()) == 1
    expect(studio.message).to_be_hidden()


def test_skip_leaves_out_one_picture(studio: StudioPage):
    studio.fill("a red apple", steps=24, batch_count=3, seed=100)
    studio.run()
    studio.works()
    studio.page.locator("#at-skip").click()
    studio.ends()
    assert len(studio.pictures()) == 2
    assert picture(studio.original()).size == (128, 128)
    expect(studio.stage.locator(".at-facts pre")).to_contain_text("Seed: 102")


def test_escape_closes_a_list_and_not_the_run(studio: StudioPage):
    studio.fill("a red apple", steps=150, batch_count=10)
    studio.run()
    studio.works()
    studio.page.locator("#at-sampler input").click()
    studio.page.keyboard.press("Escape")
    studio.page.wait_for_timeout(600)
    expect(studio.stage).to_have_attribute("data-status", "running")
    studio.prompt.focus()
    studio.page.keyboard.press("Escape")
    studio.ends("cancelled")


def submitted(studio: StudioPage) -> list[str]:
    """The messages after an attempt to generate."""
    with studio.told() as messages:
        studio.prompt.focus()
        studio.page.keyboard.press("Control+Enter")
    return messages


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"prompt": "x " * 15_000}, "Prompt must have at most 20000 characters"),
        ({"width": 100}, "Width is 100, but"),
    ],
    ids=["a prompt of 30,000 characters", "a width of 100"],
)
def test_what_cannot_be_done_is_said_in_a_sentence(studio: StudioPage, change: dict, words: str):
    studio.fill(**change)
    (message,) = submitted(studio)
    assert message.startswith(words)
    assert message.endswith(".")
    assert "Traceback" not in studio.page.content()
    studio.fill("a red apple", steps=2, width=128)
    studio.run()
    studio.ends()
    assert studio.page.get_by_test_id("toast-text").count() == 0
    expect(studio.large).to_be_visible(timeout=LONG)
