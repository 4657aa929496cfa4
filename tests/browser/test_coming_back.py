"""A page that is reloaded, closed or cut off finds its settings and its job again."""

import re

import pytest
from playwright.sync_api import expect

from browser.live_server import LiveServer
from browser.studio_page import CUT, LONG, StudioPage


def test_settings_survive_a_reload(studio: StudioPage):
    studio.unfold()
    studio.negative.fill("leaf")
    studio.choose("sampler", "UniPC")
    studio.fill("a red apple", steps=33, cfg_scale=6, width=192, height=256, seed=9, batch_count=2)
    before = studio.values()
    studio.settle()
    studio.open().unfold()
    assert studio.values() == before


def test_a_reload_in_mid_run_goes_on_with_the_progress(studio: StudioPage):
    studio.fill("a red apple", steps=12, batch_count=100)
    studio.run()
    studio.works()
    job = studio.stage.get_attribute("data-job")
    studio.watch.tolerate(CUT)
    studio.open()
    studio.works()
    assert studio.stage.get_attribute("data-job") == job
    before = len(studio.pictures())
    expect(studio.strip.nth(before)).to_be_visible(timeout=LONG)
    steps = [text for text in studio.seen()["steps"] if text.startswith("Step ")]
    assert len(steps) > 1
    assert re.fullmatch(r"Step \d+ of 12 · picture \d+ of 100", steps[-1])
    studio.page.keyboard.press("Escape")
    studio.ends("cancelled")
    assert len(studio.pictures()) > before
    expect(studio.large).to_have_attribute("src", f"outputs/{studio.pictures()[0]}/image")


def test_a_new_tab_finds_the_job_of_a_closed_one(studio: StudioPage):
    studio.fill("a blue cat", steps=30, seed=4)
    studio.run()
    studio.works()
    job = studio.stage.get_attribute("data-job")
    context = studio.page.context
    studio.watch.tolerate(CUT)
    studio.page.close()
    late = StudioPage(context.new_page(), studio.url, studio.watch).open()
    late.ends()
    assert late.stage.get_attribute("data-job") == job
    assert len(late.pictures()) == 1
    again = StudioPage(context.new_page(), studio.url, studio.watch).open()
    expect(again.strip).to_have_count(1)  # it follows its jobs only after it knows of them
    assert again.pictures() == late.pictures()


@pytest.fixture
def mortal(tmp_path) -> LiveServer:
    """A server of this test's own, to be killed."""
    live = LiveServer(tmp_path).start()
    yield live
    live.stop()


def test_a_killed_server_goes_on_with_the_job(open_page, mortal: LiveServer):
    studio: StudioPage = open_page(mortal.url)
    studio.watch.tolerate(rf"{CUT}|Failed to load resource|Failed to fetch|ERR_")
    studio.fill("a red apple", steps=8, batch_count=60)
    studio.run()
    expect(studio.strip.nth(1)).to_be_visible(timeout=LONG)
    mortal.kill()
    expect(studio.page.locator(".at-status")).to_contain_text("No answer from the server")
    mortal.start()
    studio.open()
    studio.works()
    kept = len(studio.pictures())
    assert 2 <= kept < 60
    expect(studio.strip.nth(kept)).to_be_visible(timeout=LONG)
    studio.page.keyboard.press("Escape")
    studio.ends("cancelled")
    kept = len(studio.pictures())
    assert kept == len(set(studio.pictures()))
    studio.fill(steps=2, batch_count=1)
    studio.run()
    studio.ends()
    assert len(studio.pictures()) == kept + 1
