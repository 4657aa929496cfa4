"""Pages that work at the same time keep to themselves."""

from judge.judge import Judge
from playwright.sync_api import expect

from browser.studio_page import CUT, StudioPage, picture


def test_both_finish_and_each_shows_its_own(open_page):
    apple, butterfly = open_page(), open_page()
    apple.fill("a red apple", steps=20, seed=7)
    butterfly.fill("a purple butterfly", steps=16, seed=5)
    apple.run()
    butterfly.run()
    apple.ends()
    butterfly.ends()
    for page, steps in ((apple, "of 20"), (butterfly, "of 16")):
        seen = page.seen()
        assert seen["previews"] > 0
        assert {text[-5:] for text in seen["steps"] if text.startswith("Step ")} == {steps}
        assert len(page.pictures()) == 1
    assert apple.pictures() != butterfly.pictures()
    judge = Judge.load()
    assert judge.recognises(picture(apple.original()), "apple")
    assert judge.recognises(picture(butterfly.original()), "butterfly")


def test_cancelling_one_leaves_the_other_alone(open_page):
    running, waiting = open_page(), open_page()
    running.fill("a red apple", steps=150, batch_count=10)
    running.run()
    running.works()
    waiting.fill("a blue cat", steps=4)
    waiting.run()
    expect(waiting.page.locator(".at-progress")).to_contain_text("Next in line")
    waiting.page.keyboard.press("Escape")
    waiting.ends("cancelled", 10_000)
    expect(running.stage).to_have_attribute("data-status", "running")
    waiting.run()
    running.page.keyboard.press("Escape")
    running.ends("cancelled", 10_000)
    waiting.ends()
    assert (len(running.pictures()), len(waiting.pictures())) == (0, 1)


def test_two_tabs_of_one_browser_keep_apart_too(studio: StudioPage):
    other = StudioPage(studio.page.context.new_page(), studio.url, studio.watch).open()
    studio.fill("a red apple", steps=150, batch_count=10)
    studio.run()
    other.fill("a blue cat", steps=12)
    other.run()
    studio.works()
    studio.page.keyboard.press("Escape")
    studio.ends("cancelled", 10_000)
    other.ends()
    assert other.seen()["previews"] > 0
    assert (len(studio.pictures()), len(other.pictures())) == (0, 1)
    studio.watch.tolerate(CUT)
    studio.open()
    other.open()
    expect(studio.message).to_have_text("Cancelled.")
    expect(other.strip).to_have_count(1)
    assert (len(studio.pictures()), len(other.pictures())) == (0, 1)


def test_a_tab_opened_in_mid_run_cannot_cancel_it_once_it_has_a_job_of_its_own(studio: StudioPage):
    studio.fill("a red apple", steps=150, batch_count=10)
    studio.run()
    studio.works()
    first = studio.stage.get_attribute("data-job")
    late = StudioPage(studio.page.context.new_page(), studio.url, studio.watch).open()
    late.works()
    assert late.stage.get_attribute("data-job") == first
    late.fill("a blue cat", steps=4)
    late.run()
    expect(late.stage).not_to_have_attribute("data-job", first)
    expect(late.page.locator(".at-progress")).to_contain_text("Next in line")
    late.page.keyboard.press("Escape")
    late.ends("cancelled", 10_000)
    expect(studio.stage).to_have_attribute("data-status", "running")
    studio.page.keyboard.press("Escape")
    studio.ends("cancelled", 10_000)
