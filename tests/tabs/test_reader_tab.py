"""The Reader tab: its forms, what its handlers do with plain values, and what they show."""

import gzip
import json
from pathlib import Path

import gradio as gr
import pytest
from tiny_readers import TEXT, make_reader

from studio.events import Loading, Progress, Queued, Waiting
from studio.models.broker import Holder, this_thread
from studio.reader.answering import Answered, Found
from studio.reader.breakdown import breakdown, intervals
from studio.reader.documents import pasted
from studio.reader.metrics import scores
from studio.reader.predictions import Predictions
from studio.reader.squad import read_squad
from studio.reader_requests import AskRequest, EvaluateRequest
from tabs import reader
from tabs.blocks import ask, benchmark
from tabs.blocks.ask import EXAMPLES, AskHandlers
from tabs.blocks.benchmark import BenchmarkHandlers, progress_line
from tabs.blocks.report import report

SMALL = Path(__file__).resolve().parents[1] / "data" / "small-v2.0.json"


@pytest.fixture
def ready(services, settings):
    make_reader(settings.data_dir / "models" / "readers" / "tiny")
    services.data_sets.add(SMALL.read_bytes(), "small-v2.0.json")
    return services


@pytest.fixture
def view(ready):
    with gr.Blocks(analytics_enabled=False):
        built = reader.build(ready)
    return built


@pytest.fixture
def asking(ready, view):
    return AskHandlers(ready, view.ask)


@pytest.fixture
def scoring(ready, view):
    return BenchmarkHandlers(ready, view.benchmark)


def values(form, **given):
    """What the page would send: each control's value, or another."""
    told = {component: component.value for component in form.fields.values()}
    # The tiny one, not that which ships.
    told[form.fields["reader"]] = "tiny"
    return told | {form.fields[name]: value for name, value in given.items()}


def test_the_forms_have_every_field_of_their_requests(view):
    assert set(view.ask.form.fields) == set(AskRequest.model_fields)
    assert set(view.benchmark.form.fields) == set(EvaluateRequest.model_fields) - {"kind"}


def asked(view, question, text="", document=None):
    form = view.ask.form
    return values(form, question=question) | {view.ask.text: text, view.ask.document: document}


def test_a_pasted_text_is_answered(view, asking):
    working, shown = asking.ask(asked(view, "Who built the old bridge?", TEXT))
    assert "Reading" in working
    assert "at-answer" in shown
    assert "Who built the old bridge?" in shown
    assert "tiny" in shown


def test_a_dropped_file_is_answered(view, asking, tmp_path):
    (tmp_path / "a.txt").write_text(TEXT)
    (before, _), (document, box) = asking.read_file(str(tmp_path / "a.txt"))
    assert before is None, "while a file is read nothing is answered from the one before"
    assert (box.value, box.interactive) == (TEXT, False)
    *_, shown = asking.ask(asked(view, "Who built the old bridge?", "", document))
    assert "at-passage" in shown
    assert asking.forget_file()[0] is None


@pytest.mark.parametrize(
    ("question", "text", "reason"),
    [("", TEXT, "is empty"), ("who?", "", "empty"), ("who?", "a\0b", "NUL")],
)
def test_what_cannot_be_asked_is_told(view, asking, question, text, reason):
    with pytest.raises(gr.Error, match=reason):
        list(asking.ask(asked(view, question, text)))


def test_a_question_does_not_wait_for_hours(view, asking, ready, monkeypatch):
    monkeypatch.setattr(ask, "PATIENCE", 0.1)
    broker = ready.engine.broker
    number = broker.take(Holder("a training", "", this_thread()), alone=True)
    told = []
    with pytest.raises(gr.Error, match="taken by a training; ask again when that has ended"):
        told.extend(asking.ask(asked(view, "Who built the old bridge?", TEXT)))
    assert "Waits until a training has ended" in told[0]
    broker.give_back(number)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [("a.exe", b"MZ", "ending"), ("a.pdf", b"no pdf", "PDF"), ("a.txt", b"", "empty")],
)
def test_what_cannot_be_read_is_told(asking, tmp_path, name, content, reason):
    (tmp_path / name).write_bytes(content)
    updates = []
    with pytest.raises(gr.Error, match=reason):
        updates.extend(asking.read_file(str(tmp_path / name)))
    document, box = updates[-1]
    assert document is None, "the file before it is not asked on"
    assert box.interactive


def test_an_example_fills_text_and_question(asking):
    texts = [text for _, text, questions in EXAMPLES for _ in questions]
    for number, expected in enumerate(texts):
        event = gr.SelectData(None, {"index": number, "value": ""})
        box, question, file, document = asking.example(event)
        assert (box.value, box.interactive) == (expected, True)
        assert (file, document) == (None, None)
        assert question.endswith("?")


def test_a_reader_brings_its_own_threshold(asking):
    assert asking.choose_reader("tiny") == 0.5
    with pytest.raises(gr.Error, match="not installed"):
        asking.choose_reader("gone")


def found(answers, probability=0.8, threshold=0.5, is_answered=True):
    return Answered(
        "<i>who</i>?", answers, probability, threshold, is_answered, True, "r", (1, 1), 0.02
    )


def test_an_answer_is_marked_in_its_passage_and_nothing_is_markup():
    document = pasted("Before <b>bold</b> after.")
    shown = ask.shown(found((Found(7, 18, "<b>bold</b>", 0.7, "paragraph 1", 0),)), document)
    assert "<mark>&lt;b&gt;bold&lt;/b&gt;</mark> after." in shown
    assert "Before <mark>" in shown
    assert "<i>who" not in shown
    assert "80% sure that the text answers this" in shown
    assert "20 ms" in shown


def test_no_answer_is_said_and_the_nearest_is_told():
    document = pasted("One two.")
    shown = ask.shown(
        found((Found(0, 3, "One", 0.1, "paragraph 1", 0),), 0.2, is_answered=False), document
    )
    assert "No answer in this text" in shown
    assert "The nearest that it found" in shown
    assert "<mark>One</mark>" in shown


def test_a_long_passage_is_cut_around_the_answer():
    text = "word " * 1000 + "here " + "word " * 1000
    document = pasted(text)
    start = text.index("here")
    index = next(i for i, p in enumerate(document.passages) if p.start <= start < p.end)
    shown = ask.shown(found((Found(start, start + 4, "here", 0.7, "p", index),)), document)
    assert len(shown) < 4000
    assert "<mark>here</mark>" in shown


def test_an_evaluation_goes_through_the_queue_to_its_report(view, scoring, ready):
    job_id = scoring.score(values(view.benchmark.form, data_set="small-v2.0", who="Ada"))
    ready.scorer.start()
    shown = [update for update in scoring.follow(job_id) if view.benchmark.report in update]
    ready.scorer.stop()
    report = shown[-1][view.benchmark.report]
    row = ready.leaderboard.of_job(job_id)
    assert row.who == "Ada"
    assert f"{row.f1:.2f}" in report
    for title in ("Reliability", "threshold", "Precision and recall", "question word", "article"):
        assert title in report


def test_an_official_predictions_file_is_scored(view, scoring, ready, tmp_path):
    texts = {each.question.id: "" for each in read_squad(SMALL).asked()}
    path = tmp_path / "silent.json.gz"
    path.write_bytes(gzip.compress(json.dumps(texts).encode()))
    panel = view.benchmark
    given = {
        panel.data_set: "small-v2.0",
        panel.predictions: str(path),
        panel.na_probs: None,
        panel.model: "Silent",
        panel.threshold: 1.0,
    }
    assert "50.00" in scoring.score_file(given)
    (line,) = [s for s in ready.leaderboard.ranked("small-v2.0") if s.submission]
    assert (line.name, line.exact) == ("Silent", 50.0)
    path.write_bytes(b"[]")
    with pytest.raises(gr.Error, match="silent"):
        scoring.score_file(given)
    with pytest.raises(gr.Error, match="Choose a data set"):
        scoring.score_file(given | {panel.predictions: None})


def test_odds_in_the_place_of_probabilities_are_drawn_as_far_as_they_go():
    squad = read_squad(SMALL)
    ids = [each.question.id for each in squad.asked()]
    odds = {key: number - 10.0 for number, key in enumerate(ids)}
    scored = scores(squad, Predictions(dict.fromkeys(ids, "a"), odds), 0.0)
    shown = report(scored, intervals(scored), breakdown(squad, scored), None)
    _, _, plot = shown.partition("Score by the threshold")
    for tick in ("-10", "0", "10", "20"):
        assert f">{tick}</text>" in plot.partition("</svg>")[0]


def test_an_uploaded_data_set_is_chosen(scoring, ready, tmp_path):
    (tmp_path / "mine.json").write_bytes(SMALL.read_bytes() + b" ")
    update = scoring.add(str(tmp_path / "mine.json"))
    assert update.value == "mine"
    assert ready.data_sets.names() == ["mine", "small-v2.0"]
    (tmp_path / "mine.json").write_text("{}")
    with pytest.raises(gr.Error, match="no 'data'"):
        scoring.add(str(tmp_path / "mine.json"))


def test_a_stopped_evaluation_shows_no_report(view, scoring, ready):
    job_id = scoring.score(values(view.benchmark.form, data_set="small-v2.0"))
    scoring.stop()
    updates = list(scoring.follow(job_id))
    assert not [update for update in updates if view.benchmark.report in update]
    assert updates[-1][view.benchmark.progress] == ""
    assert ready.queue.get(job_id).status == "cancelled"


def test_a_download_can_be_stopped(view, scoring, ready):
    job_id = scoring.fetch("train-v2.0")
    scoring.stop()
    assert ready.queue.get(job_id).status == "cancelled"


def test_progress_is_told_in_words():
    half = Progress(
        step=50, steps=100, item=1, items=1, seconds_left=300, label="reading", unit="question"
    )
    assert "<b>Reading</b> 50 of 100 questions, 5 min left" in progress_line(half)
    assert "width: 50.0%" in progress_line(half)
    fetched = half.model_copy(update={"label": "download", "unit": "MB"})
    assert "<b>Download</b> 50 of 100 MB, " in progress_line(fetched)
    assert "3rd in line" in progress_line(Queued(position=3))
    assert "a training" in progress_line(Waiting(holder="a training"))
    assert "Loads" in progress_line(Loading(model="m"))


def test_lists_follow_what_is_here(scoring, settings):
    make_reader(settings.data_dir / "models" / "readers" / "another")
    sets, readers = scoring.lists()
    assert [name for name, _ in sets.choices] == ["small-v2.0"]
    assert {"another", "tiny"} <= {name for name, _ in readers.choices}


def test_a_page_without_readers_and_data_sets_can_be_built(services):
    with gr.Blocks(analytics_enabled=False):
        built = reader.build(services)
    assert built.benchmark.data_set.value is None
    assert isinstance(built.benchmark, benchmark.Benchmark)
