"""What a training sees of a folder: order, sums, sizes, repeats; what is left out and refused."""

import errno
import hashlib
import os
import time

import pytest
from drawn_sets import draw_set, drawn, encoded
from PIL import Image

from studio.errors import DataError, NotFound
from studio.training.pictures import listing
from studio.training.pictures.examples import examples, survey
from studio.training.pictures.listing import describe, find_pictures
from studio.training_requests import Pictures

WANTED = Pictures(pictures="x", prompt="a dog")
ODD = ("a b.png", 'it\'s "q".png', "été 漢字.png", "two\nlines.png", ";$(x) & %.png", "-rf.png")


def test_pictures_have_their_sums_sizes_and_captions_in_a_fixed_order(tmp_path):
    folder = draw_set(tmp_path / "set", {"b.png": "bee", "A.png": None, "z/c.png": None}, (30, 20))
    (folder / "notes.md").write_text("not a picture")
    (folder / ".hidden.png").write_bytes(encoded(drawn()))
    (folder / ".trash").mkdir()
    (folder / ".trash" / "x.png").write_bytes(encoded(drawn()))
    found = examples(folder, WANTED)
    assert [each.name for each in found] == ["A.png", "b.png", "z/c.png"]
    assert [each.caption for each in found] == ["a dog", "bee", "a dog"]
    assert {each.size for each in found} == {(30, 20)}
    for each in found:
        assert each.sha256 == hashlib.sha256(each.path.read_bytes()).hexdigest()
    assert examples(folder, WANTED) == found


@pytest.mark.parametrize("name", ODD)
def test_odd_names_on_the_disk_are_read(tmp_path, name):
    folder = draw_set(tmp_path / "set", {name: "a caption"})
    for _ in range(2):  # the second time from what is remembered
        (found,) = examples(folder, WANTED)
        assert (found.name, found.caption) == (name, "a caption")


def test_a_name_that_is_no_text_is_read(tmp_path):
    folder = tmp_path / "set"
    folder.mkdir()
    with open(os.fsencode(folder) + b"/caf\xe9.png", "wb") as file:  # noqa: PTH123 - bytes
        file.write(encoded(drawn()))
    for _ in range(2):
        assert [each.caption for each in examples(folder, WANTED)] == ["a dog"]


def test_folders_of_unlike_size_are_balanced_unless_their_names_say_otherwise(tmp_path):
    folder = draw_set(tmp_path / "set", {f"a/{n}.png": None for n in range(6)})
    draw_set(folder, {"b/x.png": None, "b/deep/y.png": None})
    repeats = {each.name: each.repeats for each in examples(folder, WANTED)}
    assert repeats["a/0.png"] == 1
    assert repeats["b/x.png"] == repeats["b/deep/y.png"] == 3
    draw_set(folder, {"7_sks cat/z.png": None})
    found = {each.name: (each.repeats, each.caption) for each in examples(folder, WANTED)}
    assert found["a/0.png"] == found["b/x.png"] == (1, "a dog")
    assert found["7_sks cat/z.png"] == (7, "sks cat")


def test_what_cannot_be_read_is_left_out_and_told(tmp_path, monkeypatch):
    folder = draw_set(tmp_path / "set", {"good.png": None})
    (folder / "text.png").write_text("no picture")
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "svg.png").write_text("<svg/>")
    (folder / "gone.png").symlink_to(folder / "nowhere.png")
    found = survey(folder, WANTED)
    assert [each.name for each in found.examples] == ["good.png"]
    assert {each.name: each.reason.partition(";")[0] for each in found.unreadable} == {
        "text.png": "is no picture that can be read",
        "empty.jpg": "is empty",
        "svg.png": "is no picture that can be read",
    }
    monkeypatch.setattr(listing, "LARGEST", 10)
    (folder / "large.png").write_bytes(encoded(drawn(9)))
    assert (
        "is larger than"
        in {e.name: e.reason for e in survey(folder, WANTED).unreadable}["large.png"]
    )
    (folder / "good.png").unlink()
    (folder / "large.png").unlink()
    with pytest.raises(
        DataError, match=r"None of the 3 pictures of 'set' can be used: 'empty.jpg'"
    ):
        examples(folder, WANTED)


def test_a_file_that_could_not_be_read_is_tried_again(tmp_path, monkeypatch):
    folder = draw_set(tmp_path / "set", {"a.png": None})
    real = listing.Path.read_bytes

    def refuse(path):
        if path.suffix == ".png":
            raise PermissionError(errno.EACCES, "Permission denied")
        return real(path)

    with monkeypatch.context() as broken:
        broken.setattr(listing.Path, "read_bytes", refuse)
        with pytest.raises(DataError, match=r"'a.png' cannot be read \(permission denied\)"):
            examples(folder, WANTED)
    assert len(examples(folder, WANTED)) == 1


def test_no_pictures_no_folder_and_no_permission_are_refused_in_one_sentence(tmp_path, monkeypatch):
    with pytest.raises(NotFound, match="nowhere is not there; check the path"):
        examples(tmp_path / "nowhere", WANTED)
    (tmp_path / "file").write_text("x")
    with pytest.raises(NotFound, match="file is no folder"):
        examples(tmp_path / "file", WANTED)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="There are no pictures in 'empty'; add some first"):
        examples(tmp_path / "empty", WANTED)

    def refuse(path):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(DataError, match=r"empty cannot be read \(permission denied\)"):
        examples(tmp_path / "empty", WANTED)


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may read everything")
def test_a_folder_without_permission_is_refused(tmp_path):
    folder = draw_set(tmp_path / "set", {"a.png": None})
    folder.chmod(0)
    try:
        with pytest.raises(DataError, match="permission denied"):
            examples(folder, WANTED)
    finally:
        folder.chmod(0o755)


def test_links_in_a_circle_come_to_an_end(tmp_path):
    folder = draw_set(tmp_path / "set", {"a.png": None, "in/b.png": None})
    (folder / "in" / "again").symlink_to(folder)
    assert [each.name for each in find_pictures(folder)] == ["a.png", "in/b.png"]


def test_a_changed_file_is_read_anew_and_others_are_not(tmp_path, monkeypatch):
    folder = draw_set(tmp_path / "set", {"a.png": None, "b.png": None})
    before = {each.name: each.sha256 for each in examples(folder, WANTED)}
    (folder / "b.png").write_bytes(encoded(drawn(77, (50, 50))))
    read = []
    real = listing.facts_of
    monkeypatch.setattr(listing, "facts_of", lambda path: read.append(path.name) or real(path))
    after = {each.name: each.sha256 for each in examples(folder, WANTED)}
    assert read == ["b.png"]
    assert after["a.png"] == before["a.png"]
    assert after["b.png"] != before["b.png"]


def test_sums_that_are_spoilt_or_cannot_be_kept_are_worked_out_again(tmp_path, monkeypatch):
    folder = draw_set(tmp_path / "set", {"a.png": None})
    found = examples(folder, WANTED)
    memory = next(folder.glob(".atelier-sums*"))
    for spoilt in (b"", b"[]", b'{"version": 1, "files": 3}', b"\xff", b'{"version": 1}'):
        memory.write_bytes(spoilt)
        assert examples(folder, WANTED) == found
    memory.write_text(
        memory.read_text().replace(found[0].sha256, "0" * 64).replace("24", '"x"'), "utf-8"
    )
    assert examples(folder, WANTED) == found

    def refuse(*_):
        raise OSError(errno.EROFS, "Read-only file system")

    memory.unlink()
    monkeypatch.setattr(os, "open", refuse)
    assert examples(folder, WANTED) == found


def test_a_thousand_pictures_are_read_in_seconds_and_then_known(tmp_path):
    folder = tmp_path / "set"
    folder.mkdir()
    content = encoded(drawn(1, (640, 480)), "JPEG", quality=95)
    for number in range(1000):
        (folder / f"{number}.jpg").write_bytes(content + str(number).encode())
        (folder / f"{number}.txt").write_text(f"picture {number}")
    start = time.perf_counter()
    first = examples(folder, WANTED)
    between = time.perf_counter()
    second = examples(folder, WANTED)
    end = time.perf_counter()
    assert len(first) == len({each.sha256 for each in first}) == 1000
    assert second == first
    print(f"first {between - start:.2f} s, then {end - between:.2f} s")
    assert between - start < 10
    assert end - between < 1


def test_a_pillow_without_avif_reads_the_others(tmp_path, monkeypatch):
    Image.init()
    folder = draw_set(tmp_path / "set", {"a.png": None})
    (folder / "b.avif").write_bytes(encoded(drawn(), "AVIF"))
    monkeypatch.delitem(Image.OPEN, "AVIF")
    found = survey(folder, WANTED)
    assert [each.name for each in found.examples] == ["a.png"]
    assert [each.name for each in found.unreadable] == ["b.avif"]


def test_reading_of_pngs_does_not_decode_them(tmp_path):
    path = tmp_path / "a.png"
    content = encoded(drawn(1, (1000, 800)))
    path.write_bytes(content[: len(content) // 2])  # could not be decoded
    found = find_pictures(tmp_path)
    assert describe(tmp_path, found)["a.png"].size == (1000, 800)
