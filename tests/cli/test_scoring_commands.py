"""`atelier evaluate` and `atelier leaderboard` on official files and on what is none."""

import json
from pathlib import Path

import pytest

from studio.reader.squad import read_squad

SMALL = Path(__file__).resolve().parents[1] / "data" / "small-v2.0.json"


@pytest.fixture
def files(tmp_path) -> dict[str, Path]:
    """Predictions of the first gold answer, the first of them wrong; probabilities; no answers."""
    texts, silent, probs = {}, {}, {}
    for asked in read_squad(SMALL).asked():
        question = asked.question
        texts[question.id] = question.answers[0].text if question.answers else ""
        silent[question.id] = ""
        probs[question.id] = 0.2 if question.answers else 0.8
    texts[next(iter(texts))] = "wrong"
    named = {"p": texts, "silent": silent, "n": probs}
    for name, value in named.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(value))
    return {name: tmp_path / f"{name}.json" for name in named}


def test_the_json_is_the_official_scripts(atelier, files):
    done = atelier("evaluate", "--data", SMALL, "--predictions", files["p"], "--json")
    assert done.code == 0, done.err
    assert done.out == (
        '{\n  "exact": 96.66666666666667,\n  "f1": 96.66666666666667,\n  "total": 30,\n'
        '  "HasAns_exact": 93.33333333333333,\n  "HasAns_f1": 93.33333333333333,\n'
        '  "HasAns_total": 15,\n  "NoAns_exact": 100.0,\n  "NoAns_f1": 100.0,\n'
        '  "NoAns_total": 15\n}\n'
    )


def test_with_probabilities_there_are_all_keys(atelier, files):
    common = ("--data", SMALL, "--predictions", files["p"], "--na-prob", files["n"], "--json")
    done = json.loads(atelier("evaluate", *common, "--threshold", "0.1").out)
    assert list(done)[9:] == [
        "best_exact",
        "best_exact_thresh",
        "best_f1",
        "best_f1_thresh",
        "pr_exact_ap",
        "pr_f1_ap",
        "pr_oracle_ap",
    ]
    assert done["exact"] == 50, "at 0.1 nothing is answered"
    assert done["best_exact_thresh"] == 0.2
    assert json.loads(atelier("evaluate", *common).out)["exact"] == pytest.approx(96.6666667)


def test_the_official_files_give_the_official_scores(atelier, squad_files):
    given = squad_files / "predictions"
    done = atelier(
        *("evaluate", "--data", squad_files / "dev-v2.0.json.gz"),
        *("--predictions", given / "bert_single.json.gz"),
        *("--na-prob", given / "bert_single.na_prob.json.gz", "--threshold", "0.6", "--json"),
    )
    told = json.loads((given / "expected.json").read_text())
    expected = told["bert_single"]["na_prob_threshold_0.6"]
    assert done.out == json.dumps(expected, indent=2) + "\n"


def test_the_table_for_people(atelier, files):
    done = atelier(
        "evaluate", "--data", SMALL, "--predictions", files["p"], "--na-prob", files["n"]
    )
    lines = done.out.splitlines()
    assert lines[0].split() == ["EM", "F1", "questions"]
    assert lines[1].split() == ["all", "questions", "96.67", "96.67", "30"]
    assert lines[3].split() == ["without", "an", "answer", "100.00", "100.00", "15"]
    assert "best F1 of any threshold: 96.67 at 0.2" in lines
    assert "average precision, answerability alone: 100.00" in lines


def test_scoring_writes_nothing(atelier, files, data):
    assert atelier("evaluate", "--data", SMALL, "--predictions", files["p"]).code == 0
    assert not data.exists()


def test_the_leaderboard(atelier, files):
    assert atelier("leaderboard").out == "There are no submissions.\n"
    for name in ("silent", "p", "silent"):
        done = atelier(
            "evaluate", "--data", SMALL, "--predictions", files[name], "--submit", f"the {name}"
        )
        assert done.code == 0, done.err
    lines = atelier("leaderboard").out.splitlines()
    assert lines[0] == "small-v2.0"
    for line, told in zip(
        lines[2:],
        (
            ["1", "96.67", "96.67", "2", "the", "p"],
            ["89.45", "86.83", "-", "Human", "performance"],
            ["50.00", "50.00", "-", "Always", "no"],
            ["2", "50.00", "50.00", "1", "the", "silent"],
        ),
        strict=True,
    ):
        assert line.split()[: len(told)] == told
    assert len(atelier("leaderboard", "--history").out.splitlines()) == len(lines) + 1
    told = json.loads(atelier("leaderboard", "--json", "--data-set", "small-v2.0").out)
    assert [line["rank"] for line in told["small-v2.0"]] == [1, None, None, 2]
    assert told["small-v2.0"][0]["submission"]["scores"]["HasAns_total"] == 15
    assert atelier("leaderboard", "--data-set", "x").out == (
        "There are no submissions on x; there are some on small-v2.0.\n"
    )


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ('["a"]', "it is a list and should be an object of question ids"),
        ('{"a": "b"}', "30 of its 30 are missing"),
        ('{"a": NaN}', "1 of 1 predictions are not text (a)"),
        ('{"a": "x", "a": "y"}', "1 ids are given more than once (a)"),
        ("{", "is not JSON (line 1, column 2"),
    ],
)
def test_predictions_that_are_none(atelier, tmp_path, content, told):
    (tmp_path / "bad.json").write_text(content)
    done = atelier("evaluate", "--data", SMALL, "--predictions", tmp_path / "bad.json")
    assert told in done.sentence()
    assert done.out == ""


def test_unknown_ids_and_probabilities_that_are_no_numbers(atelier, files, tmp_path):
    texts = json.loads(files["p"].read_text())
    (tmp_path / "more.json").write_text(json.dumps({**texts, "other": ""}))
    done = atelier("evaluate", "--data", SMALL, "--predictions", tmp_path / "more.json")
    assert "1 are of no question in it (other)" in done.sentence()
    probs = json.loads(files["n"].read_text())
    probs[next(iter(probs))] = float("nan")
    (tmp_path / "nan.json").write_text(json.dumps(probs))
    common = ("--data", SMALL, "--predictions", files["p"], "--na-prob")
    done = atelier("evaluate", *common, tmp_path / "nan.json")
    assert "nan.json: 1 of 30 values are not finite numbers" in done.sentence()
    done = atelier("evaluate", *common, files["n"], "--threshold", "nan")
    assert "must be a number, not NaN" in done.sentence()


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("[]", "is not SQuAD: the file is a list"),
        ('{"data": [{"paragraphs": [{"qas": []}]}]}', "data[0].paragraphs[0] has no 'context'"),
        ('{"data": []}', "has no questions"),
        ("no", "is not SQuAD: it is not JSON"),
    ],
)
def test_a_data_set_that_is_none(atelier, files, tmp_path, content, told):
    (tmp_path / "data.json").write_text(content)
    done = atelier(
        "evaluate", "--data", tmp_path / "data.json", "--predictions", files["p"], "--json"
    )
    assert told in done.sentence()


def test_files_that_are_not_there(atelier, files, tmp_path):
    gone = tmp_path / "gone.json"
    for data, predictions in ((gone, files["p"]), (SMALL, gone)):
        done = atelier("evaluate", "--data", data, "--predictions", predictions)
        assert "gone.json cannot be read (No such file or directory)" in done.sentence()
