"""People beside each other: what one may use and has used, and what is shared with others."""

import json
import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page, expect
from sample_pictures import png
from train_runs import PROGRAM

from browser.live_server import LiveServer
from browser.studio_page import StudioPage
from studio.people import Role, acting_as
from studio.reader.leaderboard import Entry
from studio.reader.predictions import Predictions
from studio.services import Services, build_services
from studio.settings import Settings
from studio.training_requests import TrainRequest

PASSWORD = "three words and more"
PEOPLE = {"root": Role.ADMINISTRATOR, "Ada": Role.MEMBER, "Bob": Role.MEMBER, "Vi": Role.VIEWER}
Enter = Callable[..., StudioPage]


@pytest.fixture(scope="module")
def peopled(chromium, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """A studio of four people, with a picture set, a run and a submission of Ada's."""
    folder = tmp_path_factory.mktemp("peopled")
    settings = Settings(data_dir=folder / "data", device="cpu", accounts="on")
    services = build_services(settings, training_program=PROGRAM)
    for name, role in PEOPLE.items():
        services.accounts.add(name, role, PASSWORD)
    ada = services.accounts.named("Ada").person
    with acting_as(services.accounts.named("root").person):
        services.allowance.quotas.set(ada.id, {"images_a_day": 2, "disk": 10**9})
    with acting_as(ada):
        services.picture_sets.create("cats")
        services.picture_sets.add("cats", [("a.png", png(128, 128))])
        services.run_now(TrainRequest(name="tom", pictures="cats", prompt="a cat", steps=10))
        _hand_in(services)
    services.stop()
    live = LiveServer(folder, ATELIER_ACCOUNTS="on").start()
    yield live
    live.stop()


def _hand_in(services: Services) -> None:
    """Answers to one question, on the leaderboard."""
    question = {"id": "q1", "question": "When?", "is_impossible": False}
    question["answers"] = [{"text": "1931", "answer_start": 3}]
    paragraph = {"context": "In 1931.", "qas": [question]}
    data = {"version": "v2.0", "data": [{"title": "Years", "paragraphs": [paragraph]}]}
    name = services.data_sets.add(json.dumps(data).encode(), "years.json")
    entry = Entry("minilm-reader-v0", "years", who="Ada")
    services.leaderboard.submit(entry, services.data_sets.get(name), Predictions({"q1": "1931"}))


@pytest.fixture
def enter(open_context, peopled: LiveServer) -> Enter:
    """Opens the studio as somebody."""

    def entered(name: str, width: int = 1440) -> StudioPage:
        context, watch = open_context(viewport={"width": width, "height": 900})
        form = {"username": name, "password": PASSWORD}
        context.request.post(f"{peopled.url}/login", form=form, max_redirects=0)
        studio = StudioPage(context.new_page(), f"{peopled.url}/", watch).open()
        expect(studio.page.locator(".at-account span")).to_have_text(name)
        return studio

    return entered


def sets(page: Page) -> None:
    page.get_by_role("tab", name="Train").click()
    page.get_by_role("tab", name="Pictures").click()


@pytest.mark.parametrize("width", [1440, 390])
def test_everyone_sees_what_they_may_have_and_have_used(enter, width):
    page = enter("Ada", width).page
    button, panel = page.locator(".at-account"), page.get_by_role("dialog", name="your use")
    expect(panel).to_be_hidden()
    button.click()
    expect(panel).to_contain_text("Images in 24 hours")
    expect(panel).to_contain_text("of 2")
    expect(panel).to_contain_text("of 1.0 GB")
    expect(panel.locator(".at-use")).to_have_count(2)
    place = panel.bounding_box()
    assert place
    assert place["x"] >= 0
    assert place["x"] + place["width"] <= width
    # Nothing of the page lies over it.
    over = panel.evaluate(
        "e => { const b = e.getBoundingClientRect(); return [...Array(20).keys()].every(i =>"
        " e.contains(document.elementFromPoint(b.left + 20, b.top + 5 + i * (b.height - 10) / 19)))"
        "; }"
    )
    assert over
    page.keyboard.press("Escape")
    expect(panel).to_be_hidden()
    expect(button).to_be_focused()


def test_a_used_up_quota_is_told_on_the_page_as_other_refusals_are(enter):
    studio = enter("Ada")
    studio.fill("a red apple", steps=1)
    studio.run()
    studio.ends()
    studio.unfold()
    studio.number("batch_count").fill("2")
    studio.prompt.focus()
    studio.page.keyboard.press("Control+Enter")
    expect(studio.page.get_by_test_id("toast-text")).to_contain_text("You may make 2 images a day")


def test_a_picture_set_is_shared_and_taken_back(enter):
    ada, bob = enter("Ada").page, enter("Bob").page
    sets(bob)
    expect(bob.locator("#at-set-sharing")).to_be_hidden()
    sets(ada)
    expect(ada.locator("#at-set-whose")).to_have_text("Yours alone.")
    ada.locator("#at-set-share").click()
    expect(ada.locator("#at-set-whose")).to_have_text("Yours, shared with everybody.")
    bob.get_by_role("tab", name="Runs").click()
    bob.get_by_role("tab", name="Pictures").click()
    expect(bob.locator("#at-set-whose")).to_have_text(
        "Made by Ada, shared with everybody; you may use it, not change it."
    )
    expect(bob.locator("#at-set-share")).to_be_hidden()
    bob.get_by_role("button", name="Find and replace").click()
    expect(bob.locator("#at-train-set-replace")).to_be_disabled()
    ada.locator("#at-set-share").click()
    expect(ada.locator("#at-set-whose")).to_have_text("Yours alone.")


FOREIGN = "Made by Ada, shared with everybody; you may use it, not change it."


def test_a_run_is_shared_and_can_be_looked_at_only(enter):
    def runs(page: Page) -> None:
        page.get_by_role("tab", name="Train").click()
        page.get_by_role("tab", name="Runs").click()

    ada, bob = enter("Ada").page, enter("Bob").page
    runs(bob)
    expect(bob.locator("#at-train-runs-table")).not_to_contain_text("tom")
    runs(ada)
    ada.locator("#at-train-runs-table tr[data-pick]", has_text="tom").click()
    expect(ada.locator("#at-run-whose")).to_have_text("Yours alone.")
    ada.locator("#at-run-share").click()
    expect(ada.locator("#at-run-whose")).to_have_text("Yours, shared with everybody.")
    sets(bob)
    runs(bob)
    bob.locator("#at-train-runs-table tr[data-pick]", has_text="tom").click()
    expect(bob.locator("#at-run-whose")).to_have_text(FOREIGN)
    expect(bob.locator("#at-run-share")).to_be_hidden()
    expect(bob.locator("#at-train-runs-remove")).to_be_disabled()
    expect(ada.locator("#at-train-runs-remove")).to_be_enabled()


def test_an_entry_of_the_leaderboard_is_shared_and_can_be_looked_at_only(enter):
    def board(page: Page) -> None:
        page.get_by_role("tab", name="Reader").click()
        page.get_by_role("tab", name="Ask").click()
        page.get_by_role("tab", name="Leaderboard").click()

    ada, bob = enter("Ada").page, enter("Bob").page
    board(bob)
    expect(bob.locator("#at-board-table")).to_contain_text("Nobody stands here yet")
    board(ada)
    ada.locator("#at-board-table tr[data-pick]", has_text="minilm").click()
    expect(ada.locator("#at-board-whose")).to_have_text("Yours alone.")
    ada.locator("#at-board-share").click()
    expect(ada.locator("#at-board-whose")).to_have_text("Yours, shared with everybody.")
    board(bob)
    bob.locator("#at-board-table tr[data-pick]", has_text="minilm").click()
    expect(bob.locator("#at-board-whose")).to_have_text(FOREIGN)
    expect(bob.locator("#at-board-delete")).to_be_disabled()


def test_administrators_limit_a_model_to_people_by_their_names(enter):
    root = enter("root").page
    root.get_by_role("tab", name="Models").click()
    root.locator(".at-model", has_text="minilm").click()
    expect(root.locator("#at-model-whose")).to_have_text("Everybody's.")
    root.locator("#at-model-people input").click()
    root.get_by_role("option", name="Bob").click()
    expect(root.locator("#at-model-whose")).to_have_text("Everybody's, limited to Bob.")
    root.keyboard.press("Escape")
    for name, there in (("Bob", 1), ("Vi", 0)):
        page = enter(name).page
        page.get_by_role("tab", name="Models").click()
        expect(page.locator(".at-model", has_text="Emoji")).to_have_count(1)
        expect(page.locator(".at-model", has_text="minilm")).to_have_count(there)
        page.locator(".at-model", has_text="Emoji").click()
        expect(page.locator("#at-model-default")).to_be_disabled()
        expect(page.locator("#at-model-people")).to_be_hidden()
        page.locator("#at-model-use").hover()
        expect(page.locator("#at-model-default")).to_have_attribute("title", "For administrators")
        if name == "Vi":
            expect(page.locator("#at-model-load")).to_be_disabled()


def test_at_home_there_is_nothing_of_it(studio: StudioPage):
    page = studio.page
    expect(page.locator(".at-account")).to_have_count(0)
    page.get_by_role("tab", name="Models").click()
    page.locator(".at-model").first.click()
    expect(page.locator("#at-model-use")).to_be_visible()
    expect(page.locator("#at-model-sharing")).to_be_hidden()
    expect(page.locator("#at-model-default")).to_be_enabled()


def test_who_may_only_look_finds_the_buttons_that_begin_work_at_rest(enter):
    page = enter("Vi").page
    for tab, name in (
        ("Edit", "edit-"),
        ("Extras", "extras-"),
        ("Train", "train-"),
        ("Reader", "reader-"),
        ("Generate", ""),
    ):
        page.get_by_role("tab", name=tab, exact=True).click()
        expect(page.locator(f"#at-{name}run")).to_be_disabled()
    page.locator("#at-run").hover(force=True)
    expect(page.locator("#at-run")).to_have_attribute("title", re.compile("lets you look"))
    page.locator("#at-prompt textarea").press("Control+Enter")
    page.wait_for_timeout(2000)  # in which a press that was taken would be refused with a message
    expect(page.get_by_test_id("toast-text")).to_have_count(0)
    expect(page.locator("#at-stage .at-stage")).to_have_attribute("data-job", "")
    expect(enter("Bob").page.locator("#at-run")).to_be_enabled()
