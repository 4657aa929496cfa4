"""The Edit tab in a real browser: the mask that arrives is the one that was painted."""

import io
import urllib.request
from dataclasses import dataclass

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from browser.studio_page import LONG, StudioPage

WIDTH, HEIGHT = 1024, 768
_LISTEN = """() => {
  window.points = [];
  const board = document.querySelector(".konvajs-content").getBoundingClientRect();
  for (const name of ["pointerdown", "pointermove"]) document.addEventListener(name, (event) => {
    if (event.buttons) window.points.push([event.clientX - board.left, event.clientY - board.top]);
  }, true);
  return [board.width, board.height, board.left, board.top];
}"""


def photo(width: int = WIDTH, height: int = HEIGHT) -> bytes:
    """A picture whose every pixel tells where it is."""
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    pixels = np.stack([x % 256, y % 256, (x // 256 + 4 * (y // 256)) * 16], axis=-1)
    stream = io.BytesIO()
    Image.fromarray(pixels.astype("u1")).save(stream, "PNG")
    return stream.getvalue()


@dataclass
class Editor:
    """The open Edit tab, and what the person does on its canvas."""

    studio: StudioPage
    size: tuple[int, int] = (WIDTH, HEIGHT)

    @property
    def page(self) -> Page:
        return self.studio.page

    def open(self, data: bytes) -> "Editor":
        """Switch to the tab and put a picture on the canvas."""
        self.studio.tab("Edit")
        self.page.locator(".at-board .at-open").set_input_files(
            {"name": "photo.png", "mimeType": "image/png", "buffer": data}
        )
        expect(self.page.locator(".at-editor.ready")).to_be_visible()
        self.page.locator(".at-board").scroll_into_view_if_needed()
        wide, high, self.left, self.top = self.page.evaluate(_LISTEN)
        self.scale = min(wide / self.size[0], high / self.size[1]) * 0.96
        self.offset = (
            (wide - self.size[0] * self.scale) / 2,
            (high - self.size[1] * self.scale) / 2,
        )
        return self

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Where a pixel of the picture lies in the window."""
        return (
            self.left + self.offset[0] + x * self.scale,
            self.top + self.offset[1] + y * self.scale,
        )

    def drag(self, *points: tuple[float, float]) -> None:
        """Press at the first of these pixels, move over the others, let go."""
        self.page.mouse.move(*self.at(*points[0]))
        self.page.mouse.down()
        for point in points[1:]:
            self.page.mouse.move(*self.at(*point))
        self.page.mouse.up()

    def moved(self) -> list[tuple[float, float]]:
        """Where the pointer was while it was pressed, in pixels of the picture; forgets them."""
        points = self.page.evaluate("() => window.points.splice(0)")
        return [
            ((x - self.offset[0]) / self.scale, (y - self.offset[1]) / self.scale)
            for x, y in points
        ]

    def tool(self, name: str) -> None:
        self.page.locator(f"[data-tool={name}]").click()

    def act(self, name: str) -> None:
        self.page.locator(f"[data-act={name}]:visible").click()

    def mask(self) -> np.ndarray:
        """The mask as it arrives on the server."""
        _, digest = self.page.evaluate("() => window.atelier.settle()")
        if not digest:
            return np.zeros(self.size[::-1], "u1")
        with urllib.request.urlopen(f"{self.studio.url}/inputs/{digest}") as answer:
            return np.asarray(Image.open(io.BytesIO(answer.read())))


def stroke(
    mask: np.ndarray, points: list[tuple[float, float]], radius: float, value: int
) -> np.ndarray:
    """The mask after a round brush: pixels whose middle is within its radius of the line."""
    mask = mask.copy()
    y, x = np.indices(mask.shape) + 0.5
    for (x0, y0), (x1, y1) in zip(points, points[1:] or points, strict=False):
        dx, dy = x1 - x0, y1 - y0
        length = dx * dx + dy * dy
        t = np.clip(((x - x0) * dx + (y - y0) * dy) / length, 0, 1) if length else 0
        mask[(x - x0 - t * dx) ** 2 + (y - y0 - t * dy) ** 2 <= radius**2] = value
    return mask


@pytest.fixture
def open_editor(open_page):
    def open_one(data: bytes = b"", size: tuple[int, int] = (WIDTH, HEIGHT), **options) -> Editor:
        return Editor(open_page(**options), size).open(data or photo(*size))

    return open_one


@pytest.mark.parametrize("zoom", [0.8, 1.0, 1.5])
def test_the_mask_that_arrives_is_what_was_painted_at_every_browser_zoom(open_editor, zoom):
    """A browser zooms by giving the page fewer, denser pixels."""
    viewport = {"width": round(1440 / zoom), "height": round(900 / zoom)}
    editor = open_editor(viewport=viewport, device_scale_factor=zoom)
    editor.drag((200, 150), (700, 180), (650, 500))
    painted = stroke(np.zeros((HEIGHT, WIDTH), "u1"), editor.moved(), 12, 255)
    editor.tool("eraser")
    editor.drag((500, 100), (520, 300))
    painted = stroke(painted, editor.moved(), 12, 0)
    assert np.array_equal(editor.mask(), painted)

    editor.tool("rectangle")
    editor.drag((300.2, 250.1), (420.4, 380.3))
    start, *_, end = editor.moved()
    box = [round(side) for side in (*start, *end)]
    editor.act("subtract")
    painted[box[1] : box[3], box[0] : box[2]] = 0
    assert np.array_equal(editor.mask(), painted)


def test_selections_add_subtract_intersect_and_their_points_move(open_editor):
    editor = open_editor()
    editor.tool("ellipse")
    editor.drag((200, 200), (600, 500))
    editor.act("add")
    ellipse = editor.mask()
    area = (ellipse > 0).sum()
    assert abs(area - np.pi * 200 * 150) < 2000
    rows, columns = np.nonzero(ellipse)
    assert abs(rows.min() - 200) <= 1 >= abs(columns.max() - 599)

    editor.tool("polygon")
    for point in ((400, 100), (900, 100), (900, 700)):
        editor.page.mouse.click(*editor.at(*point))
    editor.page.keyboard.press("Enter")
    editor.drag((900, 700), (400, 700))  # its last point is taken elsewhere
    editor.act("intersect")
    cut = editor.mask()
    assert (cut[:, :399] == 0).all()
    assert 0 < (cut > 0).sum() < area
    assert (ellipse[cut > 0] == 255).all()

    editor.act("undo")
    assert np.array_equal(editor.mask(), ellipse)
    editor.act("redo")
    assert np.array_equal(editor.mask(), cut)
    editor.act("invert")
    assert np.array_equal(editor.mask(), 255 - cut)
    editor.act("fill")
    assert editor.mask().min() == 255
    editor.act("clear")
    assert not editor.mask().any()

    editor.tool("lasso")
    editor.drag((300, 300), (500, 300), (500, 500), (300, 500))
    editor.page.keyboard.press("Enter")
    lasso = editor.mask()
    assert lasso[400, 400] == 255
    assert abs((lasso > 0).sum() - 200 * 200) < 800


def test_zoom_and_pan_change_the_view_and_not_the_mask(open_editor):
    editor = open_editor()
    editor.act("larger")
    editor.act("larger")
    editor.tool("hand")
    editor.drag((500, 400), (400, 300))
    editor.tool("brush")
    editor.moved()
    editor.drag((300, 300), (500, 350))
    mask = editor.mask()
    points = [
        ((x * editor.scale + editor.offset[0]), (y * editor.scale + editor.offset[1]))
        for x, y in editor.moved()
    ]
    view = editor.page.evaluate(
        "() => { const s = Konva.stages[0]; return [s.scaleX(), s.x(), s.y()]; }"
    )
    scale, left, top = view
    assert scale == pytest.approx(editor.scale * 1.25**2)
    here = [((x - left) / scale, (y - top) / scale) for x, y in points]
    assert np.array_equal(mask, stroke(np.zeros((HEIGHT, WIDTH), "u1"), here, 12, 255))


def test_a_finger_paints_and_the_page_fits_a_phone(open_editor):
    phone = {"viewport": {"width": 360, "height": 780}, "has_touch": True, "is_mobile": True}
    editor = open_editor(size=(256, 256), **phone)
    assert editor.page.evaluate("() => document.documentElement.scrollWidth") <= 360
    editor.page.touchscreen.tap(*editor.at(128, 128))
    mask = editor.mask()
    assert mask[128, 128] == 255
    assert abs((mask > 0).sum() - np.pi * 144) < 30


def test_painting_and_the_result_by_hand(open_editor, server):
    """Paint, undo, feather, edit; what is outside stays; all of it is there after a reload."""
    source = photo(128, 128)
    editor = open_editor(source, size=(128, 128))
    page = editor.page
    editor.drag((20, 20), (40, 20))
    editor.page.locator(".at-board").focus()
    page.keyboard.press("Control+z")
    assert not editor.mask().any()
    editor.tool("rectangle")
    editor.drag((40, 40), (90, 90))
    page.get_by_label("number input for Feather (pixels)").fill("6")
    page.get_by_label("number input for Steps", exact=True).locator("visible=true").fill("3")
    page.locator("#at-edit-prompt textarea").fill("a blue car")
    page.keyboard.press("Control+Enter")  # what is selected is meant, without another press
    stage = page.locator("#at-edit-stage .at-stage")
    expect(stage).to_have_attribute("data-status", "finished", timeout=LONG)
    expect(stage.locator(".at-facts pre")).to_contain_text("Mask blur: 6")
    with page.expect_download() as download:
        stage.locator("a.download").click()
    result = np.asarray(Image.open(download.value.path()).convert("RGB")).astype(int)
    before = np.asarray(Image.open(io.BytesIO(source))).astype(int)
    outside = np.ones((128, 128), bool)
    outside[33:97, 33:97] = False
    assert np.array_equal(result[outside], before[outside])
    assert np.abs(result - before)[45:85, 45:85].mean() > 3

    mask = editor.mask()
    editor.studio.settle()
    editor.studio.open()
    editor.studio.tab("Edit")
    expect(page.locator(".at-editor.ready")).to_be_visible()
    expect(page.locator("#at-edit-prompt textarea")).to_have_value("a blue car")
    expect(page.get_by_label("number input for Feather (pixels)")).to_have_value("6")
    page.wait_for_function("() => window.atelier.settle().then(([, mask]) => mask)")
    assert np.array_equal(editor.mask(), mask)


def test_a_picture_goes_from_generate_to_edit_and_its_settings_come_back(open_page):
    studio = open_page()
    studio.fill("a red apple", steps=3, seed=4)
    studio.run()
    studio.ends()
    studio.stage.get_by_role("button", name="Edit", exact=True).click()
    page = studio.page
    expect(page.locator(".at-editor.ready")).to_be_visible()
    expect(page.locator("#at-edit-prompt textarea")).to_have_value("a red apple")
    page.locator("#at-edit-run").click()
    stage = page.locator("#at-edit-stage .at-stage")
    expect(stage).to_have_attribute("data-status", "finished", timeout=LONG)
    page.locator("#at-edit-prompt textarea").fill("something else")
    stage.get_by_role("button", name="Use settings").click()
    expect(page.locator("#at-edit-prompt textarea")).to_have_value("a red apple")


@pytest.mark.parametrize(
    ("data", "words"),
    [(b"hello", "no picture"), (b"<svg/>", "SVG"), (b"", "empty")],
)
def test_what_is_no_picture_is_told_and_the_canvas_stays(open_page, data, words):
    studio = open_page()
    studio.watch.tolerate(r"422")
    studio.tab("Edit")
    studio.page.locator(".at-board .at-open").set_input_files(
        {"name": "cat.png", "mimeType": "image/png", "buffer": data}
    )
    expect(studio.page.locator(".at-editor .at-message")).to_contain_text(words)
    expect(studio.page.locator(".at-board .at-empty")).to_be_visible()
