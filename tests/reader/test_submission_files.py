"""What a submission is handed out as."""

import io
import json
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from huggingface_hub import ModelCard
from prediction_files import silent, weak

from studio.reader.data_sets import official_sum
from studio.reader.metrics import scores
from studio.reader.predictions import read_na_probs, read_predictions
from studio.reader.squad import Squad, read_squad
from studio.reader.submission_files import archive, model_card, na_probs_json, predictions_json
from studio.store.submissions import SubmissionRow

DATA = Path(__file__).resolve().parents[1] / "data"


@pytest.fixture(scope="module")
def small() -> Squad:
    return read_squad(DATA / "small-v2.0.json")


def row_of(small, predictions, threshold=1.0, **changes) -> SubmissionRow:
    scored = scores(small, predictions, threshold)
    row = SubmissionRow(
        id=7,
        created_at=0.0,
        who="Ada",
        model="someone/weak-reader",
        revision="abc123",
        data_set="small-v2.0",
        data_set_sha256=small.sha256,
        questions=30,
        exact=scored.all.exact,
        f1=scored.all.f1,
        scores=scored.official(),
        settings={"threshold": threshold, "doc_stride": 128},
        seconds=2.5,
        device="cpu",
        na_prob="none" if predictions.na_probs is None else "given",
    )
    return replace(row, **changes)


def index(card: str) -> dict:
    [model] = yaml.safe_load(card.split("---\n")[1])["model-index"]
    return model


def metrics(card: str) -> dict[str, float]:
    return {
        metric["type"]: metric["value"]
        for result in index(card)["results"]
        for metric in result["metrics"]
    }


def test_official_files_read_back_as_they_were(small):
    made = weak(small, with_na_probs=True)
    assert read_predictions(predictions_json(made)) == made.texts
    assert list(read_na_probs(na_probs_json(made)).items()) == list(made.na_probs.items())
    assert na_probs_json(silent(small)) is None


def test_the_archive_holds_what_gives_its_scores_again(small):
    made = weak(small, with_na_probs=True)
    row = row_of(small, made, 0.5)
    packed = archive(row, made)
    assert packed == archive(row, made)
    with zipfile.ZipFile(io.BytesIO(packed)) as zipped:
        assert zipped.testzip() is None
        files = {name: zipped.read(name) for name in zipped.namelist()}
    assert list(files) == ["predictions.json", "na_prob.json", "scores.json", "README.md"]
    again = type(made)(
        read_predictions(files["predictions.json"]), read_na_probs(files["na_prob.json"])
    )
    printed = json.dumps(scores(small, again, 0.5).official(), indent=2)
    assert files["scores.json"].decode() == printed
    assert files["README.md"].decode() == model_card(row)
    assert "predictions.json -n na_prob.json -t 0.5\n" in files["README.md"].decode()


def test_without_probabilities_the_archive_has_no_file_of_them(small):
    made = silent(small)
    with zipfile.ZipFile(io.BytesIO(archive(row_of(small, made), made))) as zipped:
        assert zipped.namelist() == ["predictions.json", "scores.json", "README.md"]
        assert "na_prob.json" not in zipped.read("README.md").decode()


def test_the_card_is_what_the_hub_reads(small):
    row = row_of(small, weak(small, True), 0.5)
    card = ModelCard(model_card(row))
    assert card.data.model_name == "weak-reader"
    assert card.data.pipeline_tag == "question-answering"
    assert card.data.datasets is None, "which would say that it was trained on them"
    for result in card.data.eval_results:
        assert (result.task_type, result.dataset_type) == ("question-answering", "small-v2.0")
        assert (result.dataset_name, result.dataset_split) == ("small-v2.0", None)
        assert result.dataset_args == {"sha256": small.sha256}
    told = {result.metric_type: result.metric_value for result in card.data.eval_results}
    assert told == metrics(model_card(row))
    percentages = {
        key: value for key, value in row.scores.items() if not key.endswith(("total", "thresh"))
    }
    assert told == percentages
    assert len(told) == 11


def test_the_card_is_for_people_too(small):
    text = model_card(row_of(small, weak(small, True), 0.5))
    assert "# weak-reader\n" in text
    assert "| Exact match | 70.00 |" in text
    assert f"| data set | small-v2.0, 30 questions, sha256 {small.sha256} |" in text
    assert "| doc stride | 128 |" in text
    assert "fitted on the very questions" in text


def test_best_thresholds_of_constant_probabilities_are_not_boasted_of(small):
    made = silent(small, with_na_probs=True)
    row = row_of(small, made, na_prob="constant")
    assert "best_f1" in row.scores
    assert set(metrics(model_card(row))) == {
        "exact",
        "f1",
        "HasAns_exact",
        "HasAns_f1",
        "NoAns_exact",
        "NoAns_f1",
    }


@pytest.mark.parametrize(
    ("name", "hub", "split"),
    [
        ("dev-v2.0", "squad_v2", "validation"),
        ("train-v2.0", "squad_v2", "train"),
        ("dev-v1.1", "squad", "validation"),
    ],
)
def test_an_official_set_is_called_as_on_the_hub(small, name, hub, split):
    row = row_of(small, silent(small), data_set=name, data_set_sha256=official_sum(name))
    dataset = index(model_card(row))["results"][0]["dataset"]
    assert (dataset["type"], dataset["name"], dataset["split"]) == (hub, name, split)


def test_names_break_neither_table_nor_metadata(small):
    wild = "a | b: [x](http://y) <b> '\"#"
    text = model_card(row_of(small, silent(small), model=wild, who="| --- |"))
    # The hub's names have one slash, of which the last part is the model's.
    assert index(text)["name"] == "y) <b> '\"#"
    assert "\n# y) \\<b\\> '\"\\#\n" in text
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert all(line.replace("\\|", "").count("|") == 3 for line in rows)
