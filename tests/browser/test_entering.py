"""The way in: past the login page, and below the path of a proxy."""

from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from browser.live_server import LiveServer
from browser.path_proxy import PathProxy
from browser.studio_page import StudioPage, Watch

PASSWORD = "three words and more"
REFUSED = r"status of 401"


@pytest.fixture(scope="module")
def locked(chromium, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """A studio that others could reach, so that it has a password, below a path."""
    folder = tmp_path_factory.mktemp("locked")
    (folder / "password").write_text(f"{PASSWORD}\n")
    live = LiveServer(
        folder,
        ATELIER_HOST="0.0.0.0",
        ATELIER_PASSWORD_FILE=str(folder / "password"),
        ATELIER_ROOT_PATH="/art/studio",
    ).start()
    yield live
    live.stop()


@pytest.fixture(params=[True, False], ids=["path taken off", "path left on"])
def proxy(locked: LiveServer, request) -> Iterator[PathProxy]:
    port = urlsplit(locked.url).port
    made = PathProxy(f"http://127.0.0.1:{port}", "/art/studio", strips=request.param)
    yield made
    made.stop()


def enter(page: Page, password: str = PASSWORD) -> None:
    page.get_by_label("Name").fill("admin")
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Open the studio").click()


def test_the_whole_studio_works_below_a_path_behind_a_password(open_context, proxy: PathProxy):
    context, watch = open_context(viewport={"width": 1440, "height": 900})
    page = context.new_page()
    watch.tolerate(REFUSED)
    watch.tolerate(r"404 .*/favicon.ico")
    page.goto(proxy.url)
    expect(page).to_have_url(f"{proxy.url}login?next=/")
    # Nobody else has an account yet, so that its name goes without saying.
    expect(page.get_by_label("Name")).to_have_value("admin")
    expect(page.get_by_label("Password")).to_be_focused()
    enter(page, "it is not this")
    expect(page.get_by_role("alert")).to_have_text(
        "That is not the name and password of anybody here."
    )
    card, behind = page.locator("form"), page.locator("body")
    look = "e => getComputedStyle(e).backgroundColor"
    ground = behind.evaluate(look)
    assert card.evaluate(look) == "rgb(255, 255, 255)"
    enter(page)
    expect(page).to_have_url(proxy.url)

    studio = StudioPage(page, proxy.url, watch).open()
    assert page.locator("body").evaluate(look) == ground, "the login looks like the studio"
    studio.fill("a red apple", steps=12, seed=7)
    studio.run()
    studio.ends()
    assert studio.seen()["previews"] > 0, "events come while it works"
    assert studio.large.evaluate("e => e.decode().then(() => e.naturalWidth)") > 0
    expect(page.locator(".at-status")).to_contain_text("0 running")
    page.get_by_role("tab", name="Edit").click()
    page.get_by_role("tab", name="Gallery").click()
    expect(page.locator("#at-gallery img").first).to_be_visible()
    assert proxy.asked, "all went through the proxy"
    # The browser itself asks for that before Gradio's page has said which icon it has.
    outside = {path for path in proxy.asked if not path.startswith("/art/studio/")}
    assert outside <= {"/favicon.ico"}
    icon = page.locator("link[rel=icon]").first.get_attribute("href")
    assert icon.startswith("data:image/svg+xml")
    assert watch.strangers(proxy.url) == []
    _kept_for_the_server(context, page, proxy.url, watch)


def _kept_for_the_server(context: BrowserContext, page: Page, url: str, watch: Watch) -> None:
    """The session is out of reach for scripts, and its end leads to the login."""
    [cookie] = [each for each in context.cookies() if each["name"].startswith("atelier-")]
    assert (cookie["httpOnly"], cookie["sameSite"], cookie["path"]) == (True, "Lax", "/art/studio")
    assert cookie["name"] not in page.evaluate("document.cookie")
    watch.tolerate(r"AbortError|Connection errored out|network error")
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_role("button", name="Open the studio")).to_be_visible()
    assert not [each for each in context.cookies() if each["name"] == cookie["name"]]
    enter(page)
    expect(page.get_by_role("tab", name="Gallery")).to_be_visible()
    StudioPage(page, url, watch).open().settle()
    context.clear_cookies()  # as when the session has run out while the page is open
    expect(page.get_by_role("button", name="Open the studio")).to_be_visible()


def test_the_login_follows_the_chosen_colours(open_context, locked: LiveServer):
    url = f"http://127.0.0.1:{urlsplit(locked.url).port}/login"
    look = "() => getComputedStyle(document.body).backgroundColor"
    for scheme, ground in (("light", "rgb(250, 250, 249)"), ("dark", "rgb(20, 18, 17)")):
        context, _ = open_context(color_scheme=scheme)
        page = context.new_page()
        page.goto(url)
        assert page.evaluate(look) == ground
    page.evaluate("localStorage.setItem('atelier-theme', 'light')")
    page.reload()
    assert page.evaluate(look) == "rgb(250, 250, 249)"


def test_the_login_on_a_phone(open_context, locked: LiveServer):
    context, _ = open_context(viewport={"width": 320, "height": 480}, has_touch=True)
    page = context.new_page()
    page.goto(f"http://127.0.0.1:{urlsplit(locked.url).port}/login")
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
    expect(page.get_by_role("button", name="Open the studio")).to_be_in_viewport()
