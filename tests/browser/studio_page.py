"""The page as a person sees and uses it, and what it must never do."""

import base64
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from PIL import Image
from playwright.sync_api import BrowserContext, Error, Locator, Page, Response, expect

CUT = "AbortError|Connection errored out|network error"
"""What Gradio writes to the console when its stream of events ends before its time."""
LONG = 120_000
"""Milliseconds that a busy machine may take for a picture."""
FOLD = ".at-settings:visible button.label-wrap"
"""Headings of what is folded away in the tab that is shown."""
SETTLED = 4
"""Looks at what the browser keeps, a quarter of a second apart, that must find the same."""
LOAD_EVENTS = 6
"""What a fresh page asks for: its kept settings and its jobs."""

RECORDER = """
window.seen = { steps: [], left: [], previews: 0, status: [] };
const keep = (list, text) => { if (text && list.at(-1) !== text) list.push(text); };
const look = () => {
  const stage = document.querySelector(".at-stage");
  if (!stage) return;
  keep(window.seen.steps, stage.querySelector(".what").textContent);
  keep(window.seen.left, stage.querySelector(".left").textContent);
  keep(window.seen.status, stage.dataset.status);
  const image = stage.querySelector(".at-canvas > img.preview");
  if (image && (image.getAttribute("src") || "").startsWith("data:image/webp;base64,"))
    window.seen.previews += 1;
};
new MutationObserver(look).observe(document, {
  subtree: true, childList: true, characterData: true, attributes: true,
  attributeFilter: ["src", "class", "data-status"],
});
"""
NUMBERS = {
    "steps": "Steps",
    "cfg_scale": "CFG scale",
    "width": "Width",
    "height": "Height",
    "batch_count": "Batch count",
    "batch_size": "Batch size",
    "variation_strength": "Variation strength",
    "clip_skip": "CLIP skip",
}
SEEDS = {"seed": "Seed (-1 draws one)", "variation_seed": "Variation seed (-1 draws one)"}


class Watch:
    """Errors of a browser context and all addresses that it asked."""

    def __init__(self, context: BrowserContext):
        self.errors: list[str] = []
        self.addresses: list[str] = []
        self._tolerated: list[re.Pattern[str]] = []
        context.on("request", lambda request: self.addresses.append(request.url))
        context.on("weberror", lambda error: self.errors.append(f"exception: {error.error}"))
        context.on("console", self._heard)
        context.on("page", lambda page: page.on("websocket", self._socket))

    def tolerate(self, pattern: str) -> None:
        """Console errors that the journey itself provokes."""
        self._tolerated.append(re.compile(pattern))

    def found(self) -> list[str]:
        """Errors that nobody expected."""
        return [e for e in self.errors if not any(p.search(e) for p in self._tolerated)]

    def strangers(self, own: str) -> list[str]:
        """Addresses on other hosts than `own`."""
        inside = ("data", "blob", "about")
        return [
            address
            for address in self.addresses
            if urlsplit(address).scheme not in inside
            and urlsplit(address).netloc != urlsplit(own).netloc
        ]

    def _heard(self, message: Any) -> None:
        if message.type == "error":
            self.errors.append(f"console: {message.text} ({message.location.get('url', '')})")

    def _socket(self, socket: Any) -> None:
        self.addresses.append(socket.url)


class StudioPage:
    """One open page."""

    def __init__(self, page: Page, url: str, watch: Watch):
        self.page = page
        self.url = url
        self.watch = watch
        self.stage = page.locator("#at-stage .at-stage")
        self.message = page.locator("#at-stage .at-message")
        self.strip = page.locator("#at-stage .at-strip .at-tile")
        self.large = page.locator("#at-stage .at-canvas > img")

    def open(self) -> "StudioPage":
        """Load the page, or load it again, and wait until it can be used."""
        if self.page.url.startswith(self.url):
            # What the page was still being sent is cut off by loading it again.
            self.watch.tolerate(r"AbortError|Connection errored out")
        answers = iter(range(1, 100))

        def all_answered(response: Response) -> bool:
            return response.url.endswith("/run/predict") and next(answers) == LOAD_EVENTS

        with self.page.expect_response(all_answered):
            try:
                self.page.goto(self.url)
            except Error as error:
                # A page whose server has come back loads itself, and one of the two gives way.
                if "ERR_ABORTED" not in str(error):
                    raise
            expect(self.page.locator("#at-run")).to_be_visible(timeout=30_000)
        self.page.wait_for_timeout(200)  # for Gradio to put the answers into the controls
        return self

    def settle(self) -> None:
        """Wait until the browser has kept the settings: they are written after a short rest."""
        kept, same = "", 0
        while same < SETTLED:
            self.page.wait_for_timeout(250)
            now = self.page.evaluate("JSON.stringify(localStorage)")
            kept, same = now, same + 1 if now == kept else 0

    @property
    def prompt(self) -> Locator:
        """The prompt box."""
        return self.page.locator("#at-prompt textarea")

    @property
    def negative(self) -> Locator:
        """The negative prompt's box."""
        return self.page.locator("#at-negative textarea")

    def number(self, name: str) -> Locator:
        """The box for the number of a field."""
        label = f"number input for {NUMBERS[name]}" if name in NUMBERS else SEEDS[name]
        return self.page.get_by_label(label, exact=True)

    def unfold(self) -> None:
        """Open what is folded away."""
        for title in ("Variation", "More"):
            self.open_fold(self.page.locator(FOLD, has_text=title))
        expect(self.number("clip_skip")).to_be_visible()

    def open_fold(self, heading: Locator) -> None:
        """Open one part that is folded away.

        When Gradio has drawn what is in it for the first time, it sets the values that came with
        the page: what is typed before that is lost.
        """
        heading.click()
        self.page.wait_for_timeout(300)
        self.page.evaluate("new Promise((done) => requestIdleCallback(done, { timeout: 10000 }))")

    def fill(self, prompt: str = "", **numbers: float) -> None:
        """Type a prompt and numbers by field name."""
        for name, value in numbers.items():
            self.number(name).fill(str(value))
        if prompt:
            self.prompt.fill(prompt)

    def choose(self, what: str, value: str) -> None:
        """Pick from a list: "sampler" or "schedule"."""
        self.page.locator(f"#at-{what} input").click()
        self.page.get_by_role("option", name=value, exact=True).click()

    def values(self) -> dict[str, str]:
        """What the controls show, by field name; all must be unfolded."""
        shown = {name: self.number(name).input_value() for name in (*NUMBERS, *SEEDS)}
        for name in ("sampler", "schedule"):
            shown[name] = self.page.locator(f"#at-{name} input").input_value()
        return shown | {
            "prompt": self.prompt.input_value(),
            "negative_prompt": self.negative.input_value(),
        }

    def run(self) -> None:
        """Start with the keyboard, from the prompt box, and wait until the job is taken."""
        before = self.stage.get_attribute("data-job") or ""
        self.prompt.focus()
        self.page.keyboard.press("Control+Enter")
        expect(self.stage).not_to_have_attribute("data-job", before, timeout=20_000)

    def ends(self, status: str = "finished", timeout: float = LONG) -> None:
        """Wait for the followed job's end."""
        expect(self.stage).to_have_attribute("data-status", status, timeout=timeout)

    def works(self) -> None:
        """Wait until the followed job is at its steps and shows a preview."""
        expect(self.stage).to_have_attribute("data-status", "running", timeout=LONG)
        expect(self.page.locator("#at-stage .at-canvas > img.preview")).to_be_visible(timeout=LONG)

    def pictures(self) -> list[int]:
        """Ids of the page's pictures, newest first."""
        return self.strip.evaluate_all("tiles => tiles.map((tile) => Number(tile.dataset.id))")

    def seen(self) -> dict[str, Any]:
        """What the stage has shown so far, however briefly."""
        return self.page.evaluate("window.seen")

    def original(self) -> bytes:
        """The file behind the download link of the picture that is shown."""
        link = self.stage.locator("a.download")
        expect(link).to_be_visible()
        with self.page.expect_download() as download:
            link.click()
        return Path(download.value.path()).read_bytes()

    def drop(self, data: bytes, name: str, type: str = "image/png") -> None:
        """Drop a file on the zone as a person does from a file manager."""
        transfer = self.page.evaluate_handle(
            """([data, name, type]) => {
              const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
              const transfer = new DataTransfer();
              transfer.items.add(new File([bytes], name, { type }));
              return transfer;
            }""",
            [base64.b64encode(data).decode(), name, type],
        )
        zone = self.page.locator("#at-drop .at-drop")
        for event in ("dragover", "drop"):
            zone.dispatch_event(event, {"dataTransfer": transfer})

    def tab(self, name: str) -> None:
        """Switch to a tab."""
        self.page.get_by_role("tab", name=name).click()

    @contextmanager
    def told(self) -> Iterator[list[str]]:
        """Collects the messages that come up in the block, which waits for one, and closes them."""
        messages = self.page.get_by_test_id("toast-text")
        expect(messages).to_have_count(0, timeout=20_000)
        heard: list[str] = []
        yield heard
        expect(messages.first).to_be_visible(timeout=20_000)
        heard += messages.all_inner_texts()
        for close in self.page.get_by_test_id("toast-close").all():
            close.click()
        expect(messages).to_have_count(0, timeout=20_000)


def picture(data: bytes) -> Image.Image:
    """The decoded pixels of a file."""
    with Image.open(io.BytesIO(data)) as image:
        return image.convert("RGB")
