"""What kohya's scripts call a data set: names of folders, and the TOML file."""

from pathlib import Path

import pytest
from drawn_sets import draw_set

from studio.errors import DataError, NotFound
from studio.training.pictures.examples import examples
from studio.training.pictures.kohya import FolderNames, folder_note, read_data_file
from studio.training.pictures.notes import FolderNote, SetNotes, read_notes, write_notes
from studio.training_requests import CaptionSource, Pictures, TrainRequest

TOML = """
[general]
enable_bucket = true
shuffle_caption = true
caption_extension = ".txt"
keep_tokens = 1
bucket_reso_steps = 32

[[datasets]]
resolution = [768, 512]
batch_size = 4

  [[datasets.subsets]]
  image_dir = "dogs"
  class_tokens = "sks dog"
  num_repeats = 10
  flip_aug = true

  [[datasets.subsets]]
  image_dir = "3_a red cat"
  keep_tokens = 2
  color_aug = false

[[datasets]]
  [[datasets.subsets]]
  image_dir = "reg"
  class_tokens = "dog"
  is_reg = true
  flip_aug = false
"""


@pytest.mark.parametrize(
    ("name", "note"),
    [
        ("10_sks dog", FolderNote(10, "sks dog")),
        ("1_1girl, solo", FolderNote(1, "1girl, solo")),
        ("5_", FolderNote(5, "")),
        ("3_a_b", FolderNote(3, "a_b")),
        ("20240115_holiday", None),
        ("dogs", None),
        ("_10", None),
        ("10 dogs", None),
        ("-1_x", None),
    ],
)
def test_what_names_of_folders_tell(name, note):
    assert folder_note(name) == note


def test_the_nearest_folder_that_tells_counts_for_those_below():
    notes = SetNotes(folders={"a/b": FolderNote(4, "noted")})
    told = FolderNames(Path("set"), notes)
    assert told.note_of("10_sks dog/close/x.png") == FolderNote(10, "sks dog")
    assert told.group_of("10_sks dog/close/x.png") == "10_sks dog"
    assert told.note_of("a/b/x.png") == FolderNote(4, "noted")
    assert told.group_of("a/x.png") == "a"
    assert told.note_of("x.png") == FolderNote()
    assert told.group_of("x.png") == "."
    assert FolderNames(Path("7_it"), SetNotes()).note_of("x.png") == FolderNote(7, "it")


def test_a_folder_of_kohyas_is_learnt_from_as_it_is(tmp_path):
    folder = draw_set(
        tmp_path / "set",
        {"img/10_sks dog/a.png": None, "img/10_sks dog/b.png": "sks dog running",
         "img/2_more/c.png": None, "reg/1_dog/r.png": None, "log/l.png": None,
         "model/sample/s.png": None},
    )  # fmt: skip
    found = examples(folder, Pictures(pictures="x", prompt="a dog"))
    assert [(each.name, each.repeats, each.caption) for each in found] == [
        ("img/10_sks dog/a.png", 10, "sks dog"),
        ("img/10_sks dog/b.png", 10, "sks dog running"),
        ("img/2_more/c.png", 2, "more"),
    ]
    alone = examples(folder, Pictures(pictures="x", prompt="one", captions=CaptionSource.PROMPT))
    assert {each.caption for each in alone} == {"one"}


def test_a_folder_that_is_seen_no_time_is_left_out(tmp_path):
    folder = draw_set(tmp_path / "set", {"0_off/a.png": None, "1_on/b.png": None})
    assert [e.name for e in examples(folder, Pictures(pictures="x"))] == ["1_on/b.png"]


def test_a_data_file_is_read_into_our_fields(tmp_path):
    file = tmp_path / "data.toml"
    file.write_text(TOML, encoding="utf-8")
    (tmp_path / "dogs").mkdir()
    data = read_data_file(file)
    dogs, cats, class_pictures = data.subsets
    assert (dogs.folder, dogs.repeats, dogs.caption) == (tmp_path / "dogs", 10, "sks dog")
    assert (dogs.ending, dogs.regular) == (".txt", False)
    assert (cats.repeats, cats.caption) == (None, "a red cat")
    assert (class_pictures.regular, class_pictures.caption) == (True, "dog")
    assert data.fields == {
        "buckets": True,
        "shuffle_tags": True,
        "keep_tokens": 1,
        "resolution": round((768 * 512) ** 0.5),
        "batch_size": 4,
        "flip": True,
    }
    assert "bucket_reso_steps, color_aug" in data.notices[0]
    assert "keep_tokens; the first, 1," in data.notices[1]
    assert len(data.notices) == 2
    request = TrainRequest(pictures="x", name="run", **data.fields)
    assert (request.keep_tokens, request.flip) == (1, True)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("this is = = no toml", "cannot be read as TOML"),
        ("", r"has no \[\[datasets\]\]"),
        ("datasets = 3", r"has no \[\[datasets\]\]"),
        ("[[datasets]]\nresolution = 512", r"has no \[\[datasets.subsets\]\]"),
        ("general = 1\n[[datasets]]\n[[datasets.subsets]]", r"has no table \[general\]"),
        ("[[datasets]]\n[[datasets.subsets]]\nnum_repeats = 2", "without image_dir"),
        ("[[datasets]]\n[[datasets.subsets]]\nimage_dir = 3", "image_dir = 3"),
        ("[[datasets]]\n[[datasets.subsets]]\nimage_dir='a'\nnum_repeats='x'", "num_repeats = 'x'"),
        ("[[datasets]]\n[[datasets.subsets]]\nimage_dir='a'\nnum_repeats=-1", "num_repeats = -1"),
        ("[[datasets]]\n[[datasets.subsets]]\nimage_dir='a'\nflip_aug=1", "flip_aug = 1"),
        ("[[datasets]]\nresolution=[1]\n[[datasets.subsets]]\nimage_dir='a'", "resolution = "),
        ("[[datasets]]\nresolution=[0,2]\n[[datasets.subsets]]\nimage_dir='a'", "resolution = "),
    ],
)
def test_a_data_file_that_is_wrong_is_told_in_one_sentence(tmp_path, text, told):
    (tmp_path / "data.toml").write_text(text)
    with pytest.raises(DataError, match=told):
        read_data_file(tmp_path / "data.toml")


def test_a_data_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(NotFound, match=r"data\.toml is not there"):
        read_data_file(tmp_path / "data.toml")


def test_notes_are_kept_and_nonsense_in_them_is_passed_over(tmp_path):
    notes = SetNotes({"a.png": (0.2, 0.9)}, {".": FolderNote(3, "it"), "x": FolderNote(None, "y")})
    write_notes(tmp_path, notes)
    assert read_notes(tmp_path) == notes
    file = tmp_path / ".atelier.json"
    for spoilt in ("", "[]", "3", '{"focus": 3, "folders": []}', '{"focus": {"a": "x", "b": [1]}}'):
        file.write_text(spoilt)
        assert read_notes(tmp_path) == SetNotes()
    file.write_text('{"focus": {"a": [7, NaN]}, "folders": {"b": {"repeats": "x"}, "c": 1}}')
    assert read_notes(tmp_path) == SetNotes({"a": (1.0, 0.5)}, {"b": FolderNote()})
