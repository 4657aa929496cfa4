"""The Gallery tab over ten thousand pictures."""

import time
from dataclasses import replace

import pytest
from playwright.sync_api import Locator, expect
from sample_pictures import picture, png
from sqlalchemy import text

from browser.live_server import LiveServer
from browser.studio_page import StudioPage
from studio.diffusion.metadata import infotext
from studio.requests import GenerationRequest, Sampler
from studio.store.database import Database
from studio.store.jobs import JobTable
from studio.store.outputs import OutputTable

TOTAL = 10_000
REAL = 130
"""The newest are files of their own; two pages and a bit."""
SECONDS = 2.0

COPIES = """
INSERT INTO outputs (job_id, created_at, file, width, height, bytes, seed, model, prompt,
                     negative_prompt, infotext, request, folded)
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :count)
SELECT :job, i, 'outputs/old/' || i || '.png', 128, 128, 1000, i, 'older-model',
       CASE WHEN i % 100 = 0 THEN 'a rare unicorn ' ELSE 'a common horse ' END || i, '',
       'a picture of long ago', '{}',
       CASE WHEN i % 100 = 0 THEN 'a rare unicorn ' ELSE 'a common horse ' END || i || ' older'
FROM n
"""


def fill(folder) -> None:
    """A data folder with ten thousand pictures, of which the newest are real files."""
    folder.mkdir()
    database = Database(folder)
    job = JobTable(database).add("generate", "{}")
    with database.write() as db:
        db.execute(text(COPIES), {"count": TOTAL - REAL, "job": job.id})
        db.execute(text("UPDATE jobs SET status = 'finished'"))
    outputs = OutputTable(database, folder)
    for number in range(1, REAL + 1):
        request = GenerationRequest(
            model="",
            prompt=f"a red apple {number}",
            negative_prompt="leaf",
            sampler=Sampler.DDIM,
            steps=12,
            cfg_scale=6,
            width=192,
            height=128,
            seed=number,
        )
        colour = (number * 53 % 256, number * 97 % 256, number * 29 % 256)
        made = picture(request.prompt, number, "newer-model", png(128, 128, colour))
        outputs.save(
            job.id,
            replace(
                made,
                infotext=infotext.write(request, "newer-model", "", "0"),
                request=request.model_dump_json(),
            ),
        )
    database.close()


@pytest.fixture(scope="module")
def full(chromium, tmp_path_factory) -> LiveServer:
    """A server on ten thousand pictures."""
    folder = tmp_path_factory.mktemp("full")
    fill(folder / "data")
    live = LiveServer(folder).start()
    yield live
    live.stop()


def tiles(studio: StudioPage) -> Locator:
    """The tiles of the page that is shown."""
    return studio.page.locator("#at-gallery .at-tile")


def count(studio: StudioPage) -> Locator:
    """The words between the buttons."""
    return studio.page.locator("#at-gallery-count")


DRAWN = """() => {
  const images = [...document.querySelectorAll("#at-gallery .at-tile img")];
  const seen = images.filter((i) => i.getBoundingClientRect().top < innerHeight);
  return images.length === 60 && seen.length > 10
    && seen.every((i) => i.complete && i.naturalWidth > 0);
}"""


def test_it_opens_in_under_two_seconds(open_page, full: LiveServer):
    times = []
    for _ in range(3):  # a busy machine may need a second attempt
        studio = open_page(full.url)
        start = time.monotonic()
        studio.tab("Gallery")
        studio.page.wait_for_function(DRAWN)
        times.append(time.monotonic() - start)
        expect(count(studio)).to_have_text(f"1–60 of {TOTAL:,}")
        if times[-1] < SECONDS:
            break
    print(f"gallery of {TOTAL:,} open after {min(times):.2f} s")
    assert min(times) < SECONDS


def test_paging_search_and_models(open_page, full: LiveServer):
    studio: StudioPage = open_page(full.url)
    studio.tab("Gallery")
    expect(tiles(studio)).to_have_count(60)
    newer = studio.page.get_by_role("button", name="Newer")
    older = studio.page.get_by_role("button", name="Older")
    expect(newer).to_be_disabled()
    newest = tiles(studio).first.get_attribute("data-id")
    older.click()
    expect(count(studio)).to_have_text("61–120 of 10,000")
    assert tiles(studio).first.get_attribute("data-id") == str(int(newest) - 60)
    newer.click()
    expect(count(studio)).to_have_text("1–60 of 10,000")
    older.click()
    expect(count(studio)).to_have_text("61–120 of 10,000")

    def look_for(words: str) -> None:
        studio.page.locator("#at-search textarea").fill(words)

    look_for("APPLE 77")
    expect(count(studio)).to_have_text("1–1 of 1")
    look_for("no such thing")
    expect(studio.page.locator("#at-gallery .at-empty")).to_have_text("Nothing matches.")
    look_for("red apple")
    expect(count(studio)).to_have_text(f"1–60 of {REAL}")
    look_for("")
    expect(count(studio)).to_have_text("1–60 of 10,000")
    studio.page.get_by_label("Model", exact=True).last.click()
    studio.page.get_by_role("option", name="newer-model").click()
    expect(count(studio)).to_have_text(f"1–60 of {REAL}")


def test_trash_and_its_undo(open_page, full: LiveServer):
    studio: StudioPage = open_page(full.url)
    studio.tab("Gallery")
    expect(tiles(studio)).to_have_count(60)
    victim = tiles(studio).nth(2)
    number = victim.get_attribute("data-id")
    victim.click()
    detail = studio.page.locator(".at-detail")
    expect(detail.locator("pre")).to_contain_text("Steps: 12, Sampler: DDIM")
    detail.get_by_role("button", name="Move to trash").click()
    expect(count(studio)).to_have_text("1–60 of 9,999")
    assert number not in [t.get_attribute("data-id") for t in tiles(studio).all()]
    studio.page.locator("#at-undo").click()
    expect(count(studio)).to_have_text("1–60 of 10,000")
    expect(tiles(studio).nth(2)).to_have_attribute("data-id", number)
    expect(studio.page.locator("#at-undo")).to_be_hidden()
    tiles(studio).nth(2).click()
    detail.get_by_role("button", name="Move to trash").click()
    expect(count(studio)).to_have_text("1–60 of 9,999")
    studio.page.get_by_label("Trash").click()
    expect(count(studio)).to_have_text("1–1 of 1")
    tiles(studio).first.click()
    detail.get_by_role("button", name="Restore").click()
    expect(tiles(studio)).to_have_count(0)
    studio.page.get_by_label("Pictures", exact=True).first.click()
    expect(count(studio)).to_have_text("1–60 of 10,000")


def test_a_picture_is_sent_to_generate(open_page, full: LiveServer):
    studio: StudioPage = open_page(full.url)
    studio.tab("Gallery")
    tiles(studio).first.click()
    studio.page.get_by_role("button", name="Send to Generate").click()
    expect(studio.prompt).to_be_visible()
    expect(studio.prompt).to_have_value(f"a red apple {REAL}")
    studio.unfold()
    shown = studio.values()
    wanted = {
        "negative_prompt": "leaf",
        "sampler": "DDIM",
        "steps": "12",
        "cfg_scale": "6",
        "width": "192",
        "height": "128",
        "seed": str(REAL),
    }
    assert {name: shown[name] for name in wanted} == wanted
