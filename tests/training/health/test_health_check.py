"""A whole set is checked, the worst comes first, and a sound one is left in peace."""

import os

import pytest
from drawn import face, put, scene, smeared, words

from studio.errors import Cancelled, RequestError
from studio.training.health.check import check
from studio.training.health.finding import Kind, Severity
from studio.training.health.looker import Looker
from studio.training.health.seen import Sight, files_of
from studio.training.pictures.example import Example, Placed
from studio.training_requests import Pictures, TrainRequest

SIGHT = Sight(256, 64, words)
WANTED = Pictures(pictures="set", prompt="a photo of sks thing")


@pytest.fixture
def looker(tmp_path):
    return Looker(tmp_path / "cache")


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "set"


def sound(folder, count=6):
    for seed in range(count):
        put(folder, f"{seed}.png", scene(300, seed))


def kinds(report):
    return [each.kind for each in report.findings]


def test_a_sound_set_has_no_findings(folder, looker):
    sound(folder)
    put(folder, ".hidden/bad.png", scene(8))
    (folder / "notes.md").write_text("mine")
    report = check(folder, WANTED, SIGHT, looker)
    assert report.findings == ()
    assert (report.pictures, report.readable) == (6, 6)
    assert report.seconds > 0
    report.refuse()


def test_a_set_of_drawings_has_none_either(folder, looker):
    """Flat and alike as they are."""
    for mouth in ("smile", "frown", "open"):
        put(folder, f"{mouth}.png", face(300, mouth))
        put(folder, f"blue {mouth}.png", face(300, mouth, (60, 120, 250)))
    assert check(folder, WANTED, SIGHT, looker).findings == ()


def test_all_that_is_wrong_is_found_and_sorted(folder, looker):
    sound(folder, 4)
    put(folder, "again.jpg", scene(300, 1))
    put(folder, "soft.png", smeared(scene(300, 20), 5))
    put(folder, "small.png", scene(128, 21))
    put(folder, "dot.png", scene(1))
    put(folder, "wide.png", scene(shape=(900, 150), seed=22))
    put(folder, "glass.png", scene(300, 23).convert("RGBA").rotate(20))
    put(folder, "dog's “best”/é\nx.png", scene(300, 24), "one, " * 60)
    (folder / "cut.png").write_bytes((folder / "0.png").read_bytes()[:900])
    (folder / "1.txt").write_bytes(b"a\0b")
    report = check(folder, WANTED, SIGHT, looker)
    assert kinds(report)[:3] == [Kind.UNREADABLE, Kind.TINY, Kind.CAPTION_BINARY]
    severities = [each.severity for each in report.findings]
    assert severities == sorted(severities, key=list(Severity).index)
    by_kind = {each.kind: each for each in report.findings}
    assert by_kind[Kind.LOOKALIKES].groups == (("1.png", "again.jpg"),)
    assert by_kind[Kind.BLURRED].pictures == ("soft.png",)
    assert set(by_kind[Kind.ENLARGED].pictures) >= {"small.png"}
    assert by_kind[Kind.TRANSPARENT].pictures == ("glass.png",)
    assert by_kind[Kind.CAPTION_LONG].pictures == ("dog's “best”/é\nx.png",)
    assert all("\n" not in each.sentence for each in report.findings)
    assert (report.pictures, report.readable) == (12, 11)
    with pytest.raises(RequestError, match=r"cut\.png is cut off.*2 more") as refused:
        report.refuse()
    assert refused.value.field == "pictures"


def test_folders_without_pictures(folder, looker, tmp_path):
    folder.mkdir()
    for path in (folder, tmp_path / "absent"):
        report = check(path, WANTED, SIGHT, looker)
        assert kinds(report) == [Kind.NO_PICTURES]
        with pytest.raises(RequestError):
            report.refuse()
    (tmp_path / "file").write_text("")
    assert kinds(check(tmp_path / "file", WANTED, SIGHT, looker)) == [Kind.NO_PICTURES]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root reads all")
def test_a_folder_that_may_not_be_read(folder, looker):
    sound(folder)
    folder.chmod(0o000)
    try:
        report = check(folder, WANTED, SIGHT, looker)
    finally:
        folder.chmod(0o700)
    assert kinds(report) == [Kind.NO_PICTURES]
    assert "ermission" in report.findings[0].sentence


def test_what_the_set_s_reader_says_counts(folder, looker):
    """Its captions and buckets, and what it could not use; other files are none of our matter."""
    sound(folder)
    put(folder, "class/soft.png", smeared(scene(300, 20), 6))
    (folder / "broken.png").write_bytes(b"x")
    examples = [
        Example(path, name, "", (300, 300), f"sks thing {name}")
        for name, path in files_of(folder).items()
        if "/" not in name and name != "broken.png"
    ]
    placed = Placed(examples[0], (256, 256), (0, 0, 120, 120), 256 / 120)
    told = [placed, *examples[1:]]
    lost = {"broken.png": folder / "broken.png"}
    report = check(folder, WANTED, SIGHT, looker, examples=told, unusable=lost)
    by_kind = {each.kind: each for each in report.findings}
    assert set(by_kind) == {Kind.UNREADABLE, Kind.CUT, Kind.ENLARGED}
    assert by_kind[Kind.UNREADABLE].pictures == ("broken.png",)
    assert by_kind[Kind.CUT].pictures == by_kind[Kind.ENLARGED].pictures == (examples[0].name,)
    assert (report.pictures, report.readable) == (7, 6)
    lost = {"5.png": folder / "5.png"}  # for reasons of its own
    report = check(folder, WANTED, SIGHT, looker, examples=examples[:5], unusable=lost)
    assert kinds(report) == [Kind.UNREADABLE]
    assert report.findings[0].sentence.startswith("5.png cannot be used")


def test_a_whole_request_will_do_and_the_class_is_compared(folder, looker, tmp_path):
    sound(folder)
    other = tmp_path / "class"
    put(other, "same.png", scene(300, 2))
    request = TrainRequest(name="run", pictures="set", prompt="a photo of sks thing")
    report = check(folder, request, SIGHT, looker, class_pictures=other)
    assert kinds(report) == [Kind.CLASS_PICTURES]
    assert report.findings[0].pictures == ("2.png",)
    assert check(folder, request, SIGHT, looker, class_pictures=tmp_path / "no").findings == ()


def test_a_check_can_be_cancelled(folder, looker):
    sound(folder)

    def stop(done: int, of: int) -> None:
        if done == 2:
            raise Cancelled

    with pytest.raises(Cancelled):
        check(folder, WANTED, SIGHT, looker, on_progress=stop)


def test_links_to_folders_are_not_followed(folder, looker, tmp_path):
    sound(folder)
    put(tmp_path / "elsewhere", "x.png", scene(8))
    (folder / "link").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    assert check(folder, WANTED, SIGHT, looker).findings == ()
