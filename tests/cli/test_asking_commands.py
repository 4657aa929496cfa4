"""`atelier ask`, `evaluate --model` and `models` with a tiny reader."""

import io
import json
import sys
from pathlib import Path

import pytest
from tiny_readers import TEXT, make_reader

SMALL = Path(__file__).resolve().parents[1] / "data" / "small-v2.0.json"


@pytest.fixture
def data(tmp_path):
    make_reader(tmp_path / "data" / "models" / "readers" / "tiny")
    return tmp_path / "data"


@pytest.fixture
def ask(atelier, data):
    def run(file, question="Who built the old bridge?", *more):
        common = ("--reader", "tiny", "--data-dir", data, "--device", "cpu")
        return atelier("ask", file, question, *common, *more)

    return run


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "bridge.txt"
    path.write_text(TEXT, encoding="utf-8")
    return path


def test_the_answer_comes_with_probability_and_place(ask, file):
    done = ask(file, "Who built the old bridge?", "--threshold", "1")
    assert done.code == 0, done.err
    answer, _, rest = done.out.strip().partition("  (")
    assert answer in TEXT
    assert rest.endswith("%, paragraph 1)")


def given(monkeypatch, content):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content), encoding="utf-8"))


def test_a_text_from_standard_input_is_taken_as_it_is(ask, monkeypatch):
    given(monkeypatch, TEXT.replace(". ", ".\r\n").encode())
    told = json.loads(ask("-", "Who?", "--json", "--answers", "9").out)
    text = TEXT.replace(". ", ".\r\n")
    for each in told["answers"]:
        assert text[each["start"] : each["end"]] == each["text"]
    given(monkeypatch, b"caf\xe9 " + TEXT.encode())
    assert "Windows-1252" in ask("-").err


@pytest.mark.parametrize(("content", "reason"), [(b"", "empty"), (b"\xff\x00\x81", "not text")])
def test_standard_input_that_is_no_text_is_one_sentence(ask, monkeypatch, content, reason):
    given(monkeypatch, content)
    done = ask("-")
    assert done.code == 1
    assert reason in done.err


def test_no_answer_is_said(ask, file):
    done = ask(file, "Who built the old bridge?", "--threshold", "0")
    assert done.out.startswith("no answer (")


def test_all_that_was_found_as_json(ask, file):
    told = json.loads(ask(file, "Who?", "--json", "--answers", "3").out)
    assert len(told["answers"]) == 3
    for each in told["answers"]:
        assert TEXT[each["start"] : each["end"]] == each["text"]


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("gone.txt", None, "gone.txt"),
        ("empty.txt", b"", "empty"),
        ("nul.txt", b"a\0b", "NUL"),
        ("broken.pdf", b"%PDF-1.7", "broken.pdf"),
        ("tool.exe", b"MZ", "ending"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_sentence(ask, tmp_path, name, content, reason):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    done = ask(tmp_path / name)
    assert done.code == 1
    assert reason in done.err
    assert "Traceback" not in done.err


def test_a_question_that_cannot_be_asked_is_one_sentence(ask, file):
    assert "is empty" in ask(file, " ").err
    assert "ask more briefly" in ask(file, "who " * 450).err


def test_a_reader_is_scored_and_submitted(atelier, data):
    common = ("--data", SMALL, "--data-dir", data, "--device", "cpu")
    done = atelier("evaluate", *common, "--model", "tiny", "--json")
    assert done.code == 0, done.err
    told = json.loads(done.out)
    assert told["total"] == 30
    assert "pr_f1_ap" in told
    listed = atelier("leaderboard", "--data-dir", data)
    assert "tiny" in listed.out
    assert f"{told['f1']:.2f}" in listed.out


def test_predictions_and_a_reader_exclude_each_other(atelier, data):
    for more in ((), ("--model", "tiny", "--predictions", SMALL)):
        done = atelier("evaluate", "--data", SMALL, "--data-dir", data, *more)
        assert done.code == 1
        assert "not both and not neither" in done.err


@pytest.mark.parametrize("more", [("--na-prob", SMALL), ("--submit", "me")])
def test_what_a_reader_has_of_its_own_is_not_passed_over(atelier, data, more):
    done = atelier("evaluate", "--data", SMALL, "--data-dir", data, "--model", "tiny", *more)
    assert done.code == 1
    assert "go with --predictions" in done.err


def test_readers_are_listed(atelier, data):
    make_reader(data / "models" / "bare", head=False)
    text = atelier("models", "--data-dir", data).out
    assert "tiny" in text
    assert "has no question-answering head" in text
    rows = json.loads(atelier("models", "--json", "--data-dir", data).out)
    readers = {row["id"]: row["problem"] for row in rows if row["kind"] == "reader"}
    assert readers["tiny"] is None
    assert "bare" in readers
