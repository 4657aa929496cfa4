"""Journeys through the Reader tab: asking, scoring, coming back."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from playwright.sync_api import expect
from tiny_readers import TEXT, make_reader

from browser.live_server import ROOT, LiveServer
from browser.studio_page import LONG, StudioPage
from studio.reader.squad import read_squad, squad_json

SMALL = Path(__file__).resolve().parents[1] / "data" / "small-v2.0.json"
SIZES = {"wide": {"width": 1440, "height": 900}, "phone": {"width": 360, "height": 740}}


@pytest.fixture(scope="module", autouse=True)
def tiny(server: LiveServer) -> None:
    """A reader and a data set beside what the server has."""
    folder = server.data / "models" / "readers" / "tiny"
    if not folder.exists():
        make_reader(folder)


@pytest.fixture
def reading(studio: StudioPage) -> StudioPage:
    """The Ask panel with the tiny reader chosen."""
    return at_reader(studio)


def at_reader(studio: StudioPage) -> StudioPage:
    studio.tab("Reader")
    picker = studio.page.locator("#at-reader-model input")
    picker.click()
    picker.fill("tiny")
    picker.press("Enter")
    return studio


def ask(studio: StudioPage, text: str, question: str) -> None:
    page = studio.page
    page.locator("#at-reader-text textarea").fill(text)
    page.locator("#at-reader-question textarea").fill(question)


def test_a_question_is_answered_in_its_passage(reading: StudioPage):
    page = reading.page
    ask(reading, TEXT, "Who built the old bridge?")
    page.locator("#at-reader-run").click()
    expect(page.locator(".at-answer")).to_be_visible(timeout=LONG)
    mark = page.locator(".at-passage mark:visible")
    answer = page.locator(".at-answer").inner_text()
    if answer != "No answer in this text":
        expect(mark).to_have_text(answer)
    page.locator(".at-runners summary").first.click()
    expect(page.locator(".at-runners .at-passage mark").first).to_be_visible()


def test_enter_asks_and_so_does_control_enter_in_the_text(reading: StudioPage):
    page = reading.page
    ask(reading, TEXT, "Who built the old bridge?")
    page.locator("#at-reader-question textarea").press("Enter")
    expect(page.locator(".at-asked")).to_have_text("Who built the old bridge?", timeout=LONG)
    ask(reading, TEXT, "When did the river take half of it?")
    page.locator("#at-reader-text textarea").press("Control+Enter")
    expect(page.locator(".at-asked")).to_have_text(
        "When did the river take half of it?", timeout=LONG
    )


def test_a_dropped_file_takes_the_place_of_the_text(reading: StudioPage):
    page = reading.page
    upload = page.locator("#at-reader-file input[type=file]")
    upload.set_input_files(
        {"name": "a.md", "mimeType": "text/markdown", "buffer": f"# Bridge\n\n{TEXT}".encode()}
    )
    expect(page.locator("#at-reader-text textarea")).to_have_value(f"# Bridge\n\n{TEXT}")
    page.locator("#at-reader-question textarea").fill("Who lived in the tower?")
    page.locator("#at-reader-run").click()
    expect(page.locator(".at-answer")).to_be_visible(timeout=LONG)


def test_what_cannot_be_read_or_asked_is_told(reading: StudioPage):
    page = reading.page
    with reading.told() as heard:
        page.locator("#at-reader-run").click()
    assert any("Question is empty" in text for text in heard)
    with reading.told() as heard:
        page.locator("#at-reader-file input[type=file]").set_input_files(
            {"name": "a.pdf", "mimeType": "application/pdf", "buffer": b"%PDF-1.7 broken"}
        )
    assert any("a.pdf" in text for text in heard)


def test_an_example_is_one_press(reading: StudioPage):
    page = reading.page
    page.locator("#at-reader-examples button").first.click()
    expect(page.locator(".at-answer")).to_be_visible(timeout=LONG)
    expect(page.locator(".at-asked")).not_to_be_empty()


def many_questions(times: int) -> bytes:
    """The small set so many times, each with ids of its own."""
    value = squad_json(read_squad(SMALL))
    value["data"] = [
        json.loads(json.dumps(article).replace('"id": "', f'"id": "{number}-'))
        for number in range(times)
        for article in value["data"]
    ]
    return json.dumps(value).encode()


def score(studio: StudioPage, name: str, content: bytes) -> None:
    """Add a data set on the Benchmark panel and press Score with the tiny reader."""
    page = studio.page
    page.get_by_role("tab", name="Benchmark", exact=True).click()
    with page.expect_file_chooser() as chooser:
        page.locator("#at-score-upload").click()
    chooser.value.set_files(
        {"name": f"{name}.json", "mimeType": "application/json", "buffer": content}
    )
    expect(page.locator("#at-score-data input")).to_have_value(name)
    page.locator("#at-score-reader input").click()
    page.get_by_role("option", name="tiny").click()
    page.locator("#at-score-run").click()


def test_a_reader_is_scored_and_its_report_drawn(reading: StudioPage):
    page = reading.page
    score(reading, "some", many_questions(2))
    expect(page.locator("#at-score-report .at-scores")).to_be_visible(timeout=LONG)
    for title in ("Reliability", "Precision and recall", "F1 by question word"):
        expect(page.locator(".at-plot figcaption", has_text=title)).to_be_visible()


def test_a_reader_is_scored_while_the_page_is_closed(reading: StudioPage, open_page):
    score(reading, "many", many_questions(200))
    page = reading.page
    expect(page.locator("#at-score-progress .at-fetched")).to_be_visible(timeout=LONG)
    assert page.locator("#at-score-report .at-scores").count() == 0, "it is not through yet"
    page.close()
    again = open_page()
    again.tab("Reader")
    again.page.get_by_role("tab", name="Benchmark", exact=True).click()
    expect(again.page.locator("#at-score-report .at-scores")).to_be_visible(timeout=LONG)
    again.page.get_by_role("tab", name="Leaderboard", exact=True).click()
    again.page.locator("#at-board-data input").click()
    expect(again.page.get_by_role("option", name="many")).to_be_visible()


def test_a_submission_is_opened_from_the_leaderboard_by_keys(reading: StudioPage, server):
    page = reading.page
    submit(server, "Silent", "")
    submit(server, "Always the", "the")
    page.get_by_role("tab", name="Leaderboard", exact=True).click()
    picker = page.locator("#at-board-data input")
    picker.click()
    page.get_by_role("option", name="small-v2.0").click()
    row = page.locator("#at-board-table tr[tabindex]", has_text="Silent")
    row.focus()
    row.press("Enter")
    expect(page.locator("#at-board-report .at-scores")).to_be_visible(timeout=LONG)
    page.locator("#at-board-other input").click()
    page.get_by_role("option", name="Always the").click()
    expect(page.locator("#at-board-questions article").first).to_be_visible(timeout=LONG)
    expect(page.locator("#at-board-table")).to_contain_text("Human performance")


def submit(server: LiveServer, model: str, text: str) -> None:
    """Put predictions on the leaderboard by the command, beside the running server."""
    squad = read_squad(SMALL)
    path = server.data.parent / f"{model}.json"
    path.write_text(json.dumps({each.question.id: text for each in squad.asked()}))
    command = [sys.executable, str(ROOT / "app.py"), "evaluate", "--data", str(SMALL)]
    command += ["--predictions", str(path), "--submit", model, "--data-dir", str(server.data)]
    subprocess.run(command, check=True, capture_output=True, cwd=server.data.parent)
    kept = server.data / "data_sets" / SMALL.name
    kept.parent.mkdir(exist_ok=True)
    kept.write_bytes(SMALL.read_bytes())


def test_a_data_set_is_checked_and_repaired(reading: StudioPage, server: LiveServer):
    page = reading.page
    page.get_by_role("tab", name="Data sets", exact=True).click()
    value = squad_json(read_squad(SMALL))
    asked = value["data"][0]["paragraphs"][0]["qas"][0]
    asked["answers"] = [{"text": "nowhere in it", "answer_start": 3}]
    with page.expect_file_chooser() as chooser:
        page.locator("#at-data-upload").click()
    chooser.value.set_files(
        {
            "name": "broken.json",
            "mimeType": "application/json",
            "buffer": json.dumps(value).encode(),
        }
    )
    expect(page.locator("#at-data-name input")).to_have_value("broken")
    expect(page.locator("#at-data-figures .at-scores")).to_be_visible(timeout=LONG)
    page.locator("#at-data-check").click()
    expect(page.get_by_text("data[0].paragraphs[0].qas[0]").first).to_be_visible(timeout=LONG)
    page.locator("#at-data-repair").click()
    expect(page.get_by_text("broken repaired").first).to_be_visible(timeout=LONG)
    assert read_squad(server.data / "data_sets" / "broken repaired.json")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_the_tab_fits(open_page, size: str, scheme: str):
    studio = at_reader(open_page(viewport=SIZES[size], color_scheme=scheme))
    page = studio.page
    page.locator("#at-reader-examples button").first.click()
    expect(page.locator(".at-answer")).to_be_visible(timeout=LONG)
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    for panel, there in (
        ("Benchmark", "#at-score-run"),
        ("Leaderboard", "#at-board-table"),
        ("Fine-tune", "#at-tune-run"),
        ("Data sets", "#at-data-name"),
    ):
        page.get_by_role("tab", name=panel, exact=True).click()
        expect(page.locator(there)).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, panel
