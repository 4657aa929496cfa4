"""A person's way through a training: from five pictures to one that the new LoRA makes."""

import io
from collections.abc import Callable

from PIL import Image, ImageDraw
from playwright.sync_api import Page, expect

from browser.live_server import LiveServer
from browser.studio_page import LONG, StudioPage
from studio.training.run_folder import Phase, RunFolder, RunStatus
from studio.training.task import Task
from studio.training_requests import TrainRequest

STEPS = 12


def drawings() -> list[dict[str, object]]:
    """Five drawings of a thing that no model knows, as files to choose."""
    found = []
    for number in range(5):
        image = Image.new("RGB", (150 + 10 * number, 150), "white")
        pen = ImageDraw.Draw(image)
        left = 20 + 8 * number
        pen.polygon([(left, 130), (left + 50, 20), (left + 100, 130)], fill=(190, 40, 150))
        pen.ellipse((left + 30, 70, left + 70, 110), fill="gold", outline="black", width=3)
        stream = io.BytesIO()
        image.save(stream, "PNG")
        name = f"thing {number}.png"
        found.append({"name": name, "mimeType": "image/png", "buffer": stream.getvalue()})
    return found


def box(page: Page, name: str):
    return page.locator(f"#at-train-{name}").locator("input, textarea").first


def test_from_five_pictures_to_a_picture(open_page: Callable[..., StudioPage]):
    studio = open_page()
    page = studio.page
    studio.tab("Train")
    with page.expect_file_chooser() as chooser:
        page.locator("#at-train-drop label").click()
    chooser.value.set_files(drawings())
    expect(page.locator("#at-train-strip img")).to_have_count(5, timeout=30_000)

    box(page, "prompt").fill("a sks gem")
    box(page, "trigger").fill("sks")
    expect(page.locator("#at-train-verdict")).to_contain_text("one rare token")
    box(page, "name").fill("gem")
    page.locator("#at-train-check").click()
    expect(page.locator("#at-train-health")).to_contain_text("100 steps a picture", timeout=LONG)
    page.locator("#at-train-health").get_by_role("button", name="Close the check").click()

    studio.open_fold(page.get_by_role("button", name="Steps and rates"))
    box(page, "steps").fill(str(STEPS))
    studio.open_fold(page.get_by_role("button", name="Samples and checkpoints"))
    box(page, "samples").fill("a sks gem")
    box(page, "sample-every").fill("6")
    box(page, "sample-every").blur()
    page.locator("#at-train-run").click()
    expect(page.locator("#at-train-shown .at-run-chip")).to_be_visible(timeout=LONG)
    expect(page.locator("#at-train-stop")).to_be_visible()
    page.context.close()  # in the middle of it

    again = open_page()
    page = again.page
    again.tab("Train")
    shown = page.locator("#at-train-shown")
    expect(shown).to_contain_text("gem")
    expect(shown.locator('.at-run-chip[data-phase="finished"]')).to_be_visible(timeout=3 * LONG)
    expect(page.locator("#at-train-curves figure").first).to_contain_text("Loss")
    samples = page.locator("#at-train-samples-shown img")
    expect(samples).to_have_count(3)
    expect(samples.first).to_have_js_property("complete", True)
    assert samples.first.evaluate("image => image.naturalWidth") > 0
    expect(page.locator("#at-train-stop")).to_be_hidden()

    paints_a_grid(again)

    page.locator("#at-train-use").click()
    expect(again.prompt).to_have_value("a sks gem <lora:gem:1>")
    again.run()
    again.ends()


def paints_a_grid(studio: StudioPage) -> None:
    """Two strengths of each step, one of which is used at once."""
    page = studio.page
    studio.open_fold(page.locator("#at-train-grid > button"))
    box(page, "grid-strengths").fill("0.5, 1")
    box(page, "grid-prompts").fill("a sks gem")
    page.locator("#at-train-grid-paint").click()
    cells = page.locator("#at-train-grid-shown td img")
    expect(cells.last).to_be_visible(timeout=LONG)
    assert cells.last.evaluate("image => image.decode().then(() => image.naturalWidth)") > 0
    page.locator("#at-train-grid-shown td button").first.click()
    expect(studio.prompt).to_have_value("a sks gem <lora:gem:0.5>")
    studio.prompt.fill("")
    studio.tab("Train")


def test_an_open_tab_asks_for_nothing_by_itself(open_page: Callable[..., StudioPage]):
    studio = open_page()
    for tab in ("Train", "Models", "Train"):
        studio.tab(tab)
    studio.page.wait_for_timeout(4000)
    asked: list[str] = []
    studio.page.on(
        "request", lambda each: asked.append(each.url) if "queue/join" in each.url else None
    )
    studio.page.wait_for_timeout(4000)
    assert asked == []


def test_open_runs_are_followed_and_left_ones_are_not_asked_for(
    server: LiveServer, open_page: Callable[..., StudioPage]
):
    run = RunFolder(server.data / "runs" / "bee-0")
    asked = TrainRequest(name="bee", pictures="bees", prompt="a sks bee", trigger="sks")
    Task(request=asked, data=server.data, pictures=server.data).write(run.path)
    run.tell(RunStatus(Phase.PAUSED, step=1, steps=5))
    studio = open_page()
    studio.tab("Train")
    studio.page.get_by_role("tab", name="Runs").click()
    mine = studio.page.locator("#at-train-runs-table tr[data-pick='bee-0']")
    expect(mine).to_contain_text("1 of 5")
    mine.focus()
    run.tell(RunStatus(Phase.PAUSED, step=3, steps=5))
    expect(mine).to_contain_text("3 of 5")
    expect(mine).to_be_focused()
    models = studio.page.get_by_role("tab", name="Models")
    models.focus()
    run.tell(RunStatus(Phase.PAUSED, step=4, steps=5))
    expect(mine).to_contain_text("4 of 5")
    expect(models).to_be_focused()
    told: list[str] = []
    studio.page.on("request", lambda each: told.append(each.url))

    def is_asked_for() -> bool:
        studio.page.wait_for_timeout(4000)  # what had begun
        told.clear()
        studio.page.wait_for_timeout(4000)
        return any("queue/join" in url for url in told)

    assert is_asked_for()
    studio.tab("Models")
    assert not is_asked_for()
    studio.tab("Train")
    assert is_asked_for()
    studio.watch.tolerate("ERR_FAILED")
    studio.page.route("**/status", lambda route: route.abort())
    expect(studio.page.locator(".at-status")).to_have_text("No answer from the server")
    assert not is_asked_for()
