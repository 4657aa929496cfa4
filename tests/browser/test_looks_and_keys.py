"""The page fits wide and narrow windows, reads well in light and dark, and needs no mouse."""

import pytest
import requests
from playwright.sync_api import expect

from browser.studio_page import StudioPage

LOOKS = 4_000
"""Milliseconds within which an open gallery looks for new pictures."""

SIZES = {"wide": {"width": 1440, "height": 900}, "phone": {"width": 390, "height": 844}}
CONTRASTS = """() => {
  const parse = (colour) => {
    const [r, g, b, a = 1] = colour.match(/[\\d.]+/g).map(Number);
    return [r, g, b, a];
  };
  const ground = (node) => {
    for (; node; node = node.parentElement) {
      const colour = parse(getComputedStyle(node).backgroundColor);
      if (colour[3] > 0.99) return colour;
    }
    return parse(getComputedStyle(document.body).backgroundColor);
  };
  const light = ([r, g, b]) => [r, g, b].map((v) => v / 255)
    .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const names = [".at-brand span", ".at-status", "#at-prompt textarea", "#at-prompt span",
    ".at-chip", ".at-counted .prose.at-hint", "#at-run", "#at-presets label.selected",
    "#at-presets label", ".at-drop", ".at-act", ".at-facts summary", "button[role=tab]"];
  return names.map((name) => {
    const node = [...document.querySelectorAll(name)].find((n) => n.offsetParent);
    const [a, b] = [parse(getComputedStyle(node).color), ground(node)].map(light);
    return [name, (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)];
  });
}"""


def is_dark(studio: StudioPage) -> bool:
    """Whether the page is shown dark."""
    return studio.page.evaluate("document.body.classList.contains('dark')")


def overhang(studio: StudioPage) -> int:
    """Pixels by which the page is wider than its window."""
    return studio.page.evaluate("document.documentElement.scrollWidth - innerWidth")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_it_fits_and_reads_well(open_page, size: str, scheme: str):
    studio: StudioPage = open_page(viewport=SIZES[size], color_scheme=scheme)
    assert is_dark(studio) == (scheme == "dark")
    studio.fill("a red apple", steps=2)
    studio.run()
    studio.ends()
    assert overhang(studio) <= 0
    low = [
        (name, round(ratio, 1)) for name, ratio in studio.page.evaluate(CONTRASTS) if ratio < 4.5
    ]
    assert low == []
    button = studio.page.locator("#at-run").bounding_box()
    result = studio.page.locator("#at-stage .at-canvas").bounding_box()
    if size == "phone":
        assert 0 <= result["y"] - (button["y"] + button["height"]) < 40
        assert result["width"] > 300
    else:
        assert result["x"] > button["x"] + button["width"]
        assert result["y"] < button["y"]
    studio.tab("Gallery")
    studio.page.locator("#at-gallery .at-tile").first.click()
    expect(studio.page.locator(".at-detail .at-canvas img")).to_be_in_viewport()
    assert overhang(studio) <= 0


def test_header_and_result_stay_in_sight_beside_the_settings(studio: StudioPage):
    studio.page.set_viewport_size(SIZES["wide"])
    studio.unfold()
    studio.page.mouse.move(200, 500)
    studio.page.mouse.wheel(0, 500)
    studio.page.wait_for_function("scrollY > 300")
    top = {
        place: studio.page.locator(place).bounding_box()["y"]
        for place in ("#at-header", "#at-stage")
    }
    assert top["#at-header"] == 0
    assert top["#at-stage"] == pytest.approx(68, abs=8)
    front = "(x, y) => Boolean(document.elementFromPoint(x, y).closest('#at-header'))"
    for x in range(40, 1400, 60):
        assert studio.page.evaluate(f"({front})({x}, 30)"), "nothing lies over the header"
    studio.page.set_viewport_size(SIZES["phone"])
    studio.page.evaluate("scrollTo(0, 600)")
    assert studio.page.locator("#at-header").bounding_box()["y"] < 0, "a phone has no room for it"
    assert overhang(studio) <= 0


def test_the_choice_of_light_or_dark_lasts(studio: StudioPage):
    assert not is_dark(studio)
    studio.page.get_by_role("button", name="Light or dark").click()
    studio.open()
    assert is_dark(studio)
    studio.page.get_by_role("button", name="Light or dark").click()
    studio.open()
    assert not is_dark(studio)


def focused(studio: StudioPage) -> str:
    """The id of what has the focus, or of what it stands in."""
    return studio.page.evaluate("document.activeElement.closest('[id^=at-]')?.id || ''")


def test_the_tab_key_leads_from_the_top_through_the_prompt_to_generate(studio: StudioPage):
    visited = []
    for _ in range(20):
        studio.page.keyboard.press("Tab")
        visited.append(focused(studio))
        if visited[-1] == "at-prompt":
            studio.page.keyboard.type("a red apple")
        if visited[-1] == "at-run":
            break
    order = [name for i, name in enumerate(visited) if name not in visited[:i]]
    known = ["at-model", "at-theme-box", "at-prompt", "at-negative", "at-run"]
    assert [name for name in order if name in known] == known
    studio.fill(steps=2)
    studio.page.locator("#at-run").focus()
    studio.page.keyboard.press("Enter")
    studio.ends()
    expect(studio.large).to_have_attribute("alt", "a red apple")


def test_arrow_keys_walk_over_the_pictures(studio: StudioPage):
    studio.fill("a red apple", steps=2, batch_count=3)
    studio.run()
    studio.ends()
    newest, middle, oldest = studio.pictures()
    studio.strip.first.focus()
    for made in (middle, oldest):
        studio.page.keyboard.press("ArrowRight")
        expect(studio.large).to_have_attribute("src", f"outputs/{made}/image")
    studio.page.keyboard.press("ArrowLeft")
    expect(studio.large).to_have_attribute("src", f"outputs/{middle}/image")
    studio.tab("Gallery")
    tiles = studio.page.locator("#at-gallery .at-tile")
    tiles.first.focus()
    studio.page.keyboard.press("ArrowRight")
    studio.page.keyboard.press("Enter")
    shown = studio.page.locator(".at-detail .at-canvas img")
    expect(shown).to_have_attribute("src", f"outputs/{middle}/image")
    expect(tiles.nth(1)).to_have_attribute("aria-pressed", "true")
    assert newest == int(tiles.first.get_attribute("data-id"))


def test_an_open_gallery_shows_what_is_made_elsewhere(studio: StudioPage):
    studio.fill("a red apple", steps=2, batch_count=2)
    studio.run()
    studio.ends()
    studio.tab("Gallery")
    tiles = studio.page.locator("#at-gallery .at-tile")
    tiles.first.click()
    picked = tiles.first.get_attribute("data-id")
    made = requests.post(
        f"{studio.url}/sdapi/v1/txt2img", json={"prompt": "a cat", "steps": 2}, timeout=60
    )
    assert made.status_code == 200
    expect(tiles.first).not_to_have_attribute("data-id", picked, timeout=10_000)
    expect(tiles.nth(1)).to_have_attribute("data-id", picked)
    expect(tiles.nth(1)).to_have_attribute("aria-pressed", "true")
    expect(tiles.nth(1)).to_be_focused()
    asked = []
    studio.page.on("request", lambda request: asked.append(request.url))
    studio.page.wait_for_timeout(LOOKS)
    assert any("queue" in address for address in asked), "it looks"
    assert "Error" not in studio.page.locator("#at-gallery-list").inner_text()
    studio.watch.tolerate("ERR_FAILED")
    studio.page.route("**/status", lambda route: route.abort())
    expect(studio.page.locator(".at-status")).to_have_text("No answer from the server")
    studio.page.wait_for_timeout(LOOKS)
    asked.clear()
    studio.page.wait_for_timeout(LOOKS)
    assert {address.rpartition("/")[2] for address in asked} == {"status"}


def test_nothing_is_asked_of_another_host(studio: StudioPage):
    studio.fill("a red apple", steps=4)
    studio.run()
    studio.ends()
    studio.tab("Gallery")
    expect(studio.page.locator("#at-gallery .at-tile img").first).to_be_visible()
    assert any(address.startswith(f"{studio.url}/outputs/") for address in studio.watch.addresses)
    assert studio.watch.strangers(studio.url) == []


def test_a_preset_and_swap_set_width_and_height(studio: StudioPage):
    def sides() -> tuple[str, str]:
        boxes = (
            studio.page.locator(f"#at-{side} input[type=number]") for side in ("width", "height")
        )
        first, second = (box.input_value() for box in boxes)
        return first, second

    labels = studio.page.locator("#at-presets label")
    wide = next(text for text in labels.all_inner_texts() if len(set(text.split(" × "))) == 2)
    width, height = wide.split(" × ")
    labels.filter(has_text=wide).click()
    studio.settle()
    assert sides() == (width, height)
    studio.page.locator("#at-swap").click()
    studio.settle()
    assert sides() == (height, width)
