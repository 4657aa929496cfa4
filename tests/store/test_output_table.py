"""Saved pictures: names, pages, search, trash, thumbnails."""

import io
import os
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image
from sample_pictures import picture, png
from sqlalchemy import text

from studio.errors import NotFound, StorageError
from studio.store.outputs import THUMBNAIL_SIDE, mask_beside


def prompts(page) -> list[str]:
    return [row.prompt for row in page.rows]


def test_a_picture_is_a_file_named_by_number_and_seed_and_a_row(outputs, job_id, tmp_path):
    before = time.time()
    output_id = outputs.save(job_id, picture("a red apple", seed=42))
    row = outputs.get(output_id)
    day = time.strftime("%Y-%m-%d", time.localtime(row.created_at))
    assert row.file == f"outputs/{day}/00001-42.png"
    assert before <= row.created_at <= time.time()
    assert (row.job_id, row.seed, row.prompt, row.model) == (
        job_id,
        42,
        "a red apple",
        "some-model",
    )
    assert (row.width, row.height, row.bytes) == (16, 8, len(png()))
    assert row.trashed_at is None
    assert outputs.path(output_id) == tmp_path / row.file
    assert outputs.path(output_id).read_bytes() == png()


def test_numbers_go_on_and_never_over_another_file(outputs, job_id, tmp_path):
    first = outputs.path(outputs.save(job_id, picture(seed=7)))
    (first.parent / "00009-7.png").write_bytes(b"put here by hand")
    (first.parent / "notes.txt").write_text("not numbered")
    second = outputs.path(outputs.save(job_id, picture(seed=7)))
    assert second.name == "00010-7.png"
    first.unlink()
    assert outputs.path(outputs.save(job_id, picture(seed=7))).name == "00011-7.png"
    assert (first.parent / "00009-7.png").read_bytes() == b"put here by hand"


def test_files_that_somebody_removed_do_not_give_their_numbers_away(outputs, job_id):
    """Their rows are still there, and a name stands for one picture."""
    for _ in range(3):
        outputs.path(outputs.save(job_id, picture(seed=7))).unlink()
    assert outputs.path(outputs.save(job_id, picture(seed=7))).name == "00004-7.png"


def test_numbers_beyond_five_digits(outputs, job_id):
    first = outputs.path(outputs.save(job_id, picture(seed=7)))
    (first.parent / "99999-1.png").touch()
    names = [outputs.path(outputs.save(job_id, picture(seed=7))).name for _ in range(2)]
    assert names == ["100000-7.png", "100001-7.png"]
    outputs.path(3).unlink()
    assert outputs.path(outputs.save(job_id, picture(seed=7))).name == "100002-7.png"


def test_many_threads_save_the_same_seed_without_loss(outputs, job_id):
    data = [png(colour=(i, 0, 0)) for i in range(24)]
    barrier, saved = threading.Barrier(6), {}

    def save(start):
        barrier.wait()
        for i in range(start, 24, 6):
            saved[i] = outputs.save(job_id, picture(data=data[i], seed=7))

    threads = [threading.Thread(target=save, args=(start,)) for start in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(saved.values())) == 24
    assert all(outputs.path(saved[i]).read_bytes() == data[i] for i in range(24))


def test_a_picture_of_no_job_leaves_no_file(outputs, tmp_path):
    with pytest.raises(StorageError):
        outputs.save("no such job", picture())
    assert not list(tmp_path.rglob("*.png"))


def test_pictures_of_a_job_in_order(outputs, jobs, job_id):
    other = jobs.add("generate", "{}").id
    mine = [outputs.save(job_id, picture()) for _ in range(2)]
    outputs.save(other, picture())
    mine.append(outputs.save(job_id, picture()))
    assert outputs.of_job(job_id) == tuple(mine)
    assert outputs.of_job("nonsense") == ()


def test_what_is_not_there_is_not_found(outputs, job_id):
    for look in (outputs.get, outputs.path, outputs.thumbnail):
        with pytest.raises(NotFound, match="picture 5"):
            look(5)
    output_id = outputs.save(job_id, picture())
    outputs.path(output_id).unlink()
    with pytest.raises(NotFound, match="gone"):
        outputs.path(output_id)


# Pages and search


def test_pages_are_newest_first(outputs, job_id):
    for number in range(7):
        outputs.save(job_id, picture(f"picture {number}"))
    page = outputs.page(0, 3)
    assert (prompts(page), page.total) == (["picture 6", "picture 5", "picture 4"], 7)
    assert prompts(outputs.page(6, 3)) == ["picture 0"]
    beyond = outputs.page(9, 3)
    assert (beyond.rows, beyond.total) == ((), 7)


@pytest.mark.parametrize(
    ("search", "expected"),
    [
        ("", ["100% wool", "1000 wolves", "snake_case", "snakeXcase", "ein Ölbild", "猫 on a mat"]),
        ("100%", ["100% wool"]),
        ("%", ["100% wool"]),
        ("_", ["snake_case"]),
        ("snake_case", ["snake_case"]),
        ("\\", []),
        ("wo 100", ["100% wool", "1000 wolves"]),
        ("WOOL", ["100% wool"]),
        ("ölbild", ["ein Ölbild"]),
        ("ÖLBILD", ["ein Ölbild"]),
        ("猫", ["猫 on a mat"]),
        ("mat 猫", ["猫 on a mat"]),
        ("mat nowhere", []),
        ("  mat  ", ["猫 on a mat"]),
        ("tiny", ["snakeXcase"]),
        ("' OR 1=1 --", []),
    ],
)
def test_search_takes_every_sign_as_it_is(outputs, job_id, search, expected):
    texts = ["100% wool", "1000 wolves", "snake_case", "snakeXcase", "ein Ölbild", "猫 on a mat"]
    for prompt in reversed(texts):
        model = "tiny-model" if prompt == "snakeXcase" else "big-model"
        outputs.save(job_id, picture(prompt, model=model))
    page = outputs.page(0, 10, search=search)
    assert (prompts(page), page.total) == (expected, len(expected))


def test_search_by_model(outputs, job_id):
    outputs.save(job_id, picture("one", model="b"))
    outputs.save(job_id, picture("two", model="a"))
    assert outputs.models() == ["a", "b"]
    assert prompts(outputs.page(0, 10, model="b")) == ["one"]
    assert outputs.page(0, 10, search="two", model="b").total == 0


def test_a_search_of_ten_thousand_words_does_no_harm(outputs, job_id):
    outputs.save(job_id, picture("cat"))
    assert outputs.page(0, 10, search="cat " * 10_000).total == 1


def test_ten_thousand_pictures_open_fast(database, outputs, job_id):
    rows = [
        {
            "job": job_id,
            "at": float(i),
            "file": f"outputs/2025-01-01/{i:05d}-{i}.png",
            "seed": i,
            "prompt": f"a {'red' if i % 3 else 'blue'} apple number {i}, " + "detail, " * 40,
            "long": "x" * 1500,
        }
        for i in range(10_000)
    ]
    with database.write() as db:
        db.execute(
            text(
                "INSERT INTO outputs (job_id, created_at, file, width, height, bytes, seed, model,"
                " prompt, negative_prompt, infotext, request, folded) VALUES (:job, :at, :file,"
                " 64, 64, 9999, :seed, 'm', :prompt, '', :long, :long, :prompt)"
            ),
            rows,
        )
    looks = {
        "first": lambda: outputs.page(0, 60),
        "last": lambda: outputs.page(9_960, 60),
        "searched": lambda: outputs.page(0, 60, search="blue apple"),
        "by model": lambda: outputs.page(0, 60, model="m"),
        "not found": lambda: outputs.page(0, 60, search="nothing like it"),
        "trash": lambda: outputs.page(0, 60, trash=True),
        "models": outputs.models,
    }
    seconds = dict.fromkeys(looks, float("inf"))
    for name, look in [*looks.items()] * 3:  # the best of three: other programs run as well
        start = time.perf_counter()
        look()
        seconds[name] = min(seconds[name], time.perf_counter() - start)
    assert {name: s for name, s in seconds.items() if s > 0.5} == {}
    assert outputs.page(0, 60).total == 10_000
    assert outputs.page(0, 60, search="blue apple").total == 3_334
    assert len(outputs.page(9_960, 60).rows) == 40


# Trash


def test_the_trash_can_be_undone(outputs, job_id):
    ids = [outputs.save(job_id, picture(str(i))) for i in range(3)]
    outputs.trash([ids[1]])
    assert prompts(outputs.page(0, 10)) == ["2", "0"]
    assert prompts(outputs.page(0, 10, trash=True)) == ["1"]
    assert outputs.path(ids[1]).is_file()
    outputs.restore([ids[1]])
    assert prompts(outputs.page(0, 10)) == ["2", "1", "0"]
    assert outputs.page(0, 10, trash=True).total == 0


def test_only_old_trash_is_deleted(outputs, job_id):
    old, new, kept = (outputs.save(job_id, picture(name)) for name in ("old", "new", "kept"))
    files = {name: outputs.path(name) for name in (old, new, kept)}
    small = outputs.thumbnail(old)
    outputs.trash([old])
    time.sleep(0.01)
    between = time.time()
    time.sleep(0.01)
    outputs.trash([new])
    assert outputs.delete_trash(between) == 1
    assert not files[old].exists()
    assert not small.exists()
    assert files[new].exists()
    with pytest.raises(NotFound):
        outputs.get(old)
    assert outputs.delete_trash(time.time() + 1) == 1
    assert outputs.delete_trash(time.time() + 1) == 0
    assert prompts(outputs.page(0, 10)) == ["kept"]
    assert files[kept].exists()


def test_trash_whose_file_is_gone_is_deleted_too(outputs, job_id):
    output_id = outputs.save(job_id, picture())
    outputs.path(output_id).unlink()
    outputs.trash([output_id])
    assert outputs.delete_trash(time.time() + 1) == 1
    assert outputs.page(0, 10, trash=True).total == 0


def test_the_id_of_a_deleted_picture_is_not_given_again(outputs, job_id):
    """A browser may still show the old one under that address."""
    first = outputs.save(job_id, picture())
    outputs.trash([first])
    outputs.delete_trash(time.time() + 1)
    assert outputs.save(job_id, picture()) > first


def test_unknown_ids_in_the_trash_are_no_fault(outputs):
    outputs.trash([99])
    outputs.restore([99])
    outputs.trash([])


# Thumbnails


def test_a_thumbnail_is_small_and_keeps_the_shape(outputs, job_id):
    output_id = outputs.save(job_id, picture(data=png(1024, 512)))
    path = outputs.thumbnail(output_id)
    with Image.open(path) as image:
        assert image.format == "WEBP"
        assert image.size == (THUMBNAIL_SIDE, THUMBNAIL_SIDE // 2)
    made = path.stat().st_mtime_ns
    assert outputs.thumbnail(output_id) == path
    assert path.stat().st_mtime_ns == made


def test_a_thumbnail_is_made_again_when_it_was_removed(outputs, job_id):
    output_id = outputs.save(job_id, picture())
    outputs.thumbnail(output_id).unlink()
    assert outputs.thumbnail(output_id).is_file()


def test_a_picture_that_is_none_is_kept_and_its_thumbnail_refused(outputs, job_id, tmp_path):
    output_id = outputs.save(job_id, picture(data=b"not a picture"))
    assert outputs.path(output_id).read_bytes() == b"not a picture"
    with pytest.raises(StorageError, match=f"thumbnail of picture {output_id}"):
        outputs.thumbnail(output_id)
    assert not list(tmp_path.rglob("*.part"))


def test_damaged_pictures_get_a_sentence_whatever_the_damage(outputs, job_id):
    stream = io.BytesIO()
    Image.effect_noise((64, 64), 80).convert("RGB").save(stream, "PNG")
    whole = stream.getvalue()
    output_id = outputs.save(job_id, picture(data=whole))
    path = outputs.path(output_id)
    for place in [*range(8, 60, 3), *range(60, len(whole), len(whole) // 40)]:
        for damaged in (whole[:place], whole[:place] + b"\xff\x00" + whole[place + 2 :]):
            path.write_bytes(damaged)
            for old in path.parents[2].rglob("*.webp"):
                old.unlink()
            try:
                outputs.thumbnail(output_id)
            except StorageError as error:
                assert "\n" not in str(error)  # noqa: PT017


# What a program was saving when it was killed


class Killed(BaseException):
    """Stands for the end of a process: nothing that follows is done."""


@pytest.fixture
def killed_while_saving(outputs, job_id, monkeypatch):
    """Saves a picture with a mask, and is killed before or after its row is written."""

    def save(moment: str) -> Path:
        def die(*_):
            raise Killed

        with monkeypatch.context() as patched:
            if moment == "before the row":
                patched.setattr(outputs._database, "write", die)
            else:
                patched.setattr("studio.store.outputs._put_in_place", die)
            with pytest.raises(Killed):
                outputs.save(job_id, replace(picture(seed=3), mask=png()))
        (folder,) = (outputs._folder / "outputs").iterdir()
        return folder

    return save


def test_a_row_has_its_file_after_the_next_start(outputs, job_id, killed_while_saving):
    folder = killed_while_saving("after the row")
    (output_id,) = outputs.of_job(job_id)
    with pytest.raises(NotFound):
        outputs.path(output_id)
    outputs.mend()
    assert outputs.path(output_id).read_bytes() == png()
    assert mask_beside(outputs.path(output_id)).read_bytes() == png()
    assert sorted(each.name for each in folder.iterdir()) == ["00001-3.mask.png", "00001-3.png"]


def test_a_file_without_a_row_is_taken_away_once_nobody_can_be_at_it(
    outputs, job_id, killed_while_saving
):
    folder = killed_while_saving("before the row")
    assert outputs.of_job(job_id) == ()
    names = sorted(each.name for each in folder.iterdir())
    assert names == [".00001-3.mask.png.part", ".00001-3.png.part"]
    outputs.mend()
    assert len(list(folder.iterdir())) == 2, "a command may be saving it just now"
    for each in folder.iterdir():
        os.utime(each, (time.time() - 120,) * 2)
    outputs.mend()
    assert list(folder.iterdir()) == []


def test_what_lies_aside_takes_no_number_from_another_picture(outputs, job_id, killed_while_saving):
    killed_while_saving("before the row")
    assert outputs.path(outputs.save(job_id, picture(seed=3))).name == "00002-3.png"
