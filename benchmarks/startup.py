"""From the start of `atelier serve` to the first page and to the first picture."""

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.figure import Figure

if TYPE_CHECKING:
    from playwright.sync_api import Browser

_ROUNDS = 3
_BROWSERS = ("chromium", "chromium-browser", "google-chrome")
_ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
_ROOT = Path(__file__).resolve().parents[1]


def measure() -> list[Figure]:
    """Medians after one start that warms the disk; a real browser presses Generate."""
    from playwright.sync_api import sync_playwright

    browser_path = next(filter(None, map(shutil.which, _BROWSERS)), None)
    if browser_path is None:
        print("No Chromium was found: the start is not measured.")
        return []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path, args=_ARGUMENTS)
        _start_once(browser)
        pages, pictures = zip(*(_start_once(browser) for _ in range(_ROUNDS)), strict=True)
        browser.close()
    return [
        Figure("start to first page", statistics.median(pages), "s", 6),
        Figure("start to first picture in the browser", statistics.median(pictures), "s", 20),
    ]


def _start_once(browser: "Browser") -> tuple[float, float]:
    """Seconds until the page answers, and until the browser shows a first picture."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "ATELIER_DATA_DIR": folder, "PYTHONUNBUFFERED": "1"}
        start = time.perf_counter()
        with subprocess.Popen(
            [sys.executable, str(_ROOT / "app.py"), "serve", "--port", "0"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment,
        ) as server:
            try:
                assert server.stdout is not None
                address = server.stdout.readline().split()[3]
                _wait(f"{address}/")
                page_seconds = time.perf_counter() - start
                _generate(browser, address)
                return page_seconds, time.perf_counter() - start
            finally:
                server.terminate()


def _generate(browser: "Browser", address: str) -> None:
    page = browser.new_page()
    page.goto(address)
    page.fill("#at-prompt textarea", "a red apple")
    page.click("#at-run")
    page.wait_for_selector(".at-stage[data-status=finished]", timeout=120_000)
    page.close()


def _wait(address: str) -> None:
    for _ in range(3000):
        try:
            with urllib.request.urlopen(address) as answer:
                answer.read()
            return
        except OSError:
            time.sleep(0.02)
    raise TimeoutError(f"{address} did not answer within a minute")
