"""A reader fine-tuned: what it is made from left, its curves while it learns right."""

import html
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import gradio as gr

from studio.errors import AtelierError
from studio.events import Failed, Finished, Measured, Notice, Stopped
from studio.reader_requests import FinetuneRequest, TrainedIn
from studio.requests import label
from studio.services import Services
from tabs.blocks import going
from tabs.blocks.benchmark import progress_line
from tabs.blocks.maker import QUIET, in_words
from tabs.blocks.plots import Axis, Line, fitting, line_plot
from tabs.blocks.report import tiles
from tabs.forms import Form, Values, limits

_KINDS = ("finetune-reader",)
_EMPTY = """<div class="at-reading"><div class="at-empty"><strong>A reader of your own</strong>
Choose an encoder or a reader to begin with and a data set to learn from, and press Fine-tune. Its
curves are drawn here while it learns; it goes on when you close the page, and after the server was
stopped or killed. At its end it is calibrated, scored, and one press from use.</div></div>"""


@dataclass(frozen=True)
class Tuning:
    """Components of the panel; `asked` is the id of the page's last job."""

    form: Form
    start: gr.Button
    stop: gr.Button
    progress: gr.HTML
    curves: gr.HTML
    asked: gr.State


@dataclass
class Curves:
    """What a training has told so far: points of each curve by its name."""

    points: dict[str, tuple[list[float], list[float]]] = field(default_factory=dict)

    def add(self, event: Measured) -> None:
        """Take the points of one step, once each."""
        for name, value in event.values.items():
            xs, ys = self.points.setdefault(name, ([], []))
            if not xs or event.step > xs[-1]:
                xs.append(event.step)
                ys.append(value)

    def plots(self) -> str:
        """Loss, dev scores and learning rate, as far as there are points."""
        drawn = [
            self._plot("Loss", {"loss": ("loss", "one")}),
            self._plot("Dev set, %", {"f1": ("F1", "one"), "exact": ("EM", "two")}),
            self._plot("Learning rate", {"learning_rate": ("rate", "three")}),
        ]
        return f'<div class="at-plots">{"".join(drawn)}</div>' if self.points else ""

    def _plot(self, title: str, names: dict[str, tuple[str, str]]) -> str:
        there = [name for name in names if name in self.points]
        if not there:
            return ""
        lines = [Line(names[name][0], *self.points[name], names[name][1]) for name in there]
        last = max(line.xs[-1] for line in lines)
        values = [value for line in lines for value in line.ys]
        if title == "Loss":
            title = f"Loss · {lines[0].ys[-1]:.3f}"
        return line_plot(title, lines, Axis("step", 0, max(1.0, last)), fitting("", values))


def build() -> Tuning:
    """Lay the panel out; lists are filled when it is opened."""
    told = FinetuneRequest.model_fields
    fields: dict[str, Any] = {}
    with gr.Row(elem_classes="at-main"):
        with gr.Column(min_width=0, elem_classes="at-words"):
            fields["base"] = gr.Dropdown(
                [],
                value=None,
                label="Begin with",
                info="A model that is here, or an id on the Hugging Face hub",
                allow_custom_value=True,
                elem_id="at-tune-base",
            )
            fields["train"] = _data("Learn from", elem_id="at-tune-train")
            fields["dev"] = _data("Score on", elem_id="at-tune-dev", choices=[("nothing", "")])
            fields["name"] = gr.Textbox(
                "", label="Name of the new reader", max_lines=1, elem_id="at-tune-name"
            )
            fields["epochs"] = _slider("epochs", 0.5, maximum=10, minimum=0.5)
            fields["learning_rate"] = gr.Number(
                told["learning_rate"].default, label="Learning rate", step=1e-5
            )
            with gr.Row(elem_classes="at-run-row"):
                start = gr.Button(
                    "Fine-tune", variant="primary", elem_id="at-tune-run", elem_classes="at-members"
                )
                stop = gr.Button("Stop", visible=False, elem_id="at-tune-cancel")
        with gr.Column(min_width=0, elem_classes="at-result"):
            progress = gr.HTML("", padding=False, elem_id="at-tune-progress")
            curves = gr.HTML(_EMPTY, padding=False, elem_id="at-tune-curves")
        with gr.Column(min_width=0, elem_classes="at-settings"):
            with gr.Accordion("Steps and batches", open=False):
                fields["batch_size"] = _slider("batch_size", 1, minimum=1, maximum=64)
                fields["accumulate"] = _slider(
                    "accumulate",
                    1,
                    minimum=1,
                    maximum=64,
                    info="Batches of one step: less memory, slower",
                )
                fields["max_steps"] = _number("max_steps", "0 for the epochs")
                fields["precision"] = gr.Dropdown(
                    [each.value for each in TrainedIn], value="auto", label="Precision"
                )
                fields["processes"] = _slider("processes", 1, info="One on each GPU")
                fields["seed"] = _number("seed", "Of order and dropout")
            with gr.Accordion("Learning", open=False):
                fields["warmup"] = _slider("warmup", 0.01, info="Share of all steps")
                fields["layer_decay"] = _slider(
                    "layer_decay",
                    0.01,
                    minimum=0.5,
                    maximum=1,
                    info="Rate of a layer as a share of that above it; 1 for all alike",
                )
                fields["head_rate"] = _number("head_rate", "The output layer's rate, as a multiple")
                fields["weight_decay"] = _slider("weight_decay", 0.005, minimum=0, maximum=0.2)
                fields["clip_norm"] = _number("clip_norm", "Of gradients; 0 for none")
                fields["label_smoothing"] = _slider("label_smoothing", 0.01, minimum=0, maximum=0.5)
                fields["dropout"] = gr.Number(None, label="Dropout", info="Empty: the model's own")
                fields["attention_dropout"] = gr.Number(
                    None, label="Attention dropout", info="Empty: the model's own; 0 is faster"
                )
            with gr.Accordion("Windows and scores", open=False):
                fields["max_length"] = _number("max_length", "Tokens of a window")
                fields["overlap"] = _number("overlap", "Tokens that neighbouring windows share")
                fields["held_out"] = _slider(
                    "held_out", 0.01, info="Share of the passages, for calibration"
                )
                fields["evaluate_every"] = _number(
                    "evaluate_every", "Steps between scores; 0 for each epoch's end"
                )
                fields["dev_questions"] = _number(
                    "dev_questions", "That those scores are of; 0 for all"
                )
                fields["who"] = gr.Textbox("", label="Who submits", max_lines=1)
            with gr.Accordion("Learn from other readers", open=False):
                fields["teachers"] = gr.Dropdown(
                    [], value=[], multiselect=True, label="Teachers", elem_id="at-tune-teachers"
                )
                fields["distill"] = _slider(
                    "distill", 0.05, info="How much they count against the data's own answers"
                )
                fields["temperature"] = _number("temperature", "Of what they say")
    return Tuning(Form(FinetuneRequest, fields), start, stop, progress, curves, gr.State(""))


def _slider(name: str, step: float, **more: Any) -> gr.Slider:
    """A slider over what is useful, where all that is allowed could not be set finely."""
    if "minimum" not in more or "maximum" not in more:
        low, high = limits(name, FinetuneRequest)
        more = {"minimum": low, "maximum": high, **more}
    default = FinetuneRequest.model_fields[name].default
    return gr.Slider(value=default, step=step, label=label(name), **more)


def _number(name: str, info: str) -> gr.Number:
    default = FinetuneRequest.model_fields[name].default
    return gr.Number(default, label=label(name), info=info)


def _data(label: str, **more: Any) -> gr.Dropdown:
    return gr.Dropdown(more.pop("choices", []), value=None, label=label, **more)


class TuningHandlers:
    """What the panel's controls do. Everybody sees and may stop what is trained."""

    def __init__(self, services: Services, view: Tuning):
        self._services = services
        self._queue = services.queue
        self._view = view

    def lists(self) -> list[gr.Dropdown]:
        """The models and data sets of today; what is chosen stays."""
        shelf, names = self._services.readers.entries(), self._services.data_sets.names()
        return [
            gr.Dropdown([each.id for each in shelf]),
            gr.Dropdown(names),
            gr.Dropdown([("nothing", ""), *((name, name) for name in names)]),
            gr.Dropdown([each.id for each in shelf if not each.problem]),
        ]

    def start(self, values: Values) -> str:
        """Put a training into the queue and return its id."""
        with in_words("Not begun"):
            for name, what in (("base", "what to begin with"), ("train", "a data set")):
                if not values[self._view.form.fields[name]]:
                    raise AtelierError(f"Choose {what} first.")
            dev = self._view.form.fields["dev"]
            return self._queue.submit(self._view.form.request({**values, dev: values[dev] or ""}))

    def follow(self, own: str = "") -> Iterator[dict[Any, Any]]:
        """How far the trainings are, one after the other, with their curves."""
        view = self._view
        for job in going.each_job(self._queue, _KINDS, own):
            asked = self._queue.request(job)
            assert isinstance(asked, FinetuneRequest)
            yield from self._followed(job.id, asked.name)
        yield {view.progress: "", view.stop: gr.Button(visible=False)}

    def _followed(self, job_id: str, name: str) -> Iterator[dict[Any, Any]]:
        view, curves, title = self._view, Curves(), html.escape(name)
        for event in self._queue.follow(job_id):
            if isinstance(event, Measured):
                curves.add(event)
                yield {view.curves: _shown(title, curves)}
            elif isinstance(event, Notice):
                gr.Info(html.escape(event.text), title=title, duration=10)
            elif isinstance(event, Failed):
                gr.Warning(html.escape(event.reason), title="Not trained", duration=30)
            elif isinstance(event, Finished):
                row = self._services.leaderboard.of_job(job_id)
                scores = tiles(row.scores) if row else ""
                gr.Info(f"{title} can be asked now.", title="Trained", duration=10)
                yield {view.curves: _shown(title, curves, scores)}
            elif event is not None and not isinstance(event, Stopped):
                yield {view.progress: progress_line(event), view.stop: gr.Button(visible=True)}

    def stop(self) -> None:
        """Stop a training; its last checkpoint stays, so that the same press goes on with it."""
        with in_words():
            going.stop(self._queue, _KINDS)


def _shown(title: str, curves: Curves, scores: str = "") -> str:
    return f'<div class="at-reading"><h4>{title}</h4>{scores}{curves.plots()}</div>'


def wire(view: Tuning, services: Services, tab: gr.Tab) -> TuningHandlers:
    """Connect the controls."""
    handlers = TuningHandlers(services, view)
    following: dict[str, Any] = {
        "outputs": [view.progress, view.curves, view.stop],
        "concurrency_limit": None,
        "trigger_mode": "always_last",
        **QUIET,
    }
    names = ("base", "train", "dev", "teachers")
    lists = (handlers.lists, None, [view.form.fields[name] for name in names])
    view.start.click(handlers.start, {*view.form.inputs}, [view.asked], **QUIET).success(
        handlers.follow, [view.asked], **following
    ).then(*lists, **QUIET)
    view.stop.click(handlers.stop, None, None, **QUIET)
    tab.select(*lists, **QUIET)
    tab.select(handlers.follow, None, **following)
    return handlers
