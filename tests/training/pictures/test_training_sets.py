"""Picture sets: what counts as one, what is uploaded to it, and how it goes away."""

import errno
import io
import json
import os
import stat
import zipfile

import pytest
from drawn_sets import draw_set, drawn, encoded

from studio.errors import DataError, NotFound, RequestError, StorageError
from studio.training.pictures import uploads
from studio.training.pictures.editing import read_captions, undo
from studio.training.pictures.examples import examples
from studio.training.pictures.sets import PictureSets
from studio.training_requests import Pictures

WANTED = Pictures(pictures="x", prompt="a dog")


@pytest.fixture
def sets(tmp_path):
    return PictureSets(tmp_path)


def pixels(seed=0):
    return encoded(drawn(seed))


def packed(files, **options):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content, **options)
    return stream.getvalue()


def held(sets, name="dogs"):
    folder = sets.path(name)
    return {
        each.name: each.caption
        for each in examples(folder, Pictures(pictures="x", captions="files"))
    }


def test_a_folder_that_somebody_put_there_is_a_set(sets, tmp_path):
    assert sets.names() == []
    draw_set(tmp_path / "pictures" / "été 1", {"a.png": "x", "in/b.png": None})
    (tmp_path / "pictures" / ".hidden").mkdir()
    (tmp_path / "pictures" / "it's").mkdir()
    (tmp_path / "pictures" / "file").write_text("no folder")
    assert sets.names() == ["été 1"]
    assert sets.misnamed() == ["it's"]
    summary = sets.summary("été 1")
    assert (summary.pictures, summary.captioned, summary.first.name) == (2, 1, "a.png")
    assert summary.bytes == sum(f.stat().st_size for f in sets.path("été 1").rglob("*.png"))
    for name in ("../x", "file", "it's", ".hidden", "", "no", "été 1/in", "/", "été 1\n"):
        with pytest.raises(NotFound, match=r"There is no picture set .*été 1"):
            sets.path(name)


def test_a_set_is_made_once_under_a_plain_name(sets):
    assert sets.create(" my dogs ") == "my dogs"
    assert sets.summary("my dogs").pictures == 0
    with pytest.raises(DataError, match="There is a picture set 'My Dogs' already"):
        sets.create("My Dogs")
    for name in ("", "../x", "a/b", ".x", "x\ny", "a\\b", "x" * 101, "con:"):
        with pytest.raises(RequestError, match="cannot be the name") as error:
            sets.create(name)
        assert error.value.field == "pictures"
    assert sets.names() == ["my dogs"]


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("a b.png", "a b.png"),
        ('it\'s "q".PNG', "it_s _q_.png"),
        ("été 漢字 🐕.png", "été 漢字 🐕.png"),
        ("two\nlines\t.png", "two_lines_.png"),
        ("../../etc/x.png", "etc/x.png"),
        ("/abs/x.png", "abs/x.png"),
        ("C:\\Users\\me\\x.png", "Users/me/x.png"),
        ("nul.png", "_nul.png"),
        ("  .png", "picture.png"),
        ("x" * 300 + ".png", "x" * 100 + ".png"),
        ("漢" * 300 + ".png", "漢" * 66 + ".png"),
        ("e\u0301.png", "é.png"),
        ("\ud800bad.png", "_bad.png"),
        ("photo", "photo.png"),
        ("photo.jfif", "photo.png"),
    ],
)
def test_names_are_made_safe_and_captions_follow(sets, name, kept):
    sets.create("dogs")
    caption = os.path.splitext(name)[0] + ".txt"  # noqa: PTH122 - a name, not a path
    added = sets.add("dogs", [(caption, "un café".encode("latin-1")), (name, pixels())])
    assert (added.pictures, added.captions, added.refused) == (1, 1, ())
    assert held(sets) == {kept: "un café"}
    mode = stat.S_IMODE(next(sets.path("dogs").rglob(kept.rpartition("/")[2])).stat().st_mode)
    assert mode == 0o666 & ~_umask()


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_the_same_picture_is_added_once_and_its_new_caption_is_taken(sets):
    sets.create("dogs")
    sets.add("dogs", [("a.png", pixels(1)), ("a.txt", b"old")])
    added = sets.add("dogs", [("b.png", pixels(1)), ("b.txt", b"new"), ("c.png", pixels(2))])
    assert (added.pictures, added.already, added.captions) == (1, 1, 1)
    assert held(sets) == {"a.png": "new", "c.png": ""}
    assert undo(sets.path("dogs")) == 1
    assert held(sets)["a.png"] == "old"


def test_another_picture_of_the_same_name_replaces_none(sets):
    sets.create("dogs")
    sets.add("dogs", [("a.png", pixels(1)), ("a.txt", b"one")])
    sets.add("dogs", [("a.jpg", encoded(drawn(2), "JPEG")), ("a.txt", b"two")])
    sets.add(
        "dogs", [("x?.png", pixels(3)), ("x*.png", pixels(4)), ("x?.txt", b"3"), ("x*.txt", b"4")]
    )
    assert held(sets) == {
        "a.png": "one",
        "a 2.jpg": "two",
        "x_.png": "3",
        "x_ 2.png": "4",
    }


def test_a_caption_alone_goes_to_the_picture_that_is_there(sets):
    sets.create("dogs")
    sets.add("dogs", [("a.png", pixels(1))])
    added = sets.add("dogs", [("a.txt", b"late"), ("nobody.txt", b"lost")])
    assert added.captions == 1
    assert added.refused == ("'nobody' is a caption without its picture.",)
    assert held(sets) == {"a.png": "late"}


def test_a_list_of_captions_is_taken_for_its_pictures(sets):
    sets.create("dogs")
    lines = [{"file_name": "it's.png", "text": "listed"}, {"file_name": "b.png", "text": "lost"}]
    content = "\n".join(map(json.dumps, lines)).encode()
    sets.add("dogs", [("metadata.jsonl", content), ("it's.png", pixels(1)),
                      ("b.png", pixels(2)), ("b.txt", b"file")])  # fmt: skip
    assert held(sets) == {"it_s.png": "listed", "b.png": "file"}


def test_what_is_no_picture_is_refused_by_name_and_the_rest_is_kept(sets, monkeypatch):
    monkeypatch.setattr(uploads, "LARGEST", 2000)
    sets.create("dogs")
    added = sets.add(
        "dogs",
        [("a.png", b"text"), ("b.exe", b"MZ"), ("c.png", b""), ("ok.png", pixels(1)),
         ("large.png", b"0" * 2001), (".DS_Store", b"x"), ("LICENSE", b"text")],
    )  # fmt: skip
    assert added.pictures == 1
    assert [sentence.partition("; ")[0] for sentence in added.refused] == [
        "'a.png' is no picture that can be read",
        "'b.exe' is neither a picture nor a caption",
        "'c.png' is empty",
        "'large.png' is larger than 0 MB",
        "'LICENSE' is no picture that can be read",
    ]
    assert list(held(sets)) == ["ok.png"]


def test_an_upload_that_lies_in_a_file_is_read_from_there(sets, tmp_path):
    sets.create("dogs")
    (tmp_path / "upload-1").write_bytes(pixels(1))
    (tmp_path / "upload-2").write_bytes(packed({"b.png": pixels(2)}))
    added = sets.add("dogs", [("a.png", tmp_path / "upload-1"), ("z.ZIP", tmp_path / "upload-2")])
    assert added.pictures == 2
    assert list(held(sets)) == ["a.png", "b.png"]


def test_an_archive_is_unpacked_with_its_folders_and_without_litter(sets):
    sets.create("dogs")
    content = packed(
        {
            "wrap/10_the cat's toy/a.png": pixels(1),
            "wrap/10_the cat's toy/a.txt": "on the sofa",
            "wrap/2_more/b.png": pixels(2),
            "__MACOSX/wrap/._a.png": b"x",
            "wrap/.DS_Store": b"x",
            **{f"wrap/notes{n}.md": b"x" for n in range(5)},
        }
    )
    added = sets.add("dogs", [("set.zip", content)])
    assert (added.pictures, added.captions) == (2, 1)
    assert len(added.refused) == 4
    assert "'set.zip' holds 2 more files that are no pictures" in added.refused[-1]
    found = {e.name: (e.repeats, e.caption) for e in examples(sets.path("dogs"), WANTED)}
    assert found == {
        "10_the cat_s toy/a.png": (10, "on the sofa"),
        "2_more/b.png": (2, "more"),
    }
    (sets.path("dogs") / "10_the cat_s toy" / "a.txt").unlink()
    assert examples(sets.path("dogs"), WANTED)[0].caption == "the cat's toy"


def test_an_archive_reaches_nothing_outside_the_set(sets, tmp_path):
    sets.create("dogs")
    names = ("../../out.png", "/tmp-abs.png", "..\\..\\win.png", "a/../../b.png", "C:/x.png")
    sets.add("dogs", [("z.zip", packed({name: pixels(n) for n, name in enumerate(names)}))])
    files = list(tmp_path.rglob("*.png"))
    assert len(files) == len(names)
    assert all(file.is_relative_to(sets.path("dogs")) for file in files)


def test_archives_that_would_fill_the_disk_are_refused(sets, monkeypatch):
    sets.create("dogs")
    monkeypatch.setattr(uploads, "LARGEST", 10_000)
    bomb = packed({"ok.png": pixels(1), "bomb.png": b"\0" * 10**7, "z.png": pixels(2)})
    assert len(bomb) < 20_000
    added = sets.add("dogs", [("z.zip", bomb[:])]) if len(bomb) > 10_000 else None
    added = added or sets.add("dogs", [("z.zip", bomb)])
    assert (added.pictures, len(added.refused)) == (2, 1)
    monkeypatch.setattr(uploads, "_UNPACKED", 3000)
    many = packed({f"{n}.png": pixels(n) + bytes(1000) for n in range(10, 20)})
    added = sets.add("dogs", [("many.zip", many)])
    assert added.pictures < 3
    assert "'many.zip' holds more than" in added.refused[0]
    monkeypatch.setattr(uploads, "MOST_PICTURES", 5)
    lot = packed({f"{n}.txt": b"" for n in range(11)})
    assert "holds more than 10 files" in sets.add("dogs", [("lot.zip", lot)]).refused[0]
    full = [(f"{n}.png", pixels(n)) for n in range(30, 40)]
    assert "is one too many" in sets.add("dogs", full).refused[-1]
    assert len(held(sets)) == 5


@pytest.mark.parametrize("kind", ["text", "cut", "empty", "locked", "spoilt"])
def test_archives_that_are_spoilt_or_locked_are_told(sets, kind):
    sets.create("dogs")
    content = packed({"a.png": bytes(range(256)) * 50})
    if kind == "locked":
        content = bytearray(content)
        content[6] |= 1  # the bit that says so, in the file's and the list's entry
        content[content.index(b"PK\x01\x02") + 8] |= 1
    elif kind == "spoilt":
        content = content[:60] + b"\xff" * 20 + content[80:]
    else:
        content = {"text": b"no archive", "cut": content[:-30], "empty": b""}[kind]
    added = sets.add("dogs", [("z.zip", bytes(content)), ("ok.png", pixels(1))])
    assert added.pictures == 1
    assert len(added.refused) == 1
    assert ("locked by a password" if kind == "locked" else "no archive") in added.refused[0]


def test_names_in_utf_8_that_an_archive_does_not_declare_are_read(sets):
    sets.create("dogs")
    content = packed({"cafe1.png": pixels(1)}).replace(b"cafe1.png", "café.png".encode())
    sets.add("dogs", [("z.zip", content)])
    assert list(held(sets)) == ["café.png"]


def test_a_full_disk_is_told_and_what_was_added_stays(sets, monkeypatch):
    sets.create("dogs")
    sets.add("dogs", [("a.png", pixels(1))])

    def fill(handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fill)
    with pytest.raises(StorageError, match="the disk is full"):
        sets.add("dogs", [("b.png", pixels(2))])
    monkeypatch.undo()
    assert list(held(sets)) == ["a.png"]
    assert [f.name for f in sets.path("dogs").iterdir() if f.suffix == ".png"] == ["a.png"]


def test_a_set_is_removed_to_the_trash_or_for_good(sets, tmp_path):
    for name in ("a", "b"):
        sets.create(name)
        sets.add(name, [("x.png", pixels(1))])
    sets.remove("a")
    sets.remove("b", for_good=True)
    assert sets.names() == []
    assert len(list((tmp_path / "pictures" / ".trash").rglob("x.png"))) == 1
    with pytest.raises(NotFound):
        sets.remove("a")
    outside = draw_set(tmp_path / "outside", {"a.png": None})
    (tmp_path / "pictures" / "linked").symlink_to(outside)
    assert sets.names() == ["linked"]
    sets.remove("linked", for_good=True)
    assert (outside / "a.png").is_file()
    assert read_captions(outside) == {"a.png": ""}
