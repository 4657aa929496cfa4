"""The first administrator by the link that the server prints, and the page of one's account."""

import re
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from browser.live_server import LiveServer
from browser.studio_page import CUT, LONG

PASSWORD, OTHER = "three words and more", "four other words here"


@pytest.fixture(scope="module")
def fresh(chromium, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """A studio with accounts that nobody manages yet."""
    live = LiveServer(tmp_path_factory.mktemp("fresh"), ATELIER_ACCOUNTS="on").start()
    yield live
    live.stop()


def answers(url: str, token: str) -> int:
    """The status that a program gets with a token."""
    asked = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})
    try:
        with urllib.request.urlopen(asked, timeout=20) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def log_in(page: Page, url: str, password: str) -> None:
    page.goto(f"{url}/login?next=/account")
    page.get_by_label("Name").fill("Ada")
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Open the studio").click()


def test_from_the_printed_link_to_a_token_and_another_password(fresh: LiveServer, open_context):
    context, watch = open_context(viewport={"width": 1440, "height": 900})
    for words in (r"status of 401", r"status of 422", CUT):
        watch.tolerate(words)
    link = re.search(r"open (http://\S+/setup#key=\S+) within a day", fresh.log()).group(1)
    page = context.new_page()
    page.goto(link)
    expect(page).to_have_url(f"{fresh.url}/setup")  # the key leaves the address at once
    expect(page.get_by_label("Name")).to_be_focused()
    page.get_by_label("Name").fill("Ada")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_label("The same again").fill(f"{PASSWORD}!")
    page.get_by_role("button", name="Begin").click()
    expect(page).to_have_url(f"{fresh.url}/setup")
    page.get_by_label("The same again").fill(PASSWORD)
    page.get_by_role("button", name="Begin").click()
    expect(page.get_by_role("tab", name="Gallery")).to_be_visible(timeout=LONG)
    account = page.get_by_role("button", name="You and your use")
    expect(account).to_have_text("Ada")

    stranger = open_context()
    stranger[1].tolerate(r"status of 404")
    late = stranger[0].new_page()
    late.goto(link)
    late.get_by_label("Name").fill("Mallory")
    late.get_by_label("Password", exact=True).fill(PASSWORD)
    late.get_by_label("The same again").fill(PASSWORD)
    late.get_by_role("button", name="Begin").click()
    expect(late.get_by_role("alert")).to_contain_text("used up or too old")

    account.click()
    page.get_by_role("link", name="Password, tokens and browsers").click()
    expect(page.get_by_role("heading", name="Ada (administrator)")).to_be_visible()
    page.get_by_label("What is it for?").fill("a script")
    page.get_by_role("button", name="Make a token").click()
    expect(page.locator("#made code")).to_contain_text("atelier_")
    token = page.locator("#made code").inner_text()
    assert answers(f"{fresh.url}/status", token) == 200
    page.reload()
    expect(page.locator("#tokens li")).to_contain_text("a script")
    assert token not in page.content(), "it is shown once"
    page.get_by_role("button", name="Revoke: a script").click()
    expect(page.locator("#tokens li")).to_have_count(0)
    assert answers(f"{fresh.url}/status", token) == 401

    log_in(late, fresh.url, PASSWORD)
    expect(late.get_by_role("heading", name="Ada (administrator)")).to_be_visible()
    _change_the_password(page, late, fresh, stranger[1])


def _change_the_password(page: Page, late: Page, fresh: LiveServer, watch) -> None:
    """Which ends the session of the other browser, and not one's own."""
    watch.tolerate(r"status of 401")
    page.get_by_label("Old password").fill("not it at all")
    page.get_by_label("New password").fill(OTHER)
    page.get_by_role("button", name="Change it").click()
    expect(page.get_by_role("alert")).to_have_text("The old password is not right; type it again.")
    page.get_by_label("Old password").fill(PASSWORD)
    page.get_by_label("New password").fill(OTHER)
    page.get_by_role("button", name="Change it").click()
    expect(page.get_by_label("Old password")).to_have_value("")
    expect(page.locator("#problem")).to_have_text("")
    late.reload()
    expect(late.get_by_role("button", name="Open the studio")).to_be_visible()
    log_in(late, fresh.url, PASSWORD)
    expect(late.get_by_role("alert")).to_contain_text("not the name and password")
    log_in(late, fresh.url, OTHER)
    expect(late.get_by_role("heading", name="Ada (administrator)")).to_be_visible()
    expect(page.locator("#sessions li")).to_have_count(1)
    page.set_viewport_size({"width": 390, "height": 844})
    for path in ("/account", "/setup"):
        page.goto(f"{fresh.url}{path}")
        expect(page.get_by_role("button").first).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, path
