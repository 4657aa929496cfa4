"""The Gallery tab's handlers on real rows and files."""

import gradio as gr
import pytest
from page_events import sent
from sample_pictures import picture

from studio.errors import StorageError
from studio.services import Services
from tabs import gallery
from tabs.gallery import PAGE, Handlers


@pytest.fixture
def shelf(services: Services, parts) -> Handlers:
    return Handlers(services, parts.gallery)


@pytest.fixture
def fill(services: Services):
    """Keeps so many pictures and returns their ids, oldest first."""

    def fill(count: int, **kind: str) -> list[int]:
        from studio.requests import GenerationRequest

        job_id = services.queue.submit(GenerationRequest())
        return [services.outputs.save(job_id, picture(seed=i, **kind)) for i in range(count)]

    return fill


def page(shelf: Handlers, parts, after: dict) -> tuple[list[int], str, bool, bool]:
    """Ids, count, and whether there is something newer and older."""
    view = parts.gallery
    return (
        after[view.grid]["items"],
        after[view.count],
        after[view.previous].interactive,
        after[view.next].interactive,
    )


def test_an_empty_gallery_says_so(shelf, parts):
    after = shelf.first("", "", "pictures")
    assert page(shelf, parts, after) == ([], "", False, False)
    assert after[parts.gallery.grid]["empty"] == "Nothing here yet."


def test_pages_are_turned_newest_first(shelf, parts, fill):
    ids = fill(PAGE + 5)[::-1]
    first = shelf.first("", "", "pictures")
    assert page(shelf, parts, first) == (ids[:PAGE], "1–60 of 65", False, True)
    second = shelf.older(first[parts.gallery.offset], "", "", "pictures")
    assert page(shelf, parts, second) == (ids[PAGE:], "61–65 of 65", True, False)
    again = shelf.newer(second[parts.gallery.offset], "", "", "pictures")
    assert page(shelf, parts, again) == page(shelf, parts, first)


def test_the_first_page_follows_what_is_made(shelf, parts, fill):
    items = parts.gallery.grid

    def look(seen: int | None, search="", model="", offset=0, show="pictures") -> dict:
        return shelf.look(offset, search, model, show, sent(id=seen))

    assert look(None) == gr.skip(), "still empty"
    ids = fill(PAGE + 1, prompt="a red apple", model="one")[::-1]
    assert look(None)[items]["items"] == ids[:PAGE]
    assert look(ids[0]) == gr.skip()
    newer = fill(1, prompt="a cat", model="two")
    assert look(ids[0])[items]["items"] == [*newer, *ids[: PAGE - 1]]
    assert look(newer[0]) == gr.skip()
    assert look(ids[0], search="apple") == gr.skip(), "it is not looked for"
    assert look(ids[0], model="one") == gr.skip()
    assert look(ids[PAGE], offset=PAGE) == gr.skip(), "another page is open"
    assert look(None, show="trash") == gr.skip()
    shelf._outputs.trash(newer)
    assert look(newer[0])[items]["items"] == ids[:PAGE]


def test_a_look_that_fails_says_nothing(shelf, fill, monkeypatch):
    fill(1)

    def away(*_):
        raise StorageError("The database does not answer.")

    monkeypatch.setattr(shelf._outputs, "page", away)
    assert shelf.look(0, "", "", "pictures", sent()) == gr.skip()


def test_search_by_words_and_model(shelf, parts, fill):
    fill(2, prompt="a red apple", model="one")
    blue = fill(1, prompt="a BLUE apple 100%", model="two")
    items = parts.gallery.grid

    def found(search, model=""):
        return shelf.first(search, model, "pictures")[items]["items"]

    assert found("blue") == found("APPLE blue") == found("two") == found("", "two") == blue
    assert found("100%") == blue
    assert found("%") == blue
    assert found("_") == found("'; DROP TABLE outputs; --") == found("red", "two") == []
    assert shelf.first("zebra", "", "pictures")[items]["empty"] == "Nothing matches."
    assert [
        choice[1] for choice in shelf.first("", "", "pictures")[parts.gallery.model].choices
    ] == [
        "",
        "one",
        "two",
    ]


@pytest.mark.parametrize("search", [None, "x" * 100_000, "\\", "%_\\%", "[" * 300])
def test_odd_searches_find_nothing_or_all_but_never_fail(shelf, parts, fill, search):
    fill(1)
    found = shelf.first(search, None, "pictures")[parts.gallery.grid]["items"]
    assert found == ([1] if search is None else [])


def test_a_picked_picture_shows_its_settings(shelf, fill):
    [output_id] = fill(1, prompt="<b>${x}")
    shown = shelf.pick(sent(id=output_id))
    assert (shown["id"], shown["prompt"], shown["trashed"]) == (output_id, "<b>${x}", False)
    assert "Seed: 0" in shown["infotext"]
    assert shown["when"]


def test_the_trash_can_be_undone(shelf, parts, fill, services):
    ids = fill(3)

    def show(what):
        return shelf.first("", "", what)[parts.gallery.grid]["items"]

    detail, trashed, undo = shelf.trash(sent(id=ids[1]))
    assert (detail, trashed, undo.visible) == ({}, ids[1], True)
    assert (show("pictures"), show("trash")) == ([ids[2], ids[0]], [ids[1]])
    assert shelf.pick(sent(id=ids[1]))["trashed"] is True
    assert shelf.undo(trashed)[1].visible is False
    assert (show("pictures"), show("trash")) == (ids[::-1], [])
    shelf.trash(sent(id=ids[0]))
    shelf.restore(sent(id=ids[0]))
    assert show("pictures") == ids[::-1]
    assert shelf.undo(None)[0] is None
    assert services.outputs.path(ids[1]).is_file()


def test_a_page_that_is_emptied_gives_way_to_the_one_before(shelf, parts, fill):
    oldest = fill(PAGE + 1)[0]
    shelf.trash(sent(id=oldest))
    after = shelf.turn(PAGE, "", "", "pictures")
    ids, counted, newer, older = page(shelf, parts, after)
    assert (len(ids), counted, newer, older) == (PAGE, "1–60 of 60", False, False)
    assert after[parts.gallery.offset] == 0


@pytest.mark.parametrize("value", [99, -1, 10**40, "1", None, True, [1]])
def test_an_id_that_is_no_picture(shelf, fill, value, services):
    fill(1)
    with pytest.raises(gr.Error) as caught:
        shelf.pick(sent(id=value))
    assert caught.value.message.endswith(".")
    if value != 10**40:
        shelf.trash(sent(id=value))
    assert services.outputs.page(0, 9).total == 1


@pytest.mark.alone
def test_ten_thousand_pictures_open_in_a_moment(shelf, parts, services, fill):
    import time

    from sqlalchemy import text

    fill(1)
    with services.database.write() as db:
        db.execute(
            text(
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 9999)"
                " INSERT INTO outputs (job_id, created_at, file, width, height, bytes, seed, model,"
                " prompt, negative_prompt, infotext, request, folded)"
                " SELECT job_id, created_at + i, file || i, width, height, bytes, seed, model,"
                " prompt || ' number ' || i, negative_prompt, infotext, request,"
                " folded || ' number ' || i FROM outputs, n"
            )
        )
    start = time.monotonic()
    after = shelf.first("", "", "pictures")
    shelf.first("number 77", "", "pictures")
    assert time.monotonic() - start < 2
    assert after[parts.gallery.count] == "1–60 of 10,000"
    assert len(after[parts.gallery.grid]["items"]) == gallery.PAGE
