"""What pictures say: files, lists, names, prompts, in every encoding; triggers, shuffled parts."""

import json

import pytest
from drawn_sets import draw_set

from studio.training.pictures.captions import (
    captions,
    decoded,
    tags_of,
    variant,
    with_trigger,
    words_of,
    written,
)
from studio.training.pictures.listing import find_pictures
from studio.training_requests import CaptionSource, Pictures


def said(folder, **wanted):
    names = [each.name for each in find_pictures(folder)]
    return captions(folder, names, Pictures(pictures="x", **wanted))


@pytest.fixture
def mixed(tmp_path):
    """Pictures with a file, a line, both, neither, and an empty file over a line."""
    folder = draw_set(
        tmp_path / "set",
        {"a_1.png": "from file", "b.png": None, "c.png": "file wins", "d_dog (2).png": None,
         "e.png": "", "deep/f.png": None, "deep/g.png": None},
    )  # fmt: skip
    lines = [
        {"file_name": "b.png", "text": "from line"},
        {"file_name": "c.png", "text": "line loses"},
        {"file_name": "e.png", "text": "hidden by the empty file"},
        {"file_name": "deep/f.png", "text": "from above"},
        {"file_name": "b.png"},
        ["no object"],
    ]
    text = "\n".join(map(json.dumps, lines)) + "\nno json\n"
    (folder / "metadata.jsonl").write_text(text, encoding="utf-8")
    beside = json.dumps({"file_name": "g.png", "caption": "from beside"})
    (folder / "deep" / "metadata.jsonl").write_text(beside, encoding="utf-8")
    return folder


def test_files_come_before_lines_and_both_before_the_prompt(mixed):
    assert said(mixed, prompt="for all") == {
        "a_1.png": "from file",
        "b.png": "from line",
        "c.png": "file wins",
        "d_dog (2).png": "for all",
        "deep/f.png": "from above",
        "deep/g.png": "from beside",
        "e.png": "for all",
    }


def test_files_alone_leave_others_without(mixed):
    found = said(mixed, prompt="for all", captions=CaptionSource.FILES)
    assert found["d_dog (2).png"] == found["e.png"] == ""
    assert found["b.png"] == "from line"


def test_names_and_the_prompt_are_taken_alone(mixed):
    names = said(mixed, captions=CaptionSource.NAMES)
    assert (names["a_1.png"], names["d_dog (2).png"], names["deep/f.png"]) == ("a", "d dog", "f")
    assert set(said(mixed, captions=CaptionSource.PROMPT, prompt="p").values()) == {"p"}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("sks_dog_01.png", "sks dog"),
        ("a/b/blue-eyed cat (3).jpg", "blue-eyed cat"),
        ("1girl 2024 [7].png", "1girl"),
        ("00017.png", ""),
        ("été_à la_plage.webp", "été à la plage"),
        ("two\nlines.png", "two lines"),
    ],
)
def test_what_names_say(name, words):
    assert words_of(name) == words


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("un été".encode(), "un été"),
        ("\ufeffun été".encode(), "un été"),
        ("un été".encode("latin-1"), "un été"),
        ("“quoted” – 5 €".encode("cp1252"), "“quoted” – 5 €"),
        ("un été".encode("utf-16"), "un été"),
        (b"odd \x81 byte", "odd \x81 byte"),
        (b"", ""),
    ],
)
def test_captions_are_read_in_whatever_encoding_they_were_saved(tmp_path, content, text):
    assert decoded(content) == text
    draw_set(tmp_path / "set", {"a.png": None})
    (tmp_path / "set" / "a.txt").write_bytes(
        content + b"\0\r\n" if b"\xff" not in content else content
    )
    found = written(tmp_path / "set", ["a.png"])["a.png"]
    assert found == " ".join(text.split())


def test_captions_in_latin_1_reach_the_model(tmp_path):
    folder = draw_set(tmp_path / "set", {"a.png": None, "b.png": None})
    (folder / "a.txt").write_bytes("un café à Orléans".encode("latin-1"))
    (folder / "B.TXT").write_bytes(b"LARGE ENDING")
    assert said(folder) == {"a.png": "un café à Orléans", "b.png": "LARGE ENDING"}


def test_kohyas_own_ending_is_read_where_there_is_no_txt(tmp_path):
    folder = draw_set(tmp_path / "set", {"a.png": "txt", "b.png": None})
    for name in "ab":
        (folder / f"{name}.caption").write_text("caption")
    assert said(folder) == {"a.png": "txt", "b.png": "caption"}


@pytest.mark.parametrize(
    ("caption", "trigger", "found"),
    [
        ("a photo of a dog", "sks", "sks, a photo of a dog"),
        ("a photo of SKS dog", "sks", "a photo of SKS dog"),
        ("sksy dog", "sks", "sks, sksy dog"),
        ("", "sks", "sks"),
        ("a dog", "", "a dog"),
        ("in the style of <my-cat>, dark", "<my-cat>", "in the style of <my-cat>, dark"),
        ("a (dog", "(dog", "a (dog"),
    ],
)
def test_the_trigger_is_put_before_captions_that_lack_it(caption, trigger, found):
    assert with_trigger(caption, trigger) == found


def test_a_trigger_reaches_every_caption(mixed):
    assert said(mixed, prompt="a photo of zwx", trigger="zwx")["d_dog (2).png"] == "a photo of zwx"
    assert said(mixed, trigger="zwx")["a_1.png"] == "zwx, from file"


def test_parts_are_shuffled_by_seed_and_the_first_are_kept():
    caption = "sks, " + ", ".join("abcdefgh")
    found = {variant(caption, seed, keep_tokens=1) for seed in range(50)}
    assert len(found) > 40
    for each in found:
        assert each.startswith("sks, ")
        assert sorted(tags_of(each)) == sorted(tags_of(caption))
    assert variant(caption, 7, keep_tokens=1) == variant(caption, 7, keep_tokens=1)
    assert variant(caption, 7, shuffle=False) == caption
    assert variant(caption, 7, keep_tokens=9) == caption
    assert variant("one sentence", 3) == "one sentence"
    assert {variant(caption, seed)[:3] for seed in range(30)} != {"sks"}
