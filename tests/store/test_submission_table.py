"""Kept evaluations: rows and files together or not at all, ranked, and deleted with their files."""

import gzip
import json
import shutil
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import text

from studio.errors import NotFound, StorageError
from studio.store.submissions import NewSubmission

PREDICTIONS = {"q2": "Grüße 👋🏽", "q1": "", "q3": "\ud800 كِتَاب\r\n"}
NA_PROBS = {"q3": 0.1, "q1": 1, "q2": 0.30000000000000004}


def new(f1: float = 50.0, exact: float = 40.0, **changes) -> NewSubmission:
    return replace(
        NewSubmission(
            who="Ada",
            model="small-reader",
            revision="abc",
            data_set="dev-v2.0",
            data_set_sha256="5" * 64,
            questions=3,
            scores={"exact": exact, "f1": f1, "total": 3},
            settings={"threshold": 0.5},
            seconds=1.5,
            device="cpu",
            na_prob="given",
            predictions=PREDICTIONS,
            na_probs=NA_PROBS,
        ),
        **changes,
    )


def files(folder: Path) -> set[str]:
    kept = folder / "submissions"
    return {path.relative_to(kept).as_posix() for path in kept.rglob("*") if path.is_file()}


def test_a_submission_is_a_row_and_its_files(submissions, tmp_path):
    before = time.time()
    row = submissions.get(submissions.save(new()))
    assert before <= row.created_at <= time.time()
    assert (row.who, row.model, row.revision, row.device) == ("Ada", "small-reader", "abc", "cpu")
    assert (row.data_set, row.data_set_sha256, row.questions) == ("dev-v2.0", "5" * 64, 3)
    assert (row.exact, row.f1, row.seconds, row.na_prob) == (40, 50, 1.5, "given")
    assert list(row.scores.items()) == [("exact", 40.0), ("f1", 50.0), ("total", 3)]
    assert row.settings == {"threshold": 0.5}
    assert files(tmp_path) == {"1/predictions.json.gz", "1/na_probs.json.gz"}
    packed = (tmp_path / "submissions" / "1" / "predictions.json.gz").read_bytes()
    assert json.loads(gzip.decompress(packed)) == PREDICTIONS


def test_files_come_back_as_they_went_in(submissions):
    kept = submissions.save(new())
    assert list(submissions.predictions(kept).items()) == list(PREDICTIONS.items())
    probs = submissions.na_probs(kept)
    assert list(probs.items()) == list(NA_PROBS.items()), "their order breaks ties"
    assert [type(value) for value in probs.values()] == [float, int, float]


def test_without_probabilities_there_is_no_file_of_them(submissions, tmp_path):
    kept = submissions.save(new(na_prob="none", na_probs=None))
    assert submissions.na_probs(kept) is None
    assert files(tmp_path) == {"1/predictions.json.gz"}


def test_the_best_comes_first_and_history_stays(submissions):
    ids = [
        submissions.save(new(*scores))
        for scores in ((50, 40), (70, 60), (70, 65), (50, 40), (60, 99))
    ]
    assert [row.id for row in submissions.listed()] == [ids[2], ids[1], ids[4], ids[0], ids[3]]


def test_listing_by_data_set(submissions):
    submissions.save(new())
    submissions.save(new(data_set="own", data_set_sha256="6" * 64, questions=7))
    submissions.save(new(data_set="own", data_set_sha256="6" * 64, questions=7))
    assert [row.data_set for row in submissions.listed("own")] == ["own", "own"]
    assert submissions.listed("nothing' OR 1=1 --") == ()
    assert [(s.name, s.sha256[0], s.questions, s.submissions) for s in submissions.data_sets()] == [
        ("dev-v2.0", "5", 3, 1),
        ("own", "6", 7, 2),
    ]


def test_a_deleted_submission_is_gone_with_its_files(submissions, tmp_path):
    first, second = submissions.save(new()), submissions.save(new())
    submissions.delete(first)
    assert [row.id for row in submissions.listed()] == [second]
    assert all(name.startswith(f"{second}/") for name in files(tmp_path))
    for act in (submissions.get, submissions.delete, submissions.predictions, submissions.na_probs):
        with pytest.raises(NotFound, match=f"no submission {first};"):
            act(first)
    assert submissions.save(new()) > second, "an id is never given twice"


def test_deleting_goes_on_when_the_files_went_before(submissions, tmp_path):
    kept = submissions.save(new())
    shutil.rmtree(tmp_path / "submissions" / "1")
    with pytest.raises(NotFound, match=r"predictions.json.gz of submission 1 is gone"):
        submissions.predictions(kept)
    submissions.delete(kept)
    assert submissions.listed() == ()


@pytest.mark.parametrize(
    "content",
    [b"", b"no gzip", gzip.compress(b"{")[:-3], gzip.compress(b"{")],
    ids=["empty", "no gzip", "cut off", "no JSON"],
)
def test_a_damaged_file_is_told_of(submissions, tmp_path, content):
    kept = submissions.save(new())
    (tmp_path / "submissions" / "1" / "predictions.json.gz").write_bytes(content)
    with pytest.raises(StorageError, match="is damaged"):
        submissions.predictions(kept)


def test_a_row_that_fails_leaves_no_files(submissions, database, tmp_path):
    with database.write() as db:
        db.execute(text("CREATE UNIQUE INDEX refuse ON submissions (model)"))
    with database.write() as db:
        db.execute(
            text(
                "INSERT INTO submissions (created_at, who, model, revision, data_set,"
                " data_set_sha256, questions, exact, f1, scores, settings, seconds, device,"
                " na_prob) VALUES (0, '', :model, '', '', '', 0, 0, 0, '{}', '{}', 0, '', 'none')"
            ),
            {"model": new().model},
        )
    with pytest.raises(StorageError):
        submissions.save(new())
    assert list((tmp_path / "submissions").iterdir()) == []


def test_files_that_fail_leave_no_row(submissions, tmp_path):
    (tmp_path / "submissions").write_text("in the way")
    with pytest.raises(StorageError, match="a file is in the way"):
        submissions.save(new())
    assert submissions.listed() == ()


def test_what_an_ended_program_left_is_no_hindrance(submissions, tmp_path):
    left = tmp_path / "submissions" / "1"
    left.mkdir(parents=True)
    (left / "na_probs.json.gz").write_bytes(b"half")
    kept = submissions.save(new(na_prob="none", na_probs=None))
    assert kept == 1
    assert files(tmp_path) == {"1/predictions.json.gz"}


def test_many_may_submit_at_once(submissions, tmp_path):
    threads = [
        threading.Thread(target=lambda n=n: submissions.save(new(predictions={"q": str(n)})))
        for n in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    texts = {submissions.predictions(row.id)["q"] for row in submissions.listed()}
    assert texts == {str(n) for n in range(8)}
    assert len(list((tmp_path / "submissions").iterdir())) == 8
