"""The caption editor: its operations, what they write, and how the last one is undone."""

import errno
import os

import pytest
from drawn_sets import draw_set

from studio.errors import DataError, NotFound, RequestError, StorageError
from studio.training.pictures.captions import captions
from studio.training.pictures.editing import (
    can_undo,
    prefixed,
    read_captions,
    replaced,
    sorted_tags,
    suffixed,
    tag_counts,
    undo,
    without_duplicates,
    without_tag,
    write_captions,
)
from studio.training_requests import Pictures

CAPTIONS = {"a": "red dog, Red, dog", "b": "a dog.", "c": ""}


def test_find_and_replace_counts_and_returns_what_changes():
    edit = replaced(CAPTIONS, "dog", "cat")
    assert edit.captions == {"a": "red cat, Red, cat", "b": "a cat."}
    assert edit.count == 3
    assert replaced(CAPTIONS, "RED", "blue").count == 0
    assert replaced(CAPTIONS, "RED", "blue", match_case=False).count == 2
    assert replaced(CAPTIONS, ".", r"\1!").captions == {"b": r"a dog\1!"}
    assert replaced({"a": "x"}, "x", "x").captions == {}


def test_patterns_may_use_their_groups():
    edit = replaced(CAPTIONS, r"(\w+) dog", r"dog, \1", pattern=True)
    assert edit.captions == {"a": "dog, red, Red, dog", "b": "dog, a."}
    assert replaced({"a": "x  y"}, r"\s+", "\n", pattern=True).captions == {"a": "x y"}


@pytest.mark.parametrize(
    ("find", "new", "told"),
    [
        ("", "x", "nothing to look for"),
        ("(", "x", "no pattern"),
        ("(a)", r"\2", "no pattern"),
        ("a", r"\g<x>", "no pattern"),
    ],
)
def test_what_is_no_pattern_is_told(find, new, told):
    with pytest.raises(RequestError, match=told) as error:
        replaced({"x": "aaa"}, find, new, pattern=True)
    assert error.value.field == "find"


def test_a_pattern_without_an_end_is_stopped(monkeypatch):
    monkeypatch.setattr("studio.training.pictures.editing._PATIENCE", 0.05)
    with pytest.raises(RequestError, match="takes too long"):
        replaced({"x": "a" * 40 + "b"}, r"(a|aa|a)*(a|aa)*c|(a+)+c", "x", pattern=True)


def test_texts_are_put_before_and_behind():
    assert prefixed(CAPTIONS, "sks").captions == {
        "a": "sks, red dog, Red, dog",
        "b": "sks, a dog.",
        "c": "sks",
    }
    assert prefixed(CAPTIONS, "photo,").captions["b"] == "photo, a dog."
    assert prefixed({"x": "sks, a"}, "sks").captions == {}
    assert suffixed(CAPTIONS, "4k").captions["a"] == "red dog, Red, dog, 4k"
    assert suffixed({"x": "a, 4k"}, "4k").captions == {}
    assert prefixed(CAPTIONS, "").captions == suffixed(CAPTIONS, " ").captions == {}


def test_parts_are_dropped_counted_sorted_and_made_single():
    assert without_tag(CAPTIONS, "RED").captions == {"a": "red dog, dog"}
    assert without_tag(CAPTIONS, "re").captions == {}
    assert without_duplicates({"a": "x, y, X, z, y", "b": "x,y"}).captions == {"a": "x, y, z"}
    assert sorted_tags({"a": "sks, c, B, a", "b": "a, b"}, 1).captions == {"a": "sks, a, B, c"}
    assert tag_counts({"a": "x, y, x", "b": "y", "c": ""}) == {"y": 2, "x": 1}


def test_edits_are_written_and_the_last_is_undone_byte_by_byte(tmp_path):
    folder = draw_set(tmp_path / "set", {"10_sks dog/a.png": None, "b.png": None, "c.png": "same"})
    old = "\ufeffété\r\n".encode("utf-16")
    (folder / "b.txt").write_bytes(old)
    assert can_undo(folder) == 0
    edited = {"10_sks dog/a.png": " a \n dog ", "b.png": "new", "c.png": "same"}
    assert write_captions(folder, edited) == 2
    assert read_captions(folder) == {"10_sks dog/a.png": "a dog", "b.png": "new", "c.png": "same"}
    assert (folder / "10_sks dog" / "a.txt").read_text() == "a dog"
    assert can_undo(folder) == 2
    assert undo(folder) == 2
    assert (folder / "b.txt").read_bytes() == old
    assert not (folder / "10_sks dog" / "a.txt").exists()
    with pytest.raises(DataError, match="no edit of 'set' to undo"):
        undo(folder)


def test_undoing_leaves_alone_what_was_changed_since(tmp_path):
    folder = draw_set(tmp_path / "set", {"a.png": "a", "b.png": "b"})
    write_captions(folder, {"a.png": "x", "b.png": "y"})
    (folder / "b.txt").write_text("by hand")
    assert undo(folder) == 1
    assert read_captions(folder) == {"a.png": "a", "b.png": "by hand"}


def test_an_undo_file_from_elsewhere_reaches_nothing_but_captions(tmp_path):
    folder = draw_set(tmp_path / "set", {"a.png": "a"})
    victim = tmp_path / "victim.txt"
    victim.write_text("precious")
    (folder / ".atelier-undo.json").write_text('{"../victim.txt": ["gone", "precious"]}')
    with pytest.raises(DataError, match="no edit"):
        undo(folder)
    assert victim.read_text() == "precious"


def test_a_cleared_caption_stays_cleared_over_a_list(tmp_path):
    folder = draw_set(tmp_path / "set", {"a.png": None})
    (folder / "metadata.jsonl").write_text('{"file_name": "a.png", "text": "listed"}')
    assert read_captions(folder) == {"a.png": "listed"}
    write_captions(folder, {"a.png": ""})
    assert read_captions(folder) == {"a.png": ""}
    assert captions(folder, ["a.png"], Pictures(pictures="x", prompt="p")) == {"a.png": "p"}


def test_a_picture_that_is_not_there_is_told_and_nothing_written(tmp_path):
    folder = draw_set(tmp_path / "set", {"a.png": "a"})
    for name in ("../a.png", "b.png", "a.txt", "/etc/passwd"):
        with pytest.raises(NotFound, match="There is no picture"):
            write_captions(folder, {"a.png": "changed", name: "x"})
    assert read_captions(folder) == {"a.png": "a"}


def test_a_full_disk_loses_no_caption(tmp_path, monkeypatch):
    folder = draw_set(tmp_path / "set", {"a.png": "a", "b.png": "b"})
    calls = []

    def fill(handle):
        calls.append(handle)
        if len(calls) > 2:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fill)
    with pytest.raises(StorageError, match="the disk is full"):
        write_captions(folder, {"a.png": "x", "b.png": "y"})
    monkeypatch.undo()
    assert read_captions(folder) == {"a.png": "x", "b.png": "b"}
    assert undo(folder) == 1
    assert read_captions(folder) == {"a.png": "a", "b.png": "b"}
    assert not [file for file in folder.iterdir() if file.name.startswith(".atelier-")
                and file.suffix != ".json"]  # fmt: skip
