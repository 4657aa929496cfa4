"""Submissions are taken, refused with counts, ranked beside people, compared and deleted."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from prediction_files import silent, weak

from studio.errors import DataError, NotFound
from studio.reader.comparison import Right, counts
from studio.reader.data_sets import official_sum
from studio.reader.leaderboard import HUMAN, Entry, Leaderboard, data_set_name
from studio.reader.metrics import scores
from studio.reader.predictions import Predictions
from studio.reader.squad import Squad, parse_squad, read_squad, squad_json
from studio.store.database import Database
from studio.store.submissions import SubmissionTable

DATA = Path(__file__).resolve().parents[1] / "data"
ENTRY = Entry(model="weak", data_set="small-v2.0", who="Ada", seconds=2.5, device="cpu")


@pytest.fixture(scope="module")
def small() -> Squad:
    return read_squad(DATA / "small-v2.0.json")


@pytest.fixture
def board(tmp_path) -> Iterator[Leaderboard]:
    database = Database(tmp_path)
    yield Leaderboard(SubmissionTable(database, tmp_path))
    database.close()


def changed(squad: Squad) -> Squad:
    """The same questions in another file: one passage has a dot more."""
    value = squad_json(squad)
    value["data"][0]["paragraphs"][0]["context"] += "."
    return parse_squad(json.dumps(value).encode(), "changed")


def right(squad: Squad) -> Predictions:
    return Predictions(
        {
            each.question.id: each.question.answers[0].text if each.question.answers else ""
            for each in squad.asked()
        }
    )


def test_a_submission_is_scored_and_kept(board, small):
    made = weak(small, with_na_probs=True)
    entry = replace(ENTRY, revision="abc", settings={"doc_stride": 128})
    row = board.submit(entry, small, made, 0.5)
    assert board.get(row.id) == row
    assert row.scores == scores(small, made, 0.5).official()
    assert (row.f1, row.exact) == (row.scores["f1"], row.scores["exact"])
    assert row.settings == {"doc_stride": 128, "threshold": 0.5}
    assert (row.model, row.who, row.revision, row.device) == ("weak", "Ada", "abc", "cpu")
    assert (row.data_set, row.data_set_sha256, row.questions) == ("small-v2.0", small.sha256, 30)
    assert (row.seconds, row.na_prob) == (2.5, "given")
    assert board.predictions(row.id) == made
    again = board.scores(row.id, small)
    assert again.official() == row.scores
    assert again.questions == scores(small, made, 0.5).questions


def test_what_probabilities_are_worth(board, small):
    kept = [
        board.submit(ENTRY, small, each).na_prob
        for each in (silent(small), silent(small, True), weak(small, True))
    ]
    assert kept == ["none", "constant", "given"]


def test_submissions_stand_among_people_and_the_floor(board, small):
    board.submit(replace(ENTRY, model="silent"), small, silent(small))
    board.submit(replace(ENTRY, model="weak"), small, weak(small))
    board.submit(replace(ENTRY, model="right"), small, right(small))
    told = [(line.rank, line.name, round(line.f1, 2)) for line in board.ranked("small-v2.0")]
    assert told == [
        (1, "right", 100.0),
        (None, "Human performance", 89.45),
        (None, "Always no answer", 50.0),
        (2, "silent", 50.0),
        (3, "weak", 44.29),
    ]
    assert (HUMAN.exact, HUMAN.f1) == (86.831, 89.452)
    assert board.ranked("another") == ()


def test_the_best_of_each_model_is_ranked_and_history_is_kept(board, small):
    made = weak(small, with_na_probs=True)
    first = board.submit(ENTRY, small, made)
    best = board.submit(ENTRY, small, made, 0.5)
    again = board.submit(ENTRY, small, made, 0.9)
    other = board.submit(replace(ENTRY, who="Bert"), small, made)

    def ids(history: bool) -> list[int]:
        lines = board.ranked("small-v2.0", history)
        return [line.submission.id for line in lines if line.submission]

    assert ids(False) == [best.id, other.id]
    assert sorted(ids(True)) == [first.id, best.id, again.id, other.id]
    assert [line.rank for line in board.ranked("small-v2.0", True) if line.rank] == [1, 2, 3, 4]


def test_a_set_where_all_have_an_answer_is_compared_with_the_people_of_1_1(board, small):
    value = squad_json(small)
    for article in value["data"]:
        for paragraph in article["paragraphs"]:
            paragraph["qas"] = [each for each in paragraph["qas"] if each["answers"]]
    one = parse_squad(json.dumps(value).encode(), "one")
    board.submit(replace(ENTRY, data_set="one"), one, silent(one))
    told = [(line.name, line.f1) for line in board.ranked("one")]
    assert told == [("Human performance", 91.221), ("weak", 0.0)]


def test_data_sets_are_ranked_apart(board, small):
    board.submit(ENTRY, small, weak(small))
    part = parse_squad(json.dumps(squad_json(Squad(small.articles[:1]))).encode(), "part")
    board.submit(replace(ENTRY, data_set="part"), part, silent(part))
    assert [(each.name, each.questions) for each in board.data_sets()] == [
        ("part", 13),
        ("small-v2.0", 30),
    ]
    assert [line.submission.questions for line in board.ranked("part") if line.rank] == [13]


# What is refused


def test_predictions_that_do_not_cover_the_set(board, small):
    texts = dict(silent(small).texts)
    del texts[next(iter(texts))]
    with pytest.raises(DataError, match="1 of its 30 are missing"):
        board.submit(ENTRY, small, Predictions(texts))
    with pytest.raises(DataError, match=r"1 of its 30 are missing .* and 1 are of no question"):
        board.submit(ENTRY, small, Predictions({**texts, "other": ""}))
    assert board.data_sets() == ()


def test_a_name_stands_for_one_file(board, small):
    board.submit(ENTRY, small, silent(small))
    other = changed(small)
    with pytest.raises(DataError) as caught:
        board.submit(ENTRY, other, silent(other))
    message = str(caught.value)
    assert message.startswith("The data set is another version of small-v2.0: its sha256 is ")
    assert other.sha256[:12] in message
    assert small.sha256[:12] in message
    assert "30 of 30 predictions are for its 30 questions" in message
    assert board.free_name("small-v2.0", small) == "small-v2.0"
    name = board.free_name("small-v2.0", other)
    assert name == f"small-v2.0 ({other.sha256[:8]})"
    assert board.submit(replace(ENTRY, data_set=name), other, silent(other)).data_set == name


def test_the_names_of_the_official_files_are_theirs(board, small):
    with pytest.raises(DataError, match=f"instead of {official_sum('dev-v2.0')[:12]}"):
        board.submit(replace(ENTRY, data_set="dev-v2.0"), small, silent(small))


def test_the_hash_that_was_named_must_be_the_files(board, small):
    part = parse_squad(json.dumps(squad_json(Squad(small.articles[:1]))).encode(), "part")
    entry = replace(ENTRY, data_set_sha256=small.sha256)
    with pytest.raises(DataError, match="13 of 30 predictions are for its 13 questions"):
        board.submit(entry, part, silent(small))
    assert board.submit(entry, small, silent(small)).questions == 30


def test_the_official_file_has_the_hash_that_is_known(squad_files):
    assert read_squad(squad_files / "dev-v2.0.json.gz").sha256 == official_sum("dev-v2.0")


def test_names_are_one_line_that_can_be_stored(board, small):
    entry = replace(ENTRY, model="a\nb\x00c\ud800" + "x" * 500, who="\t", data_set=" \n")
    row = board.submit(entry, small, silent(small))
    assert row.model.startswith("a b c xxx")
    assert len(row.model) == 200
    assert (row.who, row.data_set) == ("", "unnamed")


# Afterwards


def test_two_submissions_are_compared(board, small):
    a = board.submit(ENTRY, small, weak(small, True), 0.5)
    b = board.submit(ENTRY, small, silent(small))
    found = counts(board.compare(a.id, b.id, small))
    assert found == {Right.BOTH: 12, Right.ONLY_A: 9, Right.ONLY_B: 3, Right.NEITHER: 6}


def test_questions_of_another_version_are_not_shown_with_it(board, small):
    row = board.submit(ENTRY, small, silent(small))
    with pytest.raises(DataError, match=r"another version of small-v2\.0 \(30 questions"):
        board.scores(row.id, changed(small))


def test_deletion(board, small):
    row = board.submit(ENTRY, small, silent(small))
    board.delete(row.id)
    assert board.ranked("small-v2.0") == ()
    with pytest.raises(NotFound):
        board.predictions(row.id)


def test_names_of_files():
    assert data_set_name("dev-v2.0.json.gz") == data_set_name("dev-v2.0.json") == "dev-v2.0"
    assert data_set_name("mine") == "mine"
