"""A dropped picture gives its settings back, and with them the same pixels."""

import io
import json

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from playwright.sync_api import expect

from browser.studio_page import StudioPage, picture


def fill_everything(studio: StudioPage) -> None:
    """Every control away from its default."""
    studio.unfold()
    studio.negative.fill("(dark:1.2), blurred")
    studio.choose("sampler", "DPM++ 2M SDE")
    studio.choose("schedule", "Karras")
    studio.page.locator("#at-presets label", has_text="192").first.click()
    studio.fill(
        "a [blue|green] cat, ((large))",
        steps=9,
        cfg_scale=5.5,
        seed=4711,
        batch_count=2,
        variation_seed=99,
        variation_strength=0.25,
        clip_skip=2,
    )


def test_every_control_is_restored_and_the_pixels_come_again(open_page):
    first = open_page()
    fill_everything(first)
    asked = first.values()
    first.run()
    first.ends()
    file = first.original()

    second = open_page()
    second.unfold()
    second.fill("something else", batch_count=3, batch_size=2)
    with second.told() as messages:
        second.drop(file, "cat.png")
    assert messages == ["Settings restored from Atelier."]
    # The file is the second variation of its job, and makes just itself again.
    own = {"variation_seed": "100", "batch_count": "1", "batch_size": "1"}
    assert second.values() == asked | own
    second.run()
    second.ends()
    again = picture(second.original())
    assert again.size == (192, 128)
    np.testing.assert_array_equal(np.asarray(again), np.asarray(picture(file)))


def test_a_file_can_be_chosen_instead_of_dropped(studio: StudioPage):
    settings = "a green frog\nSteps: 11, Sampler: Euler, CFG scale: 7, Seed: 12, Size: 128x192"
    studio.unfold()
    with studio.told():
        studio.page.locator("#at-drop input").set_input_files(
            {"name": "frog.png", "mimeType": "image/png", "buffer": png(parameters=settings)}
        )
    shown = studio.values()
    assert (shown["prompt"], shown["steps"], shown["sampler"]) == ("a green frog", "11", "Euler")
    assert (shown["width"], shown["height"], shown["seed"]) == ("128", "192", "12")


def png(**texts: str) -> bytes:
    """A picture with text chunks."""
    info = PngInfo()
    for key, text in texts.items():
        info.add_text(key, text)
    stream = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(stream, "PNG", pnginfo=info)
    return stream.getvalue()


BAD = {
    "a text file": ("notes.txt", b"Dear diary, today I drew an apple.", "text/plain"),
    "text called png": ("notes.png", b"Dear diary, today I drew an apple.", "image/png"),
    "a truncated picture": ("half.png", png(parameters="a cat\nSteps: 5")[:2000], "image/png"),
    "nonsense": ("odd.png", png(atelier="{{{", parameters=json.dumps({"a": [1]})), "image/png"),
    "no settings": ("plain.png", png(), "image/png"),
    "nothing": ("empty.png", b"", "image/png"),
}


@pytest.mark.parametrize("what", BAD)
def test_a_file_without_settings_gets_a_sentence_and_changes_nothing(studio: StudioPage, what: str):
    name, data, type = BAD[what]
    studio.unfold()
    studio.fill("stays here")
    before = studio.values()
    with studio.told() as messages:
        studio.drop(data, name, type)
    (message,) = messages
    assert name in message
    assert message.endswith(".")
    assert "Traceback" not in message
    assert studio.values() == before
    studio.fill("a cat")
    expect(studio.page.locator(".at-counted", has=studio.prompt)).to_contain_text("2 of 75 tokens")


def test_settings_pasted_into_the_prompt_are_read(studio: StudioPage):
    studio.fill("a lemon\nNegative prompt: leaf\nSteps: 13, Sampler: DDIM, CFG scale: 3, Seed: 8")
    with studio.told():
        studio.page.get_by_role("button", name="Read settings").click()
    expect(studio.prompt).to_have_value("a lemon")
    expect(studio.negative).to_have_value("leaf")
    expect(studio.number("steps")).to_have_value("13")
