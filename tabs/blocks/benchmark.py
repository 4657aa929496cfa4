"""A reader or a predictions file scored on a data set, exactly as the official script does it."""

import html
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from studio.errors import AtelierError
from studio.events import Failed, Finished, Loading, Progress, Queued, Stopped, Waiting
from studio.reader.breakdown import breakdown, intervals
from studio.reader.data_sets import OFFICIAL
from studio.reader.evaluation import reliability_of
from studio.reader.leaderboard import Entry
from studio.reader.predictions import Predictions, read_na_probs, read_predictions
from studio.reader_requests import EvaluateRequest, FetchDataRequest, Precision
from studio.services import Services
from tabs.blocks import going
from tabs.blocks.maker import QUIET, in_words
from tabs.blocks.report import report
from tabs.blocks.stage import duration, in_line
from tabs.forms import Form, Values

_EMPTY = """<div class="at-reading"><div class="at-empty"><strong>The official scores</strong>
Choose a data set and a reader and press Score. All questions are read, scored as the official
script does it, and put on the leaderboard. It goes on when you close the page.</div></div>"""
_KIND = "evaluate-reader"
_KINDS = (_KIND, "fetch-data")


@dataclass(frozen=True)
class Benchmark:
    """Components of the panel; `asked` is the id of the page's last job."""

    form: Form
    data_set: gr.Dropdown
    upload: gr.UploadButton
    official: gr.Dropdown
    fetch: gr.Button
    score: gr.Button
    stop: gr.Button
    predictions: gr.File
    na_probs: gr.File
    model: gr.Textbox
    threshold: gr.Number
    submit: gr.Button
    progress: gr.HTML
    report: gr.HTML
    asked: gr.State


def build(services: Services) -> Benchmark:
    """Lay the panel out."""
    names = services.data_sets.names()
    readers = [entry.id for entry in services.readers.entries() if not entry.problem]
    fields: dict[str, Any] = {}
    with gr.Row(elem_classes="at-main"):
        with gr.Column(min_width=0, elem_classes="at-words"):
            fields["data_set"] = gr.Dropdown(
                names,
                value=_first(names),
                label="Data set",
                info="SQuAD 1.1 or 2.0, or your own in that form",
                elem_id="at-score-data",
            )
            upload = gr.UploadButton(
                "Add a data set (.json, .json.gz)",
                file_types=[".json", ".gz"],
                size="sm",
                elem_id="at-score-upload",
            )
            fields["reader"] = gr.Dropdown(
                readers, value=_first(readers), label="Reader", elem_id="at-score-reader"
            )
            with gr.Row(elem_classes="at-run-row"):
                score = gr.Button(
                    "Score", variant="primary", elem_id="at-score-run", elem_classes="at-members"
                )
                stop = gr.Button("Stop", visible=False, elem_id="at-score-cancel")
        with gr.Column(min_width=0, elem_classes="at-result"):
            progress = gr.HTML("", padding=False, elem_id="at-score-progress")
            shown = gr.HTML(_EMPTY, padding=False, elem_id="at-score-report")
        with gr.Column(min_width=0, elem_classes="at-settings"):
            with gr.Accordion("How to read", open=False):
                fields["precision"] = gr.Dropdown(
                    [each.value for each in Precision],
                    value=Precision.AUTO.value,
                    label="Precision",
                    info="int8 is faster on a CPU and loses some right answers",
                )
                fields["longest"] = gr.Slider(
                    1, 200, value=30, step=1, label="Longest answer (tokens)"
                )
                fields["threshold"] = gr.Number(
                    None, label='"No answer" above', info="Probability; empty for the reader's own"
                )
                fields["who"] = gr.Textbox("", label="Who submits", max_lines=1)
            with gr.Accordion("Score a predictions file", open=False):
                predictions = _file("Predictions, {id: text}")
                na_probs = _file("No-answer probabilities, {id: number}; may be missing")
                model = gr.Textbox("", label="Name of the model", max_lines=1)
                threshold = gr.Number(1.0, label='"No answer" above')
                submit = gr.Button("Score the file", elem_id="at-score-file")
            with gr.Accordion("Get an official data set", open=not names):
                official = gr.Dropdown(
                    [each.name for each in OFFICIAL],
                    value=OFFICIAL[0].name,
                    label="Data set",
                    info="From its authors' site, compared with its checksum (CC BY-SA 4.0)",
                )
                fetch = gr.Button("Download", elem_id="at-score-fetch")
    return Benchmark(
        Form(EvaluateRequest, fields),
        fields["data_set"],
        upload,
        official,
        fetch,
        score,
        stop,
        predictions,
        na_probs,
        model,
        threshold,
        submit,
        progress,
        shown,
        gr.State(""),
    )


def _first(names: list[str]) -> str | None:
    return names[0] if names else None


def _file(label: str) -> gr.File:
    return gr.File(label=label, file_types=[".json", ".gz"], height=92)


class BenchmarkHandlers:
    """What the panel's controls do. Everybody sees and may stop what is read."""

    def __init__(self, services: Services, view: Benchmark):
        self._services = services
        self._queue = services.queue
        self._view = view

    def lists(self) -> tuple[gr.Dropdown, gr.Dropdown]:
        """The data sets and readers of today; what is chosen stays."""
        readers = [each.id for each in self._services.readers.entries() if not each.problem]
        return gr.Dropdown(self._services.data_sets.names()), gr.Dropdown(readers)

    def add(self, path: str) -> gr.Dropdown:
        """Keep an uploaded data set and choose it."""
        with in_words("Not added"):
            file = Path(path)
            name = self._services.data_sets.add(file.read_bytes(), file.name)
        return gr.Dropdown(self._services.data_sets.names(), value=name)

    def score(self, values: Values) -> str:
        """Put an evaluation into the queue and return its id."""
        with in_words("Not scored"):
            if not values[self._view.data_set]:
                raise AtelierError("Choose a data set, or add one or download an official one.")
            return self._queue.submit(self._view.form.request(values))

    def fetch(self, name: str) -> str:
        """Put a download into the queue and return its id."""
        with in_words("Not downloaded"):
            return self._queue.submit(FetchDataRequest.model_validate({"name": name}))

    def follow(self, own: str = "") -> Iterator[dict[Any, Any]]:
        """How far the evaluations are, one after the other, and the report of the last."""
        view = self._view
        for job in going.each_job(self._queue, _KINDS, own):
            for event in self._queue.follow(job.id):
                if isinstance(event, Failed):
                    title = "Not scored" if job.kind == _KIND else "Not downloaded"
                    gr.Warning(html.escape(event.reason), title=title, duration=20)
                elif isinstance(event, Finished) and job.kind == _KIND:
                    yield {view.report: self._of_job(job.id)}
                elif event is not None and not isinstance(event, Finished | Stopped):
                    yield {view.progress: progress_line(event), view.stop: gr.Button(visible=True)}
        yield {view.progress: "", view.stop: gr.Button(visible=False)}

    def stop(self) -> None:
        """Stop what is shown: a reading, of which nothing is submitted, or a download."""
        with in_words():
            going.stop(self._queue, _KINDS)

    def score_file(self, values: Values) -> str:
        """Score an official predictions file, put it on the leaderboard, and show the report."""
        view = self._view
        with in_words("Not scored"):
            if not values[view.data_set] or not values[view.predictions]:
                raise AtelierError("Choose a data set and a predictions file.")
            name = str(values[view.data_set])
            squad = self._services.data_sets.get(name)
            path, probs = Path(str(values[view.predictions])), values[view.na_probs]
            made = Predictions(
                read_predictions(path, path.name),
                read_na_probs(Path(str(probs)), Path(str(probs)).name) if probs else None,
            )
            board = self._services.leaderboard
            entry = Entry(str(values[view.model] or path.stem), board.free_name(name, squad))
            threshold = values[view.threshold]
            row = board.submit(entry, squad, made, 1.0 if threshold is None else float(threshold))
            return self.report(row.id, name)

    def report(self, submission: int, data_set: str) -> str:
        """The report of a submission as HTML; data_set: the name of the file it is of."""
        squad = self._services.data_sets.get(data_set)
        board = self._services.leaderboard
        scores = board.scores(submission, squad)
        told = [each.na_prob for each in scores.questions] if scores.ranked else []
        # Others' numbers need not be probabilities, and one number for all says nothing.
        meant = len(set(told)) > 1 and min(told) >= 0 and max(told) <= 1
        trust = reliability_of(scores) if meant else None
        return report(scores, intervals(scores), breakdown(squad, scores), trust)

    def _of_job(self, job_id: str) -> str:
        row = self._services.leaderboard.of_job(job_id)
        request = self._queue.request(self._queue.get(job_id))
        assert isinstance(request, EvaluateRequest)
        with in_words("Not shown"):
            return self.report(row.id, request.data_set) if row else ""


def progress_line(event: object) -> str:
    """How far a job is, as a bar with words."""
    name, words, share = "Starts", "…", 0.0
    if isinstance(event, Progress):
        share = event.fraction
        left = event.seconds_left
        rest = f", {duration(left)} left" if left is not None else ""
        unit = event.unit if event.unit.isupper() else f"{event.unit}s"  # of MB there is no plural
        name, words = event.label.capitalize(), f"{event.step:,} of {event.steps:,} {unit}{rest}"
    elif isinstance(event, Loading):
        name, words = "Loads", f"{event.model} …"
    elif isinstance(event, Queued):
        place, begins = in_line(event.position, event.seconds)
        name, words = place, begins or "it begins by itself"
    elif isinstance(event, Waiting):
        name, words = "Waits", f"until {event.holder} has ended"
    return going.bar(name, words, share)


def wire(view: Benchmark, services: Services, tab: gr.Tab) -> BenchmarkHandlers:
    """Connect the controls."""
    handlers = BenchmarkHandlers(services, view)
    following: dict[str, Any] = {
        "outputs": [view.progress, view.report, view.stop],
        "concurrency_limit": None,
        "trigger_mode": "always_last",
        **QUIET,
    }
    lists = (handlers.lists, None, [view.data_set, view.form.fields["reader"]])
    view.score.click(handlers.score, {*view.form.inputs}, [view.asked], **QUIET).success(
        handlers.follow, [view.asked], **following
    )
    view.fetch.click(handlers.fetch, [view.official], [view.asked], **QUIET).success(
        handlers.follow, [view.asked], **following
    ).then(*lists, **QUIET)
    view.upload.upload(handlers.add, [view.upload], [view.data_set], **QUIET)
    view.stop.click(handlers.stop, None, None, **QUIET)
    view.submit.click(
        handlers.score_file,
        {view.data_set, view.predictions, view.na_probs, view.model, view.threshold},
        [view.report],
        **QUIET,
    )
    tab.select(*lists, **QUIET)
    tab.select(handlers.follow, None, **following)
    return handlers
