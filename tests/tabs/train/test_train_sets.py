"""Picture sets on the page: captions, undo, pages of large sets, and what a cut keeps."""

import re
import time

import gradio as gr
import pytest
from PIL import Image

from studio.training.pictures.editing import read_captions
from studio.training.pictures.notes import read_notes
from tabs.blocks.train.captioning import CaptionHandlers
from tabs.blocks.train.editing import SetHandlers
from tabs.blocks.train.sets import PAGE, SURE


@pytest.fixture
def handlers(services, view):
    return SetHandlers(services, view.sets)


@pytest.fixture
def captions(services, things):
    return lambda: list(read_captions(services.picture_sets.path(things)).values())


def test_the_first_set_is_opened_with_its_captions(view, handlers, chosen, things):
    told = handlers.lists(chosen())
    assert told[view.sets.name].value == things
    assert told[view.sets.grid].count("<textarea") == 5
    assert "5 without a caption" in told[view.sets.facts]


def test_a_page_without_sets_says_what_they_are_for(view, handlers, chosen):
    assert "Pictures to learn from" in handlers.lists(chosen())[view.sets.grid]


def test_a_caption_is_kept_where_it_was_edited(
    view, handlers, chosen, event, things, sums, captions
):
    digest = sums(things)["thing 2.png"]
    told = handlers.write(chosen(name=things), event(sum=digest, text="a <b>\nsks thing"))
    assert captions() == ["", "", "a <b> sks thing", "", ""]
    assert view.sets.grid not in told, "boxes that are being typed into are not drawn anew"
    shown = handlers.search(chosen(name=things))[view.sets.grid]
    assert "a &lt;b&gt; sks thing" in shown
    with pytest.raises(gr.Error, match="no such picture"):
        handlers.write(chosen(name=things), event(sum="0" * 64, text="x"))


def test_captions_are_changed_together_and_had_back(view, handlers, chosen, things, captions):
    given = chosen(name=things, text="sks thing, red")
    handlers.prefix(given)
    assert set(captions()) == {"sks thing, red"}
    given = chosen(name=things, find="red", new="green")
    assert "5 times in 5 captions" in handlers.count(given)
    handlers.replace(given)
    assert set(captions()) == {"sks thing, green"}
    handlers.undo(chosen(name=things))
    assert set(captions()) == {"sks thing, red"}
    told = handlers.without(chosen(name=things, tag="red"))
    assert set(captions()) == {"sks thing"}
    assert told[view.sets.tag].choices == [("sks thing (5)", "sks thing")]
    assert "no pattern" in handlers.count(chosen(name=things, find="(", pattern=True))
    with pytest.raises(gr.Error, match="Type a text first"):
        handlers.suffix(chosen(name=things))


def test_shuffled_captions_keep_their_first_part(handlers, chosen, things):
    handlers.prefix(chosen(name=things, text="sks, a, b, c, d"))
    shown = handlers.shuffle(chosen(name=things, keep=1))
    assert shown.count("</small> sks, ") == 12
    orders = set(re.findall(r"</small> sks, ([^<]+)", shown))
    assert len(orders) > 1
    assert all(sorted(each.split(", ")) == ["a", "b", "c", "d"] for each in orders)


def test_pictures_are_found_by_name_and_caption(view, handlers, chosen, event, things, sums):
    digest = sums(things)["thing 3.png"]
    handlers.write(chosen(name=things), event(sum=digest, text="a green one"))
    for given in ({"search": "GREEN"}, {"search": "thing 3"}, {"which": "written"}):
        shown = handlers.search(chosen(name=things, **given))[view.sets.grid]
        assert shown.count("<textarea") == 1
    assert handlers.search(chosen(name=things, which="bare"))[view.sets.grid].count("<text") == 4


def test_a_cut_is_moved_by_a_press(services, view, handlers, chosen, event, things, sums):
    digest = sums(things)["thing 3.png"]
    told = handlers.pick(chosen(name=things), "", event(sum=digest))
    assert digest in told[view.sets.cut]
    handlers.focus(chosen(name=things), "", event(sum=digest, x=0.25, y=7))
    folder = services.picture_sets.path(things)
    assert read_notes(folder).focus == {"thing 3.png": (0.25, 1.0)}
    handlers.middle(chosen(name=things, picked=digest), "")
    assert read_notes(folder).focus == {}


def test_a_picture_is_taken_out_and_had_back(services, view, handlers, chosen, things, sums):
    digest = sums(things)["thing 3.png"]
    told = handlers.out(chosen(name=things, picked=digest))
    assert told[view.sets.grid].count("<textarea") == 4
    assert told[view.sets.undo].visible
    handlers.undo(chosen(name=things))
    assert len(sums(things)) == 5


def test_a_set_is_deleted_at_the_second_press(services, view, handlers, chosen, things):
    told = handlers.delete(chosen(name=things))
    assert told[view.sets.delete].value == SURE
    handlers.delete(chosen(name=things, sure=things))
    assert services.picture_sets.names() == []
    made = handlers.make(chosen(new_name="fresh"))
    assert made[view.sets.name].value == "fresh"
    with pytest.raises(gr.Error, match="cannot be the name"):
        handlers.make(chosen(new_name="../up"))


def test_without_a_captioner_the_page_says_how_to_get_one(view, handlers, chosen, things):
    told = handlers.lists(chosen())
    assert "models/captioners/" in told[view.sets.captioner]
    assert not told[view.sets.caption].visible


def test_a_thousand_pictures_are_turned_page_by_page(services, view, handlers, chosen, draw):
    folder = services.settings.data_dir / "pictures" / "many"
    folder.mkdir(parents=True)
    for number in range(1000):
        Image.new("RGB", (8, 8), (number % 256, number // 256, 7)).save(folder / f"{number:04}.png")
        (folder / f"{number:04}.txt").write_text(f"number {number}")
    handlers.choose(chosen(name="many"))  # sums are worked out once
    began = time.perf_counter()
    told = handlers.later(chosen(name="many", place=PAGE))
    seconds = time.perf_counter() - began
    assert told[view.sets.where] == "97–144 of 1,000"
    assert told[view.sets.grid].count("<textarea") == PAGE
    assert "number 96<" in told[view.sets.grid]
    assert seconds < 3


def test_folders_that_no_request_can_name_are_told_of(services, view, handlers, chosen, things):
    assert handlers.lists(chosen())[view.sets.name].info == " "
    (services.picture_sets.folder / "it's").mkdir()
    info = handlers.lists(chosen())[view.sets.name].info
    assert '"it\'s"' in info
    assert "Rename the folders" in info


def test_a_data_set_of_the_hub_that_is_out_of_reach_fails_in_a_sentence(services, view, chosen):
    jobs = CaptionHandlers(services, view.sets)
    with pytest.raises(gr.Error):
        jobs.fetch({**chosen(), view.sets.repo: "../../etc/passwd"})
    jobs.fetch({**chosen(), view.sets.repo: " owner/dogs "})
    [row] = services.queue.unended("fetch-pictures")
    job = services.run_now(services.queue.request(row))
    assert "owner/dogs cannot be read as a table of pictures" in services.queue.get(job).reason
    assert services.picture_sets.names() == []
