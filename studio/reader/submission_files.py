"""What a submission is handed out as: official files, a model card, and an archive of all."""

import io
import json
import zipfile
from typing import Any

from studio.reader.data_sets import known_as
from studio.reader.leaderboard import NaProb
from studio.reader.predictions import Predictions
from studio.store.submissions import SubmissionRow

_METRICS = {
    "exact": "Exact match",
    "f1": "F1",
    "HasAns_exact": "Exact match, questions with an answer",
    "HasAns_f1": "F1, questions with an answer",
    "NoAns_exact": "Exact match, questions without an answer",
    "NoAns_f1": "F1, questions without an answer",
    "best_exact": "Exact match at the best threshold",
    "best_f1": "F1 at the best threshold",
    "pr_exact_ap": "Average precision, exact match",
    "pr_f1_ap": "Average precision, F1",
    "pr_oracle_ap": "Average precision, answerability alone",
}
"""Official keys that are percentages, with their names."""


def predictions_json(predictions: Predictions) -> bytes:
    """The texts as the official script takes them; the threshold is not applied."""
    return json.dumps(dict(predictions.texts)).encode()


def na_probs_json(predictions: Predictions) -> bytes | None:
    """The no-answer probabilities as the official script takes them, None where there are none."""
    return None if predictions.na_probs is None else json.dumps(dict(predictions.na_probs)).encode()


def scores_json(row: SubmissionRow) -> bytes:
    """The scores as the official script prints them."""
    return json.dumps(row.scores, indent=2).encode()


def model_card(row: SubmissionRow) -> str:
    """A README.md for the Hugging Face hub, the scores in its `model-index`.

    It has no `datasets`, which on the hub are those that a model was trained on.
    """
    from huggingface_hub import ModelCardData

    name = row.model.rstrip("/").rsplit("/", 1)[-1] or row.model
    data = ModelCardData(
        model_name=name,
        pipeline_tag="question-answering",
        metrics=["exact", "f1"],
        eval_results=_eval_results(row),
    )
    return f"---\n{data.to_yaml()}\n---\n\n{_body(row, name)}"


def archive(row: SubmissionRow, predictions: Predictions) -> bytes:
    """A zip file with predictions.json, na_prob.json, scores.json and README.md."""
    files = {
        "predictions.json": predictions_json(predictions),
        "na_prob.json": na_probs_json(predictions),
        "scores.json": scores_json(row),
        "README.md": model_card(row).encode(),
    }
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as zipped:
        for name, content in files.items():
            if content is not None:
                # A fixed date: the same submission is the same archive.
                entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
                entry.compress_type = zipfile.ZIP_DEFLATED
                entry.external_attr = 0o644 << 16
                zipped.writestr(entry, content)
    return packed.getvalue()


def _eval_results(row: SubmissionRow) -> list[Any]:
    from huggingface_hub import EvalResult

    # The hub's id of the official sets; any other file is called what it is called here.
    part, _, version = known_as(row.data_set_sha256).partition("-")
    return [
        EvalResult(
            task_type="question-answering",
            task_name="Question answering",
            dataset_type={"v2.0": "squad_v2", "v1.1": "squad"}.get(version, row.data_set),
            dataset_name=row.data_set,
            dataset_split={"dev": "validation", "train": "train"}.get(part),
            dataset_args={"sha256": row.data_set_sha256},
            metric_type=key,
            metric_name=_METRICS[key],
            metric_value=value,
        )
        for key, value in _told(row).items()
    ]


def _told(row: SubmissionRow) -> dict[str, float]:
    """The percentages that mean something: with constant probabilities every best_* is empty."""
    plain = row.na_prob != NaProb.GIVEN
    return {
        key: value
        for key, value in row.scores.items()
        if key in _METRICS and not (plain and key.startswith(("best_", "pr_")))
    }


def _body(row: SubmissionRow, name: str) -> str:
    given = row.na_prob != NaProb.NONE
    threshold = row.settings.get("threshold")
    command = "python evaluate-v2.0.py data.json predictions.json"
    if given:
        command += f" -n na_prob.json -t {threshold}"
    facts = {
        "model": row.model,
        "revision": row.revision,
        "data set": f"{row.data_set}, {row.questions:,} questions, sha256 {row.data_set_sha256}",
        "submitted by": row.who,
        "device": row.device,
        "seconds": f"{row.seconds:.1f}" if row.seconds else "",
        **{key.replace("_", " "): str(value) for key, value in row.settings.items()},
    }
    scores = [f"| {_METRICS[key]} | {value:.2f} |" for key, value in _told(row).items()]
    lines = [
        f"# {_cell(name)}",
        "",
        "Scores by the rules of the official SQuAD 2.0 script, in percent.",
        "",
        "| metric | value |",
        "| --- | --- |",
        *scores,
        "",
        "| | |",
        "| --- | --- |",
        *(f"| {_cell(key)} | {_cell(value)} |" for key, value in facts.items() if value),
        "",
        "The official script gives the same scores for the files of this submission:",
        "",
        f"    {command}",
    ]
    if "best_f1" in _told(row):
        lines += ["", "The best threshold is fitted on the very questions that it is scored on."]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    """Text that can neither end a cell nor be taken for markup."""
    for each in "\\`*_[]<>|#":
        text = text.replace(each, f"\\{each}")
    return text.replace("\n", " ")
