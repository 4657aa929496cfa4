"""Evaluations as jobs: what a reader earns on a data set, kept on the leaderboard."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tiny_readers import make_reader

from studio.errors import DataError, NotFound
from studio.events import Progress, Status
from studio.jobs.worker import JobContext
from studio.models.readers import load_reader
from studio.reader import evaluating, evaluation, reading
from studio.reader.answerability import Answerability, write_answerability
from studio.reader.evaluation import calibrated, evenly, predicted, quick_scores, reliability_of
from studio.reader.metrics import scores
from studio.reader.predictions import Predictions
from studio.reader.reading import Pair, reader_of
from studio.reader.squad import read_squad
from studio.reader_requests import EvaluateRequest
from studio.requests import validated

SMALL = Path(__file__).resolve().parents[1] / "data" / "small-v2.0.json"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    folder = make_reader(tmp_path_factory.mktemp("readers") / "tiny")
    write_answerability(folder, Answerability(2.0, 0.5, 0.45))
    return folder


@pytest.fixture
def ready(services, settings, tiny):
    link = settings.data_dir / "models" / "readers"
    link.mkdir(parents=True)
    (link / "tiny").symlink_to(tiny)
    services.data_sets.add(SMALL.read_bytes(), "small-v2.0.json")
    return services


def request(**fields):
    return validated(EvaluateRequest, {"data_set": "small-v2.0", "reader": "tiny", **fields})


def test_an_evaluation_is_a_submission(ready):
    job_id = ready.run_now(request(who="Ada"))
    assert ready.queue.get(job_id).status is Status.FINISHED
    row = ready.leaderboard.of_job(job_id)
    squad = read_squad(SMALL)
    assert (row.model, row.who, row.data_set) == ("tiny", "Ada", "small-v2.0")
    assert row.questions == 30
    assert row.data_set_sha256 == squad.sha256
    assert row.revision == ready.readers.sha256(ready.readers.get("tiny"))
    assert row.settings["threshold"] == 0.45
    assert row.settings["calibrated"]
    assert row.device == ready.engine.device().label
    assert row.na_prob == "given"
    made = ready.leaderboard.predictions(row.id)
    assert row.scores == scores(squad, made, 0.45).official()
    assert all(made.texts.values()), "the best span also where no answer is likelier"


def test_predictions_are_the_readers_best_spans(tiny):
    reader = reader_of(load_reader(tiny))
    asked = list(read_squad(SMALL).asked())
    found = predicted(reader, asked)
    for each in asked[::7]:
        (alone,) = reader.read([Pair(each.question.text, each.context)])
        assert found.texts[each.question.id] == alone.spans[0].text
        expected = reader.answerability.no_answer(alone.margin)
        assert found.na_probs[each.question.id] == pytest.approx(expected, abs=1e-4)


def test_8_bits_score_nearly_the_same(ready):
    ids = [ready.run_now(request(precision=each)) for each in ("full", "int8")]
    full, rounded = (ready.leaderboard.of_job(each) for each in ids)
    assert (full.settings["precision"], rounded.settings["precision"]) == ("full", "int8")
    assert full.f1 == pytest.approx(rounded.f1, abs=10)


def test_a_cancelled_evaluation_submits_nothing(ready):
    job_id = ready.queue.submit(request(), runner="nobody")
    ready.queue.cancel(job_id)
    ready.scorer.runner.run(ready.queue.get(job_id))
    assert ready.queue.get(job_id).status is Status.CANCELLED
    assert ready.leaderboard.of_job(job_id) is None


def test_progress_counts_questions(tiny, monkeypatch):
    reader = reader_of(load_reader(tiny))
    asked, told = list(read_squad(SMALL).asked()), []
    monkeypatch.setattr(evaluation, "_AT_ONCE", 8)
    predicted(reader, asked, on_done=lambda done, total: told.append((done, total)))
    assert told[-1] == (30, 30)
    assert {total for _, total in told} == {30}
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert {8, 16, 24, 30} <= {done for done, _ in told}


def test_a_stop_ends_the_reading_between_two_batches(ready, monkeypatch):
    job_id = ready.queue.submit(request(), runner="nobody")
    events = []

    def tell(self, event):
        events.append(event)
        if isinstance(event, Progress):
            ready.queue.cancel(job_id)

    monkeypatch.setattr(JobContext, "emit", tell)
    monkeypatch.setattr(reading, "_TOKENS_ON_CPU", 256)
    monkeypatch.setattr(evaluating, "_TELL_SECONDS", 0)
    assert ready.scorer.runner.run(ready.queue.get(job_id)) is Status.CANCELLED
    (progress,) = [event for event in events if isinstance(event, Progress)]
    assert 0 < progress.step < progress.steps == 30
    assert progress.unit == "question"
    assert ready.leaderboard.of_job(job_id) is None


def test_a_reader_that_is_deleted_while_it_reads_is_scored_all_the_same(
    ready, settings, monkeypatch
):
    job_id = ready.queue.submit(request(), runner="nobody")
    revision = ready.readers.sha256(ready.readers.get("tiny"))
    link = settings.data_dir / "models" / "readers" / "tiny"

    def tell(self, event):
        if isinstance(event, Progress):
            link.unlink(missing_ok=True)

    monkeypatch.setattr(JobContext, "emit", tell)
    assert ready.scorer.runner.run(ready.queue.get(job_id)) is Status.FINISHED
    assert not link.exists()
    assert ready.leaderboard.of_job(job_id).revision == revision


def test_what_cannot_be_evaluated_is_refused_at_once(ready):
    with pytest.raises(NotFound, match=r"no data set 'other'; there are: small-v2\.0"):
        ready.queue.submit(request(data_set="other"))
    empty = json.dumps({"version": "v2.0", "data": []}).encode()
    ready.data_sets.add(empty, "empty.json")
    with pytest.raises(DataError, match="no questions to score"):
        ready.queue.submit(request(data_set="empty"))


def test_a_question_without_room_is_told_with_its_id(ready):
    told = json.loads(SMALL.read_text(encoding="utf-8"))
    long = told["data"][1]["paragraphs"][0]["qas"][2]
    long["question"] = "who " * 500
    ready.data_sets.add(json.dumps(told).encode(), "long.json")
    row = ready.queue.get(ready.run_now(request(data_set="long")))
    assert row.status is Status.FAILED
    assert row.reason.startswith(f"Question {long['id']} of the data set has 500 tokens")


def test_half_of_a_pair_in_a_data_set_is_read_on(ready):
    told = json.loads(SMALL.read_text(encoding="utf-8"))
    told["data"][0]["paragraphs"][0]["context"] += " \ud83c"
    told["data"][0]["paragraphs"][0]["qas"][0]["question"] += " \ud83c"
    ready.data_sets.add(json.dumps(told).encode(), "halves.json")
    row = ready.queue.get(ready.run_now(request(data_set="halves")))
    assert row.status is Status.FINISHED, row.reason


def test_another_file_under_a_known_name_gets_a_name_of_its_own(ready):
    first = ready.leaderboard.of_job(ready.run_now(request()))
    changed = json.loads(SMALL.read_text(encoding="utf-8"))
    changed["data"] = changed["data"][:1]
    ready.data_sets.remove("small-v2.0")
    ready.data_sets.add(json.dumps(changed).encode(), "small-v2.0.json")
    second = ready.leaderboard.of_job(ready.run_now(request()))
    assert first.data_set == "small-v2.0"
    assert second.data_set.startswith("small-v2.0 (")


def test_calibration_makes_probabilities_of_margins(tiny):
    reader = reader_of(load_reader(tiny))
    asked = list(read_squad(SMALL).asked())
    found = predicted(reader, asked)
    reader.answerability = calibrated(asked, found)
    after = predicted(reader, asked)
    squad = read_squad(SMALL)
    certain = Predictions(found.texts, dict.fromkeys(found.na_probs, 1.0))
    before = reliability_of(scores(squad, certain))
    assert (
        reliability_of(scores(squad, Predictions(after.texts, after.na_probs))).error < before.error
    )
    chosen = scores(
        squad, Predictions(after.texts, after.na_probs), reader.answerability.threshold
    ).official()
    assert chosen["f1"] == pytest.approx(chosen["best_f1"])


def test_a_passage_without_a_span_does_not_spoil_the_calibration(tiny):
    reader = reader_of(load_reader(tiny))
    asked = list(read_squad(SMALL).asked())
    found = predicted(reader, asked)
    expected = calibrated(asked, found)
    margins = found.margins.copy()
    margins[int(np.argmax(margins))] = np.inf
    again = calibrated(asked, replace(found, margins=margins))
    assert again.temperature == pytest.approx(expected.temperature, rel=0.5)


def test_quick_scores_are_the_official_best_ones(tiny):
    reader = reader_of(load_reader(tiny))
    squad = read_squad(SMALL)
    asked = list(squad.asked())
    found = predicted(reader, asked)
    official = scores(squad, Predictions(found.texts, found.na_probs)).official()
    quick = quick_scores(reader, asked)
    assert quick["f1"] == pytest.approx(official["best_f1"])
    assert quick["exact"] == pytest.approx(official["best_exact"])
    assert quick["has_ans_f1"] == pytest.approx(official["HasAns_f1"])


def test_a_sample_is_spread_evenly():
    squad = read_squad(SMALL)
    places = [each.place[0] for each in evenly(squad, 9)]
    assert len(places) == 9
    assert set(places) == {0, 1, 2}
    assert len(evenly(squad, 0)) == len(evenly(squad, 1000)) == 30
    assert np.all(np.diff(places) >= 0)
