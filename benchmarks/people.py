"""Ten people at once: 50 open pages and 8 programs, with accounts, on one server.

PEOPLE_SECONDS: how long, 600 by default, of which the first fifth warms up. PEOPLE_BROWSERS: how
many of the pages stand in a real browser, 2. The others do over HTTP what a page's scripts do: they
stay connected, look at the status every two seconds, choose models, type prompts, open the gallery;
two of them have pictures made without a pause, for the two people without a program. Of the
programs four speak AUTOMATIC1111's API and four the studio's own; the first has three jobs waiting
at a time, all others one.
"""

import asyncio
import io
import json
import os
import shutil
import sqlite3
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from contextlib import AsyncExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
from PIL import Image

from benchmarks.figure import Figure
from benchmarks.served import Served
from benchmarks.visiting import Dependencies, Seen, Visitor, checked, seed_of, words

_SECONDS = float(os.environ.get("PEOPLE_SECONDS", "600"))
_BROWSERS = int(os.environ.get("PEOPLE_BROWSERS", "2"))
_PEOPLE, _PAGES, _PROGRAMS = 10, 50, 8
_EAGER = 3
_WARM = 0.2
_PICTURE = {"steps": 4, "width": 64, "height": 64}
_GLANCE = 5.0
"""Seconds between two looks at the memory."""
_PASSWORD = "three words and more"


@dataclass(frozen=True)
class _Person:
    number: int
    id: int
    token: str
    cookie: dict[str, str]


def measure() -> list[Figure]:
    """Faults, times of page actions, memory and shares."""
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        people = _invited(data)
        served = Served(data, ATELIER_ACCOUNTS="on", ATELIER_LOG_FORMAT="json")
        served.start()
        try:
            seen, memory = asyncio.run(_day(served, people))
        finally:
            served.end()
        lines = [json.loads(each) for each in served.log().splitlines() if each.startswith("{")]
        loud = [each["message"] for each in lines if each["level"] in ("warning", "error")]
        kept = _kept(data / "atelier.db")
    astray = _astray(kept, seen, people)
    for line in (seen.errors + astray + loud)[:20]:
        print(f"  {line}")
    return _figures(seen, memory, astray, loud)


def _invited(data: Path) -> list[_Person]:
    """People with an account, a token and a session."""
    from studio.api.sessions import cookie_name
    from studio.people import Role
    from studio.services import build_services
    from studio.settings import Settings

    services = build_services(Settings(data_dir=data, device="cpu", accounts="on"))
    accounts, people = services.accounts, []
    accounts.add("ada", Role.ADMINISTRATOR, _PASSWORD)
    for number in range(_PEOPLE):
        row = accounts.get(accounts.add(f"person {number}", Role.MEMBER, _PASSWORD))
        token = accounts.make_token(row.id, "a program")
        session = accounts.open_session(row.person, "127.0.0.1", "a page")
        cookie = {cookie_name(data): session}
        people.append(_Person(number, row.id, token, cookie))
    services.stop()
    return people


async def _day(served: Served, people: list[_Person]) -> tuple[Seen, dict[str, list[float]]]:
    start = time.monotonic()
    seen = Seen(
        is_over=lambda: time.monotonic() > start + _SECONDS,
        is_warm=lambda: time.monotonic() > start + _WARM * _SECONDS,
    )
    memory: dict[str, list[float]] = {"server": [], "device": []}
    async with AsyncExitStack() as stack:
        bound = {"base_url": served.url, "timeout": 120, "limits": httpx.Limits()}
        pages = [
            await stack.enter_async_context(httpx.AsyncClient(**bound, cookies=each.cookie))
            for each in people
        ]
        config = (await pages[0].get("/config")).json()
        can = Dependencies(config)
        work: list[Any] = [_remember(served.pid, memory, seen)]
        for number in range(_PAGES - _BROWSERS):
            person = people[number % _PEOPLE]
            makes = number < _PEOPLE and number >= _PROGRAMS
            work.append(
                Visitor(pages[number % _PEOPLE], can, person.number, seen).stay(makes=makes)
            )
        for each in people[:_PROGRAMS]:
            bearer = {"Authorization": f"Bearer {each.token}"}
            client = await stack.enter_async_context(httpx.AsyncClient(**bound, headers=bearer))
            ask = _by_sdapi if each.number % 2 else _by_v1
            jobs = _EAGER if each.number == 0 else 1
            work += [_ask_on(client, each, seen, ask, first=10_000 * n) for n in range(jobs)]
        work += [_look(served.url, people[n], seen) for n in range(_BROWSERS)]
        await asyncio.gather(*work)
    return seen, memory


async def _ask_on(client: httpx.AsyncClient, person: _Person, seen: Seen, ask: Any, first: int):
    """A program that has one picture after the other made; first: number before its first one."""
    number = first
    while not seen.is_over():
        number += 1
        seen.asked += 1
        try:
            image, facts = await ask(client, person.number, number)
        except (httpx.HTTPError, ValueError, LookupError) as error:
            seen.errors.append(f"program of {person.number}: {error!r}")
            continue
        with Image.open(io.BytesIO(image)) as picture:
            seen.check(person.number, number, facts, picture.info["parameters"])
            if f"Seed: {seed_of(person.number, number)}," not in picture.info["parameters"]:
                seen.foreign.append(f"seed of {words(person.number, number)!r}")
        seen.made.append((time.monotonic(), person.number))


async def _by_sdapi(client: httpx.AsyncClient, person: int, number: int) -> tuple[bytes, str]:
    import base64

    body = {"prompt": words(person, number), "seed": seed_of(person, number), **_PICTURE}
    answer = checked(await client.post("/sdapi/v1/txt2img", json=body)).json()
    info = json.loads(answer["info"])
    return base64.b64decode(answer["images"][0]), f"{info['prompt']}\n{info['infotexts']}"


async def _by_v1(client: httpx.AsyncClient, person: int, number: int) -> tuple[bytes, str]:
    body = {"prompt": words(person, number), "seed": seed_of(person, number), **_PICTURE}
    sent = await client.post("/api/v1/jobs", json={"kind": "generate", **body})
    job = checked(sent).json()["id"]
    events = checked(await client.get(f"/api/v1/jobs/{job}/events")).text
    if "event: finished" not in events:
        raise LookupError(f"job {job} ended with {events[-300:]!r}")
    told = checked(await client.get(f"/api/v1/jobs/{job}")).json()
    [output] = told["outputs"]
    file = checked(await client.get(f"/api/v1/outputs/{output}/file")).content
    facts = checked(await client.get(f"/api/v1/outputs/{output}")).text
    return file, facts


async def _look(url: str, person: _Person, seen: Seen) -> None:
    """A page in a browser, where somebody goes from tab to tab."""
    from playwright.async_api import Error, async_playwright

    try:
        async with async_playwright() as playwright:
            path = next(filter(None, map(shutil.which, ("chromium", "google-chrome"))))
            flags = ["--no-sandbox", "--disable-gpu"]
            browser = await playwright.chromium.launch(executable_path=path, args=flags)
            context = await browser.new_context()
            [(name, value)] = person.cookie.items()
            await context.add_cookies([{"name": name, "value": value, "url": url}])
            page = await context.new_page()
            page.on("pageerror", lambda error: seen.errors.append(f"in a browser: {error}"))
            page.set_default_timeout(120_000)
            await page.goto(url)
            # A gallery that was opened empty shows nothing before it is opened again.
            while not any(person.number == each for _, each in seen.made):
                await asyncio.sleep(0.5)
            while not seen.is_over():
                start = time.perf_counter()
                await page.get_by_role("tab", name="Gallery").click()
                await page.wait_for_selector("#at-gallery button")
                seen.timed("opening the gallery in a browser", start)
                await asyncio.sleep(10)
                await page.get_by_role("tab", name="Generate").click()
                await asyncio.sleep(5)
            await browser.close()
    except Error as error:
        seen.errors.append(f"browser of {person.number}: {error}")


async def _remember(server: int, memory: dict[str, list[float]], seen: Seen) -> None:
    """Note the resident memory of the server and of its device's process, once all is warm."""
    process = psutil.Process(server)
    while not seen.is_over():
        await asyncio.sleep(_GLANCE)
        if seen.is_warm():
            memory["server"].append(process.memory_info().rss)
            memory["device"].append(sum(each.memory_info().rss for each in process.children()))


def _kept(database: Path) -> list[tuple[int, str]]:
    """Owner and prompt of every picture."""
    with closing(sqlite3.connect(database)) as opened:
        return opened.execute("SELECT owner, prompt FROM outputs").fetchall()


def _astray(kept: list[tuple[int, str]], seen: Seen, people: list[_Person]) -> list[str]:
    """Pictures that are another's than who asked, that nobody was given, or that are not there."""
    numbers = {each.id: each.number for each in people}
    wrong = [prompt for owner, prompt in kept if f"person {numbers[owner]} " not in prompt]
    twice = [prompt for prompt, count in Counter(p for _, p in kept).items() if count > 1]
    missing = [f"{len(kept)} kept of {len(seen.made)} made"] if len(kept) != len(seen.made) else []
    return [*wrong, *twice, *missing, *seen.foreign]


def _figures(
    seen: Seen, memory: dict[str, list[float]], astray: list[str], loud: list[str]
) -> list[Figure]:
    lost = seen.asked - len(seen.made)
    shares = Counter(person for when, person in seen.made if when > _since(seen))
    mean = sum(shares.values()) / _PEOPLE
    furthest = max(abs(shares[person] / mean - 1) for person in range(_PEOPLE))
    note = f"{sum(shares.values())} pictures, {min(shares.values())} to {max(shares.values())} each"
    asked = [
        seconds
        for action, each in seen.seconds.items()
        if "browser" not in action
        for seconds in each
    ]
    return [
        Figure("errors that pages and programs met", len(seen.errors), "", 0),
        Figure("warnings and errors in the log", len(loud), "", 0),
        Figure("pictures that were asked for and never came", lost, "", 0),
        Figure("pictures that came to the wrong one", len(astray), "", 0),
        _late("an action of a page, 95%", asked, 300),
        *(_late(f"... {name}", each) for name, each in sorted(seen.seconds.items())),
        *(_growth(name, each) for name, each in memory.items()),
        Figure("share of pictures furthest from the mean", 100 * furthest, "%", 10, note),
    ]


def _since(seen: Seen) -> float:
    """When all was warm, by the last picture's time."""
    last = max(when for when, _ in seen.made)
    return last - (1 - _WARM) * _SECONDS


def _late(name: str, seconds: Iterable[float], limit: float | None = None) -> Figure:
    milliseconds = [1000 * each for each in seconds]
    quantile = statistics.quantiles(milliseconds, n=20)[-1] if len(milliseconds) > 1 else 0.0
    note = f"{len(milliseconds)}, median {statistics.median(milliseconds or [0]):.0f}"
    return Figure(name, quantile, "ms", limit, note)


def _growth(name: str, sizes: list[float]) -> Figure:
    """By how much the memory is larger in the last tenth of the time than in the first."""
    tenth = max(1, len(sizes) // 10)
    first, last = statistics.median(sizes[:tenth]), statistics.median(sizes[-tenth:])
    note = f"{first / 1e6:.0f} to {last / 1e6:.0f} MB"
    return Figure(f"memory's growth, {name}", 100 * (last / first - 1), "%", 3, note)
