"""One browser and one server for all journeys; a page that went wrong fails its test."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, expect, sync_playwright

from browser.live_server import CHROMIUM_ARGUMENTS, LiveServer, find_chromium
from browser.studio_page import RECORDER, StudioPage, Watch

Open = Callable[..., StudioPage]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All tests of this folder drive a browser, and see whether it is quick."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.browser)
            item.add_marker(pytest.mark.alone)


# Of the package, not of the session: Playwright keeps an event loop running in this thread, and
# tests elsewhere run their own.
@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    """The browser of this machine; without one the journeys are skipped, under CI they fail."""
    path = find_chromium()
    if path is None:
        reason = "No Chromium was found; install chromium or let CHROMIUM name one."
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    with sync_playwright() as playwright:
        expect.set_options(timeout=15_000)
        browser = playwright.chromium.launch(executable_path=path, args=list(CHROMIUM_ARGUMENTS))
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def server(chromium: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """The server that journeys share; each leaves the device free."""
    live = LiveServer(tmp_path_factory.mktemp("server")).start()
    yield live
    live.stop()


@pytest.fixture
def open_context(chromium: Browser) -> Iterator[Callable[..., tuple[BrowserContext, Watch]]]:
    """Opens browser contexts: each has its own storage, as another person's browser has."""
    opened: list[tuple[BrowserContext, Watch]] = []

    def open_one(**options: object) -> tuple[BrowserContext, Watch]:
        context = chromium.new_context(**options)  # type: ignore[arg-type]
        context.set_default_timeout(30_000)
        context.add_init_script(RECORDER)
        opened.append((context, Watch(context)))
        return opened[-1]

    yield open_one
    found = [error for _, watch in opened for error in watch.found()]
    for context, _ in opened:
        context.close()
    assert not found, "errors on the page:\n" + "\n".join(found)


@pytest.fixture
def open_page(server: LiveServer, open_context: Callable) -> Iterator[Open]:
    """Opens the page in a context of its own; `url` names another server."""
    strangers: list[Callable[[], list[str]]] = []

    def open_one(url: str = "", **options: object) -> StudioPage:
        options = {"viewport": {"width": 1440, "height": 900}} | options
        context, watch = open_context(**options)
        address = url or server.url
        strangers.append(lambda: watch.strangers(address))
        return StudioPage(context.new_page(), address, watch).open()

    yield open_one
    asked = [address for look in strangers for address in look()]
    assert not asked, f"the page asked other hosts: {asked}"


@pytest.fixture
def studio(open_page: Open) -> StudioPage:
    """The page in a fresh browser of 1440 x 900."""
    return open_page()
