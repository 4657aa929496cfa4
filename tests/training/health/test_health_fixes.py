"""Presses mend what was found; none loses a file, and the last one can be taken back."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from drawn import encoded, put, scene, smeared, words
from PIL import Image, ImageOps

from studio.errors import DataError, InputError, NotFound, StorageError
from studio.training.health import left_out
from studio.training.health.check import check
from studio.training.health.finding import Arguments, Fix, FixKind, Kind
from studio.training.health.fixes import apply, changed_request, last, undo
from studio.training.health.looker import Looker
from studio.training.health.seen import Sight
from studio.training_requests import Pictures

WANTED = Pictures(pictures="set", prompt="a photo of sks thing", trigger="sks")


@pytest.fixture
def folder(tmp_path):
    for seed in range(5):
        put(tmp_path / "set", f"{seed}.png", scene(300, seed), f"sks thing {seed}")
    return tmp_path / "set"


def contents(folder: Path) -> dict[str, bytes]:
    return {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*.*") if p.is_file()
    }


def fix(kind: FixKind, *names: str, captions: tuple[str, ...] = ()) -> Fix:
    return Fix(kind, "", Arguments(names, captions))


def found(folder: Path, wanted: Pictures = WANTED):
    looker = Looker(folder.parent / "cache")
    report = check(folder, wanted, Sight(256, 64, words, limit=20), looker)
    return {each.kind: each for each in report.findings}


def test_every_finding_with_a_press_is_gone_after_it_and_back_after_undo(folder):
    put(folder, "again.jpg", scene(300, 1))
    put(folder, "soft.png", smeared(scene(300, 20), 5), "sks soft")
    put(folder, "sub/small.png", scene(128, 21), "sks small")
    put(folder, "dot.png", scene(1))
    put(folder, "glass.png", scene(300, 23).convert("RGBA").rotate(20), "glass")
    put(folder, "long.png", scene(300, 24), "sks long, " * 20)
    (folder / "cut.png").write_bytes((folder / "0.png").read_bytes()[:900])
    (folder / "copy.png").write_bytes((folder / "2.png").read_bytes())
    (folder / "1.txt").write_bytes(b"sks \0")
    (folder / "3.txt").write_bytes("sks caf\u00e9".encode("latin-1"))
    exif = Image.Exif()
    exif[0x0112] = 6
    (folder / "side.jpg").write_bytes(encoded(scene(300, 30), "JPEG", exif=exif))
    first = found(folder)
    pressed = {kind for kind, each in first.items() if each.fix}
    assert pressed >= {
        *(Kind.UNREADABLE, Kind.TINY, Kind.DUPLICATES, Kind.LOOKALIKES, Kind.BLURRED),
        *(Kind.ENLARGED, Kind.TRANSPARENT, Kind.TURNED, Kind.CAPTION_MISSING, Kind.CAPTION_LONG),
        *(Kind.CAPTION_BINARY, Kind.CAPTION_ENCODING, Kind.TRIGGER_MISSING),
    }
    before = contents(folder)
    for kind in pressed:
        done = apply(folder, first[kind].fix)
        assert done.sentence.endswith(".")
        assert last(folder) in (done.sentence[:-1], done.sentence[:1].lower() + done.sentence[1:-1])
        assert kind not in found(folder), kind
        assert set(before.values()) <= set(contents(folder).values()), "something is lost"
        undo(folder)
        assert contents(folder) == before
    assert not (folder / ".left-out").exists()


def test_presses_one_after_the_other_are_taken_back_in_turn(folder):
    before = contents(folder)
    apply(folder, fix(FixKind.LEAVE_OUT, "0.png"))
    between = contents(folder)
    apply(folder, fix(FixKind.WRITE_CAPTIONS, "1.png", captions=("sks new",)))
    apply(folder, fix(FixKind.LEAVE_OUT, "1.png"))
    assert not (folder / "1.png").exists()
    assert not (folder / "1.txt").exists()
    undo(folder)
    assert (folder / "1.txt").read_text() == "sks new\n"
    assert undo(folder) == "1 picture captioned"
    assert contents(folder) == between
    undo(folder)
    assert contents(folder) == before
    assert last(folder) == ""
    with pytest.raises(NotFound):
        undo(folder)


def test_a_caption_goes_with_its_last_picture_only(folder):
    put(folder, "0.jpg", scene(300, 9))
    apply(folder, fix(FixKind.LEAVE_OUT, "0.jpg"))
    assert (folder / "0.txt").exists()
    apply(folder, fix(FixKind.LEAVE_OUT, "0.png"))
    assert not (folder / "0.txt").exists()
    assert (folder / ".left-out" / "0002" / "was" / "0.txt").exists()


def test_of_two_captions_the_one_that_counts_is_left_out(folder):
    (folder / "0.caption").write_text("sks by another tool")
    apply(folder, fix(FixKind.LEAVE_CAPTIONS_OUT, "0.png"))
    assert not (folder / "0.txt").exists()
    assert (folder / "0.caption").exists()
    apply(folder, fix(FixKind.LEAVE_OUT, "0.png"))
    assert not (folder / "0.caption").exists()


def test_what_was_changed_since_is_kept_when_a_press_is_taken_back(folder):
    apply(folder, fix(FixKind.WRITE_CAPTIONS, "0.png", captions=("sks by press",)))
    (folder / "0.txt").write_text("sks by hand")
    apply(folder, fix(FixKind.LEAVE_OUT, "1.png"))
    put(folder, "1.png", scene(64, 40))
    newer = (folder / "1.png").read_bytes()
    undo(folder)
    undo(folder)
    assert (folder / "0.txt").read_text() == "sks thing 0"
    kept = contents(folder / ".left-out")
    assert kept["0001/edited/0.txt"] == b"sks by hand"
    assert kept["0002/edited/1.png"] == newer
    apply(folder, fix(FixKind.LEAVE_OUT, "2.png"))
    undo(folder)
    assert contents(folder / ".left-out") == kept


@pytest.mark.parametrize("orientation", range(2, 9))
def test_turning_keeps_what_is_seen(folder, orientation):
    image = scene(shape=(320, 208), seed=3)
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x010E] = "a description"
    for name, options in {"a.jpg": {"quality": 88}, "a.png": {}, "a.webp": {}}.items():
        path = folder / name
        image.save(path, exif=exif, **options)
        seen_before = np.asarray(ImageOps.exif_transpose(Image.open(path)).convert("RGB")).astype(
            int
        )
        size_before = path.stat().st_size
        apply(folder, fix(FixKind.TURN, name))
        with Image.open(path) as made:
            assert made.getexif().get(0x0112, 1) == 1
            assert made.getexif()[0x010E] == "a description"
            seen_after = np.asarray(made.convert("RGB")).astype(int)
        assert seen_after.shape == seen_before.shape
        if name == "a.jpg":
            error = np.square(seen_after - seen_before).mean()
            assert 10 * np.log10(255**2 / error) > 43
            assert path.stat().st_size < 1.8 * size_before
        else:
            assert (seen_after == seen_before).all()


def test_transparent_parts_are_put_on_white_and_still_turned(folder):
    image = scene(100).convert("RGBA")
    image.paste((255, 0, 0, 0), (0, 0, 50, 100))
    exif = Image.Exif()
    exif[0x0112] = 6
    for name in ("a.png", "a.webp", "a.gif"):
        options = {} if name == "a.gif" else {"exif": exif}
        (folder / name).write_bytes(encoded(image, name[2:], **options))
        apply(folder, fix(FixKind.FLATTEN, name))
        with Image.open(folder / name) as made:
            assert not made.has_transparency_data
            assert np.asarray(made.convert("RGB"))[:, :50].min() > 250
            assert made.getexif().get(0x0112, 1) == (1 if name == "a.gif" else 6)


def test_nothing_is_changed_when_one_of_many_fails(folder):
    (folder / "bad.png").write_bytes(b"broken")
    before = contents(folder)
    with pytest.raises(InputError, match=r"bad\.png"):
        apply(folder, fix(FixKind.FLATTEN, "0.png", "1.png", "bad.png"))
    assert contents(folder) == before
    assert not (folder / ".left-out").exists()


def test_a_change_that_was_broken_off_can_be_taken_back(folder):
    """As it lies there when the power fails, after any number of steps."""
    before = contents(folder)
    apply(folder, fix(FixKind.WRITE_CAPTIONS, "0.png", "1.png", captions=("sks a", "sks b")))
    place = folder / ".left-out" / "0001"
    lines = (place / "journal.jsonl").read_bytes().splitlines(keepends=True)
    whole = folder.parent / "whole"
    shutil.copytree(folder, whole)
    # 1. The second step's line was cut off; so its file was never touched.
    (place / "journal.jsonl").write_bytes(b"".join(lines[:2]) + lines[2][:10])
    (folder / "1.txt").write_bytes(before["1.txt"])
    (place / "was" / "1.txt").unlink()
    undo(folder)
    assert contents(folder) == before
    # 2. The second step is noted and its file copied, but not replaced.
    shutil.rmtree(folder)
    shutil.copytree(whole, folder)
    (folder / "1.txt").unlink()
    (folder / "1.txt").hardlink_to(place / "was" / "1.txt")
    undo(folder)
    assert contents(folder) == before
    # 3. The second step is noted, and nothing of it done.
    shutil.rmtree(folder)
    shutil.copytree(whole, folder)
    (place / "was" / "1.txt").replace(folder / "1.txt")
    undo(folder)
    assert contents(folder) == before


def test_it_works_without_links(folder, monkeypatch):
    def refuse(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("os.link", refuse)
    before = contents(folder)
    apply(folder, fix(FixKind.WRITE_CAPTIONS, "0.png", captions=("sks a",)))
    assert (folder / "0.txt").read_text() == "sks a\n"
    undo(folder)
    assert contents(folder) == before


@pytest.mark.parametrize("name", ["../outside.png", "/etc/passwd", "absent.png", ".left-out/x.png"])
def test_names_from_outside_lead_nowhere(folder, name):
    put(folder.parent, "outside.png", scene(64))
    before = contents(folder.parent)
    with pytest.raises(DataError, match="check it again"):
        apply(folder, fix(FixKind.LEAVE_OUT, name))
    assert contents(folder.parent) == before


@pytest.mark.parametrize("name", ["../outside.png", "link/x.png"])
def test_a_journal_that_came_with_a_set_leads_nowhere_either(folder, name):
    outside = put(folder.parent, "outside.png", scene(64))
    put(folder.parent / "other", "x.png", scene(64))
    (folder / "link").symlink_to(folder.parent / "other", target_is_directory=True)
    place = folder / ".left-out" / "0001"
    place.mkdir(parents=True)
    step = {"name": name, "existed": False, "sha256": left_out._digest(outside)}
    (place / "journal.jsonl").write_text(f'{{"label": "x"}}\n{json.dumps(step)}\n')
    with pytest.raises(DataError, match="cannot be taken back"):
        undo(folder)
    assert outside.exists()
    for spoilt in (b"", b"[]\n", b'{"label": "x"}\n{"name": 3}\n', b"\xff\n"):
        (place / "journal.jsonl").write_bytes(spoilt)
        with pytest.raises(DataError):
            undo(folder)
        assert last(folder) == ""


def test_refusals_of_the_system_are_said(folder):
    (folder / ".left-out").write_text("in the way")
    before = contents(folder)
    with pytest.raises(StorageError):
        apply(folder, fix(FixKind.LEAVE_OUT, "0.png"))
    assert contents(folder) == before
    with pytest.raises(StorageError):
        apply(folder / "absent", fix(FixKind.LEAVE_OUT, "0.png"))


def test_a_press_for_the_request_changes_it_alone(folder):
    square = WANTED.model_copy(update={"buckets": False})
    press = Fix(FixKind.BUCKETS, "", Arguments(("0.png",)))
    assert changed_request(square, press).buckets
    assert changed_request(square, fix(FixKind.TURN, "0.png")) is square
    before = contents(folder)
    apply(folder, press)
    assert contents(folder) == before


def test_odd_names(folder):
    name = "it's “odd”: é\n x.png"
    put(folder, name, scene(300, 50))
    before = contents(folder)
    apply(folder, fix(FixKind.WRITE_CAPTIONS, name, captions=("sks “x”",)))
    apply(folder, fix(FixKind.LEAVE_OUT, name))
    assert not (folder / name).exists()
    undo(folder)
    undo(folder)
    assert contents(folder) == before
