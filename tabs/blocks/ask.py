"""Questions on a text: what is typed or dropped left, the answer in its passage right."""

import html
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from studio.errors import AtelierError
from studio.reader.answering import PATIENCE, Answered, Found, at_most
from studio.reader.documents import SUFFIXES, Document, pasted, read_document
from studio.reader_requests import AskRequest, Precision
from studio.services import Services
from tabs.blocks.maker import QUIET, in_words
from tabs.forms import Form, Values, slider

_EMPTY = """<div class="at-reading"><div class="at-empty"><strong>The answer, in its place</strong>
Paste a text or drop a file, ask a question, and press Ask. The reader marks the answer in its
passage, says how sure it is that the text answers the question at all, and says so when it does
not.</div></div>"""
_PASTE = "Paste a text"
_AROUND = 700
"""Characters of a passage that are shown on either side of an answer."""
EXAMPLES = (
    (
        "The lighthouse",
        "The lighthouse on Fastnet Rock stands on a small islet off the south-west coast of "
        "Ireland. A first tower of cast iron, lit in 1854, proved too weak for the winter storms, "
        "and its foundation was undermined by the sea. Work on a second tower of Cornish granite "
        "began in 1897. Its 2,047 dovetailed stones were cut and fitted together on land before "
        "they were shipped to the rock. The new lamp was lit on 27 June 1904. The station was run "
        "by keepers until the end of March 1989, when it became automatic.",
        (
            "When was the lamp of the second tower lit?",
            "Why did the first tower have to be replaced?",
            "Who designed the lamp of the second tower?",
        ),
    ),
    (
        "The silk moth",
        "The silk moth has been bred for thousands of years and cannot live in the wild any more. "
        "Its caterpillars eat the leaves of the white mulberry tree and moult four times before "
        "they spin their cocoon, which takes about three days. A cocoon is one thread of raw silk, "
        "300 to 900 metres long. To keep it whole, most pupae are killed with hot air or steam "
        "before the moth can break out. About 2,500 cocoons make a pound of raw silk.",
        (
            "How long is the thread of a cocoon?",
            "What do the caterpillars eat?",
            "Which animals eat silk moths?",
        ),
    ),
)


@dataclass(frozen=True)
class Ask:
    """Components of the panel; `document` keeps what was read of the dropped file."""

    form: Form
    text: gr.Textbox
    file: gr.File
    ask: gr.Button
    examples: gr.Dataset
    answer: gr.HTML
    document: gr.State


def build(services: Services, reader: gr.Dropdown) -> Ask:
    """Lay the panel out; reader: the tab's picker and one of the form's fields."""
    fields: dict[str, Any] = {"reader": reader}
    with gr.Row(elem_classes="at-main"):
        with gr.Column(min_width=0, elem_classes="at-words"):
            reader.render()
            text = gr.Textbox(
                "",
                label="Text",
                placeholder=_PASTE,
                lines=9,
                max_lines=18,
                elem_id="at-reader-text",
            )
            file = gr.File(
                label="or a file (.txt, .md, .pdf, .docx)",
                file_types=list(SUFFIXES),
                file_count="single",
                height=92,
                elem_id="at-reader-file",
            )
            fields["question"] = gr.Textbox(
                "",
                label="Question",
                placeholder="What do you want to know?",
                max_lines=3,
                elem_id="at-reader-question",
            )
            ask = gr.Button(
                "Ask", variant="primary", elem_id="at-reader-run", elem_classes="at-members"
            )
        with gr.Column(min_width=0, elem_classes="at-result"):
            answer = gr.HTML(_EMPTY, padding=False, elem_id="at-reader-answer")
        with gr.Column(min_width=0, elem_classes="at-settings"):
            examples = gr.Dataset(
                components=["textbox"],
                samples=[[question] for _, _, all_ in EXAMPLES for question in all_],
                label="Try one",
                elem_id="at-reader-examples",
            )
            with gr.Accordion("How to read", open=False):
                fields["threshold"] = _slider(
                    "threshold",
                    _threshold(services, reader.value),
                    0.01,
                    label='"No answer" above',
                    info="Probability; each reader has its own",
                )
                fields["answers"] = _slider("answers", 5, 1, label="Answers to show")
                fields["longest"] = _slider("longest", 30, 1, label="Longest answer (tokens)")
                fields["passages"] = _slider(
                    "passages", 12, 1, info="Of a long text, how many are read", label="Passages"
                )
                fields["precision"] = gr.Dropdown(
                    [each.value for each in Precision],
                    value=Precision.FULL.value,
                    label="Precision",
                    info="int8 is faster on a CPU and loses some right answers",
                )
    return Ask(Form(AskRequest, fields), text, file, ask, examples, answer, gr.State(None))


def _slider(field: str, value: float, step: float, **more: Any) -> gr.Slider:
    return slider(field, value, step, AskRequest, **more)


def _threshold(services: Services, reader: str) -> float:
    """The reader's own; of one that cannot be used now the page need not say so yet."""
    try:
        return services.answering.threshold(reader)
    except AtelierError:
        return 0.5


class AskHandlers:
    """What the panel's controls do."""

    def __init__(self, services: Services, view: Ask):
        self._services = services
        self._view = view

    def read_file(self, path: str) -> Iterator[tuple[Document | None, gr.Textbox]]:
        """What a dropped file says; its text is shown only as far as a page can bear.

        What was read before is forgotten first: no question may be answered from another file than
        the one that is shown.
        """
        yield None, gr.Textbox("", placeholder="Reading …", interactive=False)
        try:
            with in_words("Not read"):
                document = read_document(Path(path))
        except gr.Error:
            yield self.forget_file()
            raise
        for notice in document.notices:
            gr.Info(html.escape(notice), duration=8)
        yield document, gr.Textbox(_start(document), placeholder=_PASTE, interactive=False)

    def forget_file(self) -> tuple[None, gr.Textbox]:
        """The box is free for a pasted text again."""
        return None, gr.Textbox("", placeholder=_PASTE, interactive=True)

    def ask(self, values: Values) -> Iterator[str]:
        """The answer as HTML; before it, who has the device."""
        view = self._view
        answering = self._services.answering
        with in_words("Not answered"):
            request = view.form.request(values)
            document = values[view.document] or pasted(str(values[view.text] or ""))
        holders = answering.holders()
        yield _working(f"Waits until {holders[0]} has ended …" if holders else "Reading …")
        with in_words("Not answered"):
            found = answering.ask(document, request, on_wait=at_most(PATIENCE))
        yield shown(found, document)

    def choose_reader(self, reader: str | None) -> float:
        """The reader's own threshold."""
        with in_words():
            return self._services.answering.threshold(reader or "")

    def example(self, event: gr.SelectData) -> tuple[gr.Textbox, str, None, None]:
        """An example's text and question, in the place of a file that was dropped."""
        number = int(event.index) if isinstance(event.index, int) else 0
        pairs = [(text, question) for _, text, all_ in EXAMPLES for question in all_]
        text, question = pairs[number]
        return gr.Textbox(text, interactive=True), question, None, None


def wire(view: Ask, services: Services) -> AskHandlers:
    """Connect the panel's controls."""
    handlers = AskHandlers(services, view)
    question = view.form.fields["question"]
    inputs = {*view.form.inputs, view.text, view.document}
    asking: dict[str, Any] = {
        "inputs": inputs,
        "outputs": [view.answer],
        "concurrency_limit": None,
        "trigger_mode": "once",
        **QUIET,
    }
    view.ask.click(handlers.ask, **asking)
    question.submit(handlers.ask, **asking)
    view.file.upload(handlers.read_file, [view.file], [view.document, view.text], **QUIET)
    view.file.clear(handlers.forget_file, None, [view.document, view.text], **QUIET)
    view.form.fields["reader"].change(
        handlers.choose_reader,
        [view.form.fields["reader"]],
        [view.form.fields["threshold"]],
        **QUIET,
    )
    view.examples.select(
        handlers.example, None, [view.text, question, view.file, view.document], **QUIET
    ).then(handlers.ask, **asking)
    return handlers


def shown(found: Answered, document: Document) -> str:
    """The answer in its passage, how sure it is, and the runners-up."""
    sure = round(100 * found.probability)
    best = found.best
    if best is not None:
        head = f'<p class="at-answer" dir="auto">{html.escape(best.text)}</p>'
    else:
        head = '<p class="at-answer none">No answer in this text</p>'
    says = "that the text answers this" if found.is_calibrated else "by a guess: not calibrated"
    gauge = (
        f'<div class="at-sure"><span class="at-certain"><i style="width:{sure}%"></i>'
        f'<b style="left:{100 * (1 - found.threshold):.0f}%"></b></span>'
        f"<span>{sure}% sure {says}</span></div>"
    )
    place = _passage(best, document) if best else ""
    others = found.answers[1:] if best else found.answers
    title = "Runners-up" if best else "The nearest that it found"
    listed = "".join(_runner(each, document) for each in others)
    rest = f'<h4>{title}</h4><ol class="at-runners">{listed}</ol>' if listed else ""
    read, of = found.passages
    passages = f"{read} of {of} passages" if read < of else f"{of} passage{'s' * (of != 1)}"
    foot = f"{html.escape(found.reader)} · {passages} · {_seconds(found.seconds)}"
    asked = f'<p class="at-asked" dir="auto">{html.escape(found.question)}</p>'
    return (
        f'<div class="at-reading">{asked}{head}{gauge}{place}{rest}'
        f'<p class="at-foot">{foot}</p></div>'
    )


def _runner(found: Found, document: Document) -> str:
    percent = 100 * found.probability
    return (
        f'<li><details><summary><span class="at-share"><i style="width:{percent:.0f}%"></i></span>'
        f'<span dir="auto">{html.escape(found.text)}</span><em>{percent:.0f}%</em></summary>'
        f"{_passage(found, document)}</details></li>"
    )


def _passage(found: Found, document: Document) -> str:
    """The answer's surroundings, with the answer marked."""
    passage = document.passages[found.passage]
    first, last = max(passage.start, found.start - _AROUND), min(passage.end, found.end + _AROUND)
    before = ("… " if first > passage.start else "") + document.text[first : found.start]
    after = document.text[found.end : last] + (" …" if last < passage.end else "")
    return (
        f'<blockquote class="at-passage" dir="auto">{html.escape(before)}'
        f"<mark>{html.escape(found.text)}</mark>{html.escape(after)}"
        f"<footer>{html.escape(found.place)}</footer></blockquote>"
    )


def _working(text: str) -> str:
    return f'<div class="at-reading"><div class="at-empty">{html.escape(text)}</div></div>'


def _seconds(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def _start(document: Document, most: int = 20_000) -> str:
    text = document.text
    return text if len(text) <= most else f"{text[:most]}\n… ({len(text):,} characters in all)"
