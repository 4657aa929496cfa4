"""The SQuAD format: what is read is written again, and what is not SQuAD is told with its place."""

import gzip
import hashlib
import json
from pathlib import Path

import pytest

from studio.errors import DataError, StorageError
from studio.reader import squad as module
from studio.reader.squad import (
    Answer,
    Article,
    Paragraph,
    Question,
    Squad,
    parse_squad,
    path_of,
    read_squad,
    squad_json,
    write_squad,
)

TWO = {
    "version": "v2.0",
    "data": [
        {
            "title": "Rivers",
            "paragraphs": [
                {
                    "qas": [
                        {
                            "question": "Which river?",
                            "id": "1",
                            "answers": [{"text": "Seine", "answer_start": 4}],
                            "is_impossible": False,
                        },
                        {
                            "plausible_answers": [{"text": "Seine", "answer_start": 4}],
                            "question": "Which lake?",
                            "id": "2",
                            "answers": [],
                            "is_impossible": True,
                        },
                    ],
                    "context": "The Seine.",
                }
            ],
        }
    ],
}


def content(value):
    return json.dumps(value).encode()


def changed(path, value):
    """TWO with another value at a path such as data/0/title; no value takes it out."""
    copy = json.loads(content(TWO))
    *way, last = [int(step) if step.isdigit() else step for step in path.split("/")]
    at = copy
    for step in way:
        at = at[step]
    if value is None:
        del at[last]
    else:
        at[last] = value
    return copy


def refusal(data):
    with pytest.raises(DataError) as caught:
        parse_squad(data, "a.json")
    message = str(caught.value)
    assert message.startswith("a.json is not SQuAD: ")
    assert message.endswith(".")
    return message.removeprefix("a.json is not SQuAD: ")[:-1]


def test_every_field_is_read():
    seine = Answer("Seine", 4)
    assert parse_squad(content(TWO), "a.json") == Squad(
        (
            Article(
                "Rivers",
                (
                    Paragraph(
                        "The Seine.",
                        (
                            Question("1", "Which river?", (seine,)),
                            Question("2", "Which lake?", (), (seine,), True),
                        ),
                    ),
                ),
            ),
        ),
        "v2.0",
        hashlib.sha256(content(TWO)).hexdigest(),
    )


@pytest.mark.parametrize("packed", [False, True])
def test_the_official_set_is_written_as_it_was_byte_by_byte(squad_files, tmp_path, packed):
    read = read_squad(squad_files / "dev-v2.0.json.gz")
    assert sum(1 for _ in read.asked()) == 11_873
    assert read.sha256 == "80a5225e94905956a6446d296ca1093975c4d3b3260f1d6c8f68bc2ab77182d8"
    path = tmp_path / ("dev.json.gz" if packed else "dev.json")
    write_squad(read, path)
    assert path.read_bytes()[:2] == (b"\x1f\x8b" if packed else b'{"')
    assert read_squad(path) == read


def test_version_one_has_only_answers(squad_files):
    read = read_squad(squad_files / "dev-v1.1.rebuilt.json.gz")
    assert read.all_answerable
    assert sum(asked.question.has_answer for asked in read.asked()) == 10_570
    written = squad_json(read)
    keys = {key for asked in written["data"][0]["paragraphs"][0]["qas"] for key in asked}
    assert keys == {"id", "question", "answers"}
    assert parse_squad(content(written), "a.json").articles == read.articles


def test_a_question_without_a_mark_is_impossible_if_it_has_no_answers():
    [first, second] = [
        asked.question.is_impossible
        for asked in parse_squad(
            content(changed("data/0/paragraphs/0/qas/1/is_impossible", None)), "a.json"
        ).asked()
    ]
    assert (first, second) == (False, True)


@pytest.mark.parametrize("field", ["version", "data/0/title"])
def test_what_is_not_needed_may_be_missing(field):
    assert parse_squad(content(changed(field, None)), "a.json").version == "v2.0"


def test_nothing_where_a_list_may_be_missing_is_an_empty_list():
    value = changed("data/0/paragraphs/0/qas/0/plausible_answers", [])
    value["data"][0]["paragraphs"][0]["qas"][0]["plausible_answers"] = None
    assert parse_squad(content(value), "a.json") is not None


QA = "data/0/paragraphs/0/qas/0"


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ([], "the file is a list and should be an object"),
        (None, "the file is nothing and should be an object"),
        ({}, "the file has no 'data'"),
        (changed("data", {}), "data is an object and should be a list"),
        (changed("data/0", "x"), "data[0] is text and should be an object"),
        (changed("data/0/title", 7), "data[0].title is a number and should be text"),
        (changed("data/0/paragraphs", None), "data[0] has no 'paragraphs'"),
        (changed("data/0/paragraphs/0/context", None), "data[0].paragraphs[0] has no 'context'"),
        (changed(f"{QA}/id", 7), f"{path_of(0, 0, 0)}.id is a number and should be text"),
        (changed(f"{QA}/id", None), f"{path_of(0, 0, 0)} has no 'id'"),
        (changed(f"{QA}/question", None), f"{path_of(0, 0, 0)} has no 'question'"),
        (
            changed(f"{QA}/answers", {"text": ["Seine"], "answer_start": [4]}),
            f"{path_of(0, 0, 0)}.answers is an object and should be a list",
        ),
        (
            changed(f"{QA}/answers/0/answer_start", True),
            f"{path_of(0, 0, 0)}.answers[0].answer_start is true or false and should be a whole "
            "number",
        ),
        (
            changed(f"{QA}/answers/0/answer_start", 4.0),
            f"{path_of(0, 0, 0)}.answers[0].answer_start is a number and should be a whole number",
        ),
        (
            changed(f"{QA}/is_impossible", "false"),
            f"{path_of(0, 0, 0)}.is_impossible is text and should be true or false",
        ),
        (
            changed("data/0/paragraphs/0/qas/1/plausible_answers/0", 1),
            f"{path_of(0, 0, 1)}.plausible_answers[0] is a number and should be an object",
        ),
    ],
)
def test_the_first_wrong_field_is_told_with_its_place(value, words):
    assert refusal(content(value)) == words


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "it is not JSON (line 1, column 1"),
        (b'{"data": [}', "it is not JSON (line 1, column 11"),
        (b'{"data": []}\n{"data": []}', "it is not JSON (line 2, column 1: Extra data)"),
        (b'{"data": "caf\xe9"}', "it is not UTF-8 text (byte 13)"),
        (b"[" * 200_000, "its JSON is nested too deeply"),
        (b'{"data": ' + b"9" * 5000 + b"}", "it has a number of thousands of digits"),
    ],
)
def test_what_is_no_json_is_told(data, words):
    assert refusal(data).startswith(words)


def test_a_byte_order_mark_is_no_matter():
    assert parse_squad(b"\xef\xbb\xbf" + content(TWO), "a.json").articles


def test_files_that_cannot_be_read_are_told(tmp_path):
    broken = tmp_path / "broken.json.gz"
    broken.write_bytes(gzip.compress(content(TWO))[:-20])
    for path, words in [(tmp_path / "gone.json", "No such file"), (broken, "cannot be read (")]:
        with pytest.raises(DataError, match="cannot be read") as caught:
            read_squad(path)
        assert words in str(caught.value)


def test_a_file_that_unpacks_to_too_much_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "LARGEST", 1_000_000)
    path = tmp_path / "a.json.gz"
    path.write_bytes(gzip.compress(b" " * 2_000_000))
    with pytest.raises(DataError, match="has more than 1 MB"):
        read_squad(path)


def test_a_file_is_written_whole_or_not_at_all(tmp_path):
    read = parse_squad(content(TWO), "a.json")
    path = tmp_path / "a.json"
    write_squad(read, path)
    assert path.read_bytes() == content(TWO)
    path.write_text("old")
    write_squad(read, path)
    assert path.read_bytes() == content(TWO)
    with pytest.raises(StorageError, match=r"Could not write b\.json"):
        write_squad(read, tmp_path / "gone" / "b.json")
    with pytest.raises(StorageError):
        write_squad(read, Path("/proc/b.json"))
    (tmp_path / "folder.json").mkdir()
    with pytest.raises(StorageError):
        write_squad(read, tmp_path / "folder.json")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["a.json", "folder.json"]


def test_half_a_pair_survives_writing(tmp_path):
    odd = Squad((Article("\ud83d"),))
    write_squad(odd, tmp_path / "a.json")
    assert read_squad(tmp_path / "a.json").articles == odd.articles
