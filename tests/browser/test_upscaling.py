"""Larger pictures in a real browser: hires fix, Extras, and back."""

import io

import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from browser.studio_page import FOLD, LONG, StudioPage, picture


def png(width: int, height: int) -> bytes:
    stream = io.BytesIO()
    Image.effect_mandelbrot((width, height), (-2, -1.2, 1, 1.2), 60).save(stream, "PNG")
    return stream.getvalue()


def finished(page: Page, tab: str) -> None:
    expect(page.locator(f"#at-{tab}-stage .at-stage")).to_have_attribute(
        "data-status", "finished", timeout=LONG
    )


def shown(page: Page, tab: str) -> Image.Image:
    """The picture that the tab's stage shows."""
    link = page.locator(f"#at-{tab}-stage a.download")
    expect(link).to_be_visible()
    with page.expect_download() as download:
        link.click()
    with open(download.value.path(), "rb") as stream:  # noqa: PTH123
        return picture(stream.read())


def test_a_made_picture_is_sent_enlarged_compared_and_sent_on(studio: StudioPage):
    page = studio.page
    studio.fill("a red apple", steps=4, seed=3)
    studio.run()
    studio.ends()
    studio.stage.get_by_role("button", name="Upscale", exact=True).click()
    source = page.locator("#at-extras-source")
    expect(source.locator("img")).to_be_visible()
    expect(source).to_contain_text("128 × 128 → 256 × 256 pixels")
    page.get_by_label("number input for Enlarge by", exact=True).fill("3")
    expect(source).to_contain_text("384 × 384")
    page.locator("#at-extras-run").click()
    finished(page, "extras")
    assert shown(page, "extras").size == (384, 384)

    stage = page.locator("#at-extras-stage")
    compare = stage.get_by_role("button", name="Compare")
    compare.click()
    before, wipe = stage.locator(".at-before"), stage.locator(".at-wipe")
    expect(before).to_be_visible()
    wipe.fill("25")
    assert before.evaluate("(node) => node.style.clipPath") == "inset(0px 75% 0px 0px)"
    assert before.get_attribute("src").startswith("inputs/")
    compare.click()
    expect(before).to_be_hidden()

    stage.get_by_role("button", name="Edit", exact=True).click()
    expect(page.locator(".at-editor.ready")).to_be_visible()
    expect(page.locator(".at-size")).to_contain_text("384")


def test_a_dropped_picture_is_redrawn_in_tiles_with_time_left(studio: StudioPage):
    page = studio.page
    studio.tab("Extras")
    page.locator("#at-extras-source input").set_input_files(
        {"name": "in.png", "mimeType": "image/png", "buffer": png(300, 200)}
    )
    expect(page.locator("#at-extras-source")).to_contain_text("300 × 200")
    studio.open_fold(page.locator(FOLD, has_text="Redraw"))
    page.locator("#at-extras-strength input[type=number]").fill("0.3")
    page.locator("#at-extras-prompt textarea").fill("a green leaf")
    page.evaluate(
        """() => { window.tiles = [];
        const stage = document.querySelector("#at-extras-stage");
        new MutationObserver(() => window.tiles.push(stage.querySelector(".what")?.textContent))
          .observe(stage, { childList: true, characterData: true, subtree: true }); }"""
    )
    page.locator("#at-extras-prompt textarea").focus()
    page.keyboard.press("Control+Enter")
    finished(page, "extras")
    assert shown(page, "extras").size == (600, 400)
    told = page.evaluate("window.tiles")
    assert any("Tile" in (text or "") and "pass" in text for text in told), told
    assert "Tile overlap: 0.25" in page.locator("#at-extras-stage .at-facts pre").text_content()

    page.get_by_label("number input for Enlarge by", exact=True).fill("5")
    page.locator("#at-extras-stage [data-act=use]").click()
    expect(page.get_by_label("number input for Enlarge by", exact=True)).to_have_value("2")


def test_a_press_waits_for_the_file_that_is_on_its_way(studio: StudioPage):
    page = studio.page
    studio.tab("Extras")

    def slowly(route) -> None:
        page.wait_for_timeout(1500)
        route.continue_()

    page.route("**/inputs?*", slowly)
    page.locator("#at-extras-source input").set_input_files(
        {"name": "in.png", "mimeType": "image/png", "buffer": png(50, 30)}
    )
    page.locator("#at-extras-run").click()
    finished(page, "extras")
    assert shown(page, "extras").size == (100, 60)


def test_a_file_that_is_no_picture_is_told_and_a_press_without_one_too(studio: StudioPage):
    page = studio.page
    studio.tab("Extras")
    studio.watch.tolerate("422")
    page.locator("#at-extras-source input").set_input_files(
        {"name": "in.png", "mimeType": "image/png", "buffer": b"hello"}
    )
    expect(page.locator("#at-extras-source .at-message")).to_contain_text("in.png")
    with studio.told() as heard:
        page.locator("#at-extras-run").click()
    assert any("no picture to enlarge" in text for text in heard)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_tab_fits_a_phone(open_page, scheme):
    studio = open_page(viewport={"width": 360, "height": 740}, color_scheme=scheme)
    studio.open()
    studio.tab("Extras")
    expect(studio.page.locator("#at-extras-run")).to_be_visible()
    assert studio.page.evaluate("document.documentElement.scrollWidth") <= 360


def test_hires_fix_gives_a_larger_picture(studio: StudioPage):
    page = studio.page
    studio.open_fold(page.locator(FOLD, has_text="Hires"))
    page.get_by_label("number input for Enlarge by (1 for no second pass)").fill("1.5")
    studio.fill("a red apple", steps=4, seed=3)
    studio.run()
    studio.ends()
    assert picture(studio.original()).size == (192, 192)
    # Which of the steps are seen depends on the machine: stale ones are not sent.
    assert any(text.endswith("of 6") for text in studio.seen()["steps"])
