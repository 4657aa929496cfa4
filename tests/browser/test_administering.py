"""The administrators' page on a real server: everything that stands on it, and who is let in."""

import csv
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from browser.live_server import LiveServer
from browser.studio_page import CUT, LONG

PASSWORD = "three words and more"
SECTIONS = ("People", "Jobs", "Devices", "Disk", "Audit log", "Settings")


@pytest.fixture(scope="module")
def managed(chromium, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """A studio with accounts, whose administrator the settings name."""
    live = LiveServer(
        tmp_path_factory.mktemp("managed"),
        ATELIER_ACCOUNTS="on",
        ATELIER_PASSWORD=PASSWORD,
        ATELIER_QUOTA_IMAGES_A_DAY="40",
    ).start()
    yield live
    live.stop()


@pytest.fixture
def admin(managed: LiveServer, open_context) -> Page:
    """The page in an administrator's browser."""
    context, watch = open_context(viewport={"width": 1440, "height": 900})
    watch.tolerate(rf"status of 422|{CUT}")
    page = context.new_page()
    page.goto(f"{managed.url}/login?next=/admin")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Open the studio").click()
    expect(page.get_by_role("heading", name="People")).to_be_visible()
    return page


def section(page: Page, name: str) -> None:
    page.get_by_role("link", name=name, exact=True).click()
    expect(page.get_by_role("heading", name=name, exact=True)).to_be_visible()


def submit(page: Page, prompt: str, steps: int = 2, count: int = 1) -> str:
    """Put a job into the queue as the page's person; its id."""
    job = {"kind": "generate", "prompt": prompt, "steps": steps, "batch_count": count}
    answer = page.request.post(f"{page.url.rpartition('/')[0]}/api/v1/jobs", data=job)
    return str(answer.json()["id"])


def invited(admin: Page, managed: LiveServer, open_context, name: str) -> Page:
    """Add somebody on the page, and enter as them by the link that it shows."""
    admin.get_by_label("Name", exact=True).fill(name)
    admin.get_by_role("button", name="Add").click()
    expect(admin.locator("#link")).to_contain_text(f"Send this to {name}")
    link = admin.locator("#link code").inner_text()
    assert link.startswith(f"{managed.url}/setup#key=")
    context, watch = open_context(viewport={"width": 1440, "height": 900})
    watch.tolerate(rf"status of 40[13]|{CUT}")
    page = context.new_page()
    page.goto(link)
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_label("The same again").fill(PASSWORD)
    page.get_by_role("button", name="Begin").click()
    expect(page.get_by_role("button", name="You and your use")).to_have_text(name, timeout=LONG)
    return page


def test_a_day_of_an_administrator(admin: Page, managed: LiveServer, open_context, tmp_path: Path):
    ben = invited(admin, managed, open_context, "Ben")
    expect(ben.get_by_role("link", name="Administration")).to_be_hidden()
    assert ben.goto(f"{managed.url}/admin").status == 403
    _give_a_quota(admin)
    running = submit(ben, "a red apple", steps=100, count=12)
    waiting = [submit(ben, f"a pear {number}", steps=100) for number in (1, 2)]
    _order_the_jobs(admin, running, waiting)
    _look_at_devices_and_disk(admin)
    _read_the_log(admin, tmp_path)
    section(admin, "Settings")
    row = admin.get_by_role("row", name="ATELIER_QUOTA_IMAGES_A_DAY")
    expect(row).to_contain_text("40")
    expect(row).to_contain_text("environment")
    assert PASSWORD not in admin.content()
    admin.get_by_label("Only what was set").check()
    expect(admin.get_by_role("row", name="ATELIER_TRASH_DAYS")).to_have_count(0)
    section(admin, "People")
    admin.once("dialog", lambda dialog: dialog.accept())
    admin.get_by_role("button", name="Remove: Ben").click()
    expect(admin.get_by_label("Role of Ben")).to_have_count(0)
    ben.goto(managed.url)
    expect(ben.get_by_role("button", name="Open the studio")).to_be_visible()


def _give_a_quota(admin: Page) -> None:
    box = admin.get_by_label("Images in 24 hours: limit of Ben")
    expect(box).to_have_attribute("placeholder", "40")
    box.fill("30")
    box.press("Enter")
    admin.reload()
    expect(box).to_have_value("30")
    box.fill("")
    box.blur()
    admin.reload()
    expect(box).to_have_value("")
    expect(admin.get_by_label("Images in 24 hours: limit of admin")).to_be_disabled()
    admin.get_by_role("button", name="Disable: admin").click()
    expect(admin.get_by_role("alert")).to_contain_text("the last administrator")


def _order_the_jobs(admin: Page, running: str, waiting: list[str]) -> None:
    section(admin, "Jobs")
    expect(admin.locator("#jobs-running tbody tr")).to_have_count(1, timeout=LONG)
    rows = admin.locator("#jobs-waiting tbody tr")
    expect(rows).to_have_count(2)
    expect(rows.nth(0)).to_contain_text("a pear 1")
    raise_ = admin.get_by_role("button", name=f"Put first: generate of Ben {waiting[1][:8]}")
    raise_.focus()
    admin.wait_for_timeout(2500)  # in which the list is made anew
    expect(raise_).to_be_focused()
    admin.keyboard.press("Enter")
    expect(rows.nth(0)).to_contain_text("put first")
    expect(rows.nth(0)).to_contain_text("a pear 2")
    for job in (*waiting, running):
        admin.get_by_role("button", name=f"Cancel: generate of Ben {job[:8]}").click()
    expect(admin.locator("#jobs-running")).to_contain_text("Nothing runs.", timeout=LONG)
    expect(admin.locator("#jobs-waiting")).to_contain_text("Nobody waits.")
    expect(admin.locator("#jobs-ended tbody tr")).to_have_count(3)


def _look_at_devices_and_disk(admin: Page) -> None:
    section(admin, "Devices")
    expect(admin.locator(".device")).to_contain_text("CPU")
    expect(admin.locator(".device .chip")).to_have_text("ready")
    section(admin, "Disk")
    admin.get_by_role("button", name="Measure again").click()
    expect(admin.locator("#disk-when")).to_contain_text("measured just now")
    expect(admin.locator("#disk-rest")).to_contain_text("atelier.db")


def _read_the_log(admin: Page, tmp_path: Path) -> None:
    section(admin, "Audit log")
    rows = admin.locator("#audit-acts tbody tr")
    expect(rows.first).to_contain_text("cancel another's job")
    admin.locator("#audit-filter [name=act]").select_option("change quotas")
    expect(rows).to_have_count(2)
    expect(rows.first).to_contain_text("Ben: images_a_day as usual")
    admin.locator("#audit-filter [name=act]").select_option("")
    admin.locator("#audit-filter [name=person]").select_option(label="Ben")
    expect(rows.first).to_contain_text("log in")
    with admin.expect_download() as download:
        admin.get_by_role("link", name="Download as CSV").click()
    download.value.save_as(tmp_path / "audit.csv")
    text = (tmp_path / "audit.csv").read_text(encoding="utf-8")
    table = list(csv.reader(text.splitlines()))
    assert table[0][2] == "name"
    assert {row[2] for row in table[1:]} == {"Ben"}
    assert len(table) - 1 == rows.count()


def test_it_is_used_by_keys_alone(admin: Page):
    admin.get_by_role("link", name="Back to the studio").focus()
    for name in SECTIONS:
        admin.keyboard.press("Tab")
        focused = admin.locator(":focus")
        expect(focused).to_have_text(name)
        admin.keyboard.press("Enter")
        expect(admin.get_by_role("heading", name=name, exact=True)).to_be_focused()
        admin.get_by_role("link", name=name, exact=True).focus()
        expect(admin.locator("nav [aria-current]")).to_have_text(name)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone(admin: Page, scheme: str):
    admin.set_viewport_size({"width": 390, "height": 844})
    admin.evaluate(f"localStorage.setItem('atelier-theme', '{scheme}')")
    admin.reload()
    ground = {"light": "rgb(250, 250, 249)", "dark": "rgb(20, 18, 17)"}[scheme]
    assert admin.evaluate("getComputedStyle(document.body).backgroundColor") == ground
    for name in SECTIONS:
        section(admin, name)
        expect(admin.locator("main > section:visible")).to_have_count(1)
        admin.wait_for_load_state("networkidle")
        assert admin.evaluate("document.documentElement.scrollWidth") <= 390, name


def test_who_is_at_home_finds_it_in_the_header(studio):
    studio.watch.tolerate(CUT)
    studio.page.get_by_role("link", name="Administration").click()
    expect(studio.page.locator("#people-list")).to_contain_text("Nobody logs in to this studio")
    section(studio.page, "Jobs")
    section(studio.page, "Devices")
    expect(studio.page.locator(".device")).to_contain_text("CPU")
