"""Take the pictures for the documents: `cd tests && python -m browser.screenshots [PART …]`."""

import re
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, Locator, expect, sync_playwright

from browser.live_server import CHROMIUM_ARGUMENTS, ROOT, LiveServer, find_chromium
from browser.studio_page import StudioPage, Watch
from studio.models.catalogue import Catalogue

TARGET = ROOT / "docs" / "images"
WIDE = {"width": 1440, "height": 900}
PHONE = {"width": 390, "height": 844}
PICTURES = (
    ("a yellow star", 3),
    ("a green frog", 11),
    ("a castle on a blue background", 5),
    ("a blue fish", 2),
    ("a pink cupcake", 8),
    ("a robot", 21),
    ("a rocket", 4),
    ("an orange cat", 12),
    ("a turtle", 5),
    ("a red heart", 9),
    ("a sunflower", 6),
    ("a house", 14),
    ("a hot beverage", 1),
    ("a penguin", 7),
    ("a rainbow", 10),
    ("a strawberry", 16),
    ("a yellow duck", 13),
    ("a mushroom", 18),
    ("a ghost", 15),
    ("a banana", 17),
)
SHOWN = (("a blue cat", 5), ("a purple butterfly", 31), ("a pear", 2), ("a red apple", 7))


def take(browser: Browser, server: LiveServer) -> None:
    """Fill a gallery, then photograph both tabs."""
    filler = opened(browser, server, WIDE)
    for prompt, seed in PICTURES:
        make(filler, prompt, seed)
    filler.page.context.close()

    light = opened(browser, server, WIDE)
    for prompt, seed in SHOWN:
        make(light, prompt, seed)
    shoot(light, "generate-light")
    light.tab("Gallery")
    light.page.locator("#at-gallery .at-tile").nth(2).click()
    expect(light.page.locator(".at-detail .at-acts")).to_be_visible()
    shoot(light, "gallery")
    light.page.context.close()

    shoot_editing(browser, server)
    shoot_extras(browser, server)
    shoot_models(browser, server)
    shoot_reading(browser, server)
    shoot_training(browser, server)

    dark = opened(browser, server, WIDE, "dark")
    make(dark, "a penguin", 7)
    dark.fill("a castle on a blue background", steps=40, seed=5)
    dark.run()
    expect(dark.page.locator(".at-progress .what")).to_have_text(
        re.compile(r"Step (2[4-9]|3\d) of 40"), timeout=120_000
    )
    shoot(dark, "generate-dark", rest=0)
    dark.ends()
    dark.page.context.close()

    phone = opened(browser, server, PHONE)
    make(phone, "a red apple", 7)
    shoot(phone, "phone")


def shoot_editing(browser: Browser, server: LiveServer) -> None:
    """An apple that was drawn, sent to the canvas, and half of it masked."""
    studio = opened(browser, server, WIDE)
    make(studio, "a red apple", 3)
    studio.stage.get_by_role("button", name="Edit", exact=True).click()
    page = studio.page
    expect(page.locator(".at-editor.ready")).to_be_visible()
    page.locator("[data-tool=ellipse]").click()
    box = page.locator(".at-konva").bounding_box()
    assert box
    middle, side = box["x"] + box["width"] / 2, min(box["width"], box["height"])
    page.mouse.move(middle - side * 0.1, box["y"] + box["height"] / 2 - side * 0.1)
    page.mouse.down()
    page.mouse.move(middle + side * 0.32, box["y"] + box["height"] / 2 + side * 0.34, steps=4)
    page.mouse.up()
    page.locator("[data-act=add]").click()
    page.locator("#at-edit-prompt textarea").fill("a green apple")
    page.locator("#at-edit-run").click()
    stage = page.locator("#at-edit-stage .at-stage")
    expect(stage).to_have_attribute("data-status", "finished", timeout=60_000)
    shoot(studio, "edit")
    page.context.close()


def shoot_extras(browser: Browser, server: LiveServer) -> None:
    """A castle that was drawn, sent to be enlarged, and compared with what it was."""
    studio = opened(browser, server, WIDE)
    make(studio, "a castle on a blue background", 5)
    studio.stage.get_by_role("button", name="Upscale", exact=True).click()
    page = studio.page
    expect(page.locator("#at-extras-source img")).to_be_visible()
    page.get_by_label("number input for Enlarge by", exact=True).fill("4")
    page.locator("#at-extras-run").click()
    stage = page.locator("#at-extras-stage .at-stage")
    expect(stage).to_have_attribute("data-status", "finished", timeout=60_000)
    stage.get_by_role("button", name="Compare").click()
    shoot(studio, "extras")
    page.context.close()


def shoot_models(browser: Browser, server: LiveServer) -> None:
    """Models of several families, made for the occasion, and one in memory."""
    # After the catalogue, whose package keeps these libraries from a broken torchvision.
    import diffusers
    from lora_files import lora_file
    from original_files import single_file, tiny_pipeline

    models = server.data / "models"
    for key, name in (("sdxl", "landscapes-xl"), ("flux-schnell", "quick-sketches")):
        single_file(tiny_pipeline(key), models / f"{name}.safetensors")
    embedded = Catalogue(Path("/nonexistent")).get("")
    pipe = diffusers.DiffusionPipeline.from_pretrained(embedded.path)
    lora_file(pipe, models / "loras" / "wobbly.safetensors", size=0.05)
    studio = opened(browser, server, WIDE)
    studio.tab("Models")
    page = studio.page
    page.locator(".at-model", has_text=embedded.title).click()
    page.locator("#at-model-load").click()
    expect(page.locator(".at-state.on")).to_be_visible(timeout=60_000)
    shoot(studio, "models")
    page.context.close()


def shoot_reading(browser: Browser, server: LiveServer) -> None:
    """An answer in its passage, and a reader's scores."""
    studio = opened(browser, server, WIDE)
    studio.tab("Reader")
    studio.page.locator("#at-reader-examples button").first.click()
    expect(studio.page.locator(".at-answer")).to_be_visible(timeout=60_000)
    shoot(studio, "reader")
    studio.page.context.close()
    studio = opened(browser, server, WIDE)
    studio.tab("Reader")
    page = studio.page
    page.get_by_role("tab", name="Benchmark", exact=True).click()
    with page.expect_file_chooser() as chooser:
        page.locator("#at-score-upload").click()
    chooser.value.set_files(ROOT / "tests" / "data" / "small-v2.0.json")
    expect(page.locator("#at-score-data input")).to_have_value("small-v2.0")
    page.locator("#at-score-run").click()
    expect(page.locator("#at-score-report .at-scores")).to_be_visible(timeout=120_000)
    shoot(studio, "benchmark")
    page.context.close()


def shoot_training(browser: Browser, server: LiveServer) -> None:
    """Five drawings of a thing, learnt as a LoRA, and its grid."""
    studio = opened(browser, server, WIDE)
    studio.tab("Train")
    page = studio.page

    def box(name: str) -> Locator:
        return page.locator(f"#at-train-{name}").locator("input, textarea").first

    with page.expect_file_chooser() as chooser:
        page.locator("#at-train-drop label").click()
    chooser.value.set_files(sorted((ROOT / "tests" / "data" / "zug").glob("*.png")))
    expect(page.locator("#at-train-strip img")).to_have_count(5, timeout=30_000)
    box("trigger").fill("zug")
    box("prompt").fill("a zug")
    box("name").fill("zug")
    box("name").blur()
    page.locator("#at-train-check").click()
    expect(page.locator("#at-train-health")).to_contain_text("steps a picture", timeout=60_000)
    page.locator("#at-train-health").get_by_role("button", name="Close the check").click()
    studio.open_fold(page.get_by_role("button", name="Steps and rates"))
    box("steps").fill("400")
    page.get_by_role("button", name="Steps and rates").click()
    studio.open_fold(page.get_by_role("button", name="Samples and checkpoints"))
    box("samples").fill("a zug\na zug on a blue background\na red apple")
    box("sample-every").fill("100")
    box("save-every").fill("100")
    box("save-every").blur()
    page.get_by_role("button", name="Samples and checkpoints").click()
    page.locator("#at-train-run").click()
    ended = page.locator('#at-train-shown .at-run-chip[data-phase="finished"]')
    expect(ended).to_be_visible(timeout=900_000)
    expect(page.locator("#at-train-grid")).to_be_visible()
    shoot(studio, "train")
    page.locator("#at-train-grid > button").click()
    page.locator("#at-train-grid-paint").click()
    expect(page.locator(".at-run-grid td img").last).to_be_visible(timeout=300_000)
    studio.page.wait_for_timeout(2500)
    panel, prompt = page.locator("#at-train-grid"), page.locator(".at-run-grid section").first
    whole, first = panel.bounding_box(), prompt.bounding_box()
    assert whole
    assert first
    shown = {**whole, "height": first["y"] + first["height"] - whole["y"]}
    page.screenshot(path=TARGET / "train-grid.png", clip=shown, full_page=True)
    page.context.close()


def shoot_people(browser: Browser, _: LiveServer) -> None:
    """The administrators' page of a studio of four, each of whom has made something."""
    password = "three words and more"
    with tempfile.TemporaryDirectory() as folder:
        server = LiveServer(Path(folder), ATELIER_ACCOUNTS="on", ATELIER_PASSWORD=password).start()
        page = browser.new_context(viewport=WIDE).new_page()
        page.goto(f"{server.url}/login?next=/admin")
        page.get_by_label("Password").fill(password)
        page.get_by_role("button", name="Open the studio").click()
        for name in ("Ada", "Ben", "Cem"):
            page.get_by_label("Name", exact=True).fill(name)
            page.get_by_role("button", name="Add").click()
            expect(page.locator("#link")).to_contain_text(f"Send this to {name}")
            entered = browser.new_context()
            invited = entered.new_page()
            invited.goto(page.locator("#link code").inner_text())
            invited.get_by_label("Password", exact=True).fill(password)
            invited.get_by_label("The same again").fill(password)
            invited.get_by_role("button", name="Begin").click()
            expect(invited.locator("#at-tabs")).to_be_visible()
            job = {"kind": "generate", "prompt": "a red apple", "batch_count": len(name) * 2}
            made = entered.request.post(f"{server.url}/api/v1/jobs", data=job).json()["id"]
            entered.request.get(f"{server.url}/api/v1/jobs/{made}/events")
            entered.close()
        page.reload()
        expect(page.get_by_role("heading", name="People")).to_be_visible()
        page.wait_for_timeout(2500)
        page.screenshot(path=TARGET / "admin.png")
        server.stop()


PARTS = {"people": shoot_people, "reading": shoot_reading, "training": shoot_training}
"""What can be photographed alone, for the rest takes minutes."""


def opened(browser: Browser, server: LiveServer, size: dict, scheme: str = "light") -> StudioPage:
    """The page in a fresh browser."""
    context = browser.new_context(viewport=size, color_scheme=scheme)  # type: ignore[arg-type]
    return StudioPage(context.new_page(), server.url, Watch(context)).open()


def make(studio: StudioPage, prompt: str, seed: int) -> None:
    """Generate one picture."""
    studio.fill(prompt, seed=seed)
    studio.run()
    studio.ends()


def shoot(studio: StudioPage, name: str, rest: int = 2500) -> None:
    """Save what the window shows, after a rest in which the header hears of the job's end."""
    studio.page.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
    studio.page.wait_for_timeout(rest)
    studio.page.screenshot(path=TARGET / f"{name}.png")


def main() -> None:
    """Start a server and a browser, and take all pictures."""
    TARGET.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        server = LiveServer(Path(folder)).start()
        browser = playwright.chromium.launch(
            executable_path=find_chromium(), args=list(CHROMIUM_ARGUMENTS)
        )
        try:
            for part in [PARTS[name] for name in sys.argv[1:]] or [take]:
                part(browser, server)
        finally:
            browser.close()
            server.stop()


if __name__ == "__main__":
    main()
