"""Named endpoints for programs that use gradio_client: what a page's controls do, without a page.

Files go through hidden components, for these alone check that a client's path is an upload of its
own.
"""

from pathlib import Path
from typing import Any

import gradio as gr

from studio.errors import AtelierError
from studio.events import Failed, Stopped
from studio.reader.answering import at_most
from studio.reader.documents import pasted, read_document
from studio.reader.metrics import THRESHOLD, scores
from studio.reader.predictions import Predictions, read_na_probs, read_predictions
from studio.reader.squad import read_squad
from studio.reader_requests import AskRequest, EvaluateRequest
from studio.requests import validated
from studio.services import Services
from tabs.blocks.ask import PATIENCE
from tabs.blocks.maker import in_words


def build(services: Services) -> None:
    """Add the endpoints to the page that is being built."""

    def reader_answer(
        question: str,
        text: str = "",
        file: str | None = None,
        reader: str = "",
        threshold: float | None = None,
        answers: float = 5,
    ) -> dict[str, Any]:
        """The answer to a question on a text or a file (.txt, .md, .pdf, .docx)."""
        with in_words("Not answered"):
            fields = {
                "question": question,
                "reader": reader or "",
                "threshold": threshold,
                "answers": answers,
            }
            request = validated(AskRequest, fields)
            document = read_document(Path(file)) if file else pasted(text or "")
            found = services.answering.ask(document, request, on_wait=at_most(PATIENCE))
        best = found.best
        return {
            "answer": best.text if best else "",
            "probability": found.probability,
            "threshold": found.threshold,
            "reader": found.reader,
            "answers": [
                {
                    "text": each.text,
                    "probability": each.probability,
                    "start": each.start,
                    "end": each.end,
                    "place": each.place,
                }
                for each in found.answers
            ],
        }

    def reader_evaluate(
        data: str,
        predictions: str | None = None,
        na_prob: str | None = None,
        threshold: float | None = None,
        reader: str = "",
    ) -> dict[str, float]:
        """The official scores of a predictions file, or of a reader, on a SQuAD file."""
        with in_words("Not scored"):
            if not data:
                raise AtelierError("Send the data set, a SQuAD file, as data.")
            if predictions:
                made = Predictions(
                    read_predictions(Path(predictions)),
                    read_na_probs(Path(na_prob)) if na_prob else None,
                )
                at = THRESHOLD if threshold is None else threshold
                return scores(read_squad(Path(data)), made, at).official()
            return _evaluated(services, Path(data), reader or "", threshold)

    with gr.Row(visible=False):
        question = gr.Textbox(label="question")
        text, reader = (gr.Textbox("", label=name) for name in ("text", "reader"))
        file, data, predictions, na_prob = (
            gr.File(label=name) for name in ("file", "data", "predictions", "na_prob")
        )
        threshold, answers = gr.Number(None, label="threshold"), gr.Number(5, label="answers")
        told = gr.JSON()
        ask, evaluate = gr.Button(), gr.Button()
    ask.click(
        reader_answer,
        [question, text, file, reader, threshold, answers],
        [told],
        api_name="reader_answer",
        concurrency_limit=None,
    )
    evaluate.click(
        reader_evaluate,
        [data, predictions, na_prob, threshold, reader],
        [told],
        api_name="reader_evaluate",
        concurrency_limit=None,
    )


def _evaluated(
    services: Services, data: Path, reader: str, threshold: float | None
) -> dict[str, float]:
    """A reader's scores by a job, which goes on and is kept also when the client is gone."""
    name = services.data_sets.add(data.read_bytes(), data.name)
    fields = {"data_set": name, "reader": reader, "threshold": threshold, "precision": "full"}
    job_id = services.queue.submit(validated(EvaluateRequest, fields))
    for event in services.queue.follow(job_id):
        if isinstance(event, Failed):
            raise AtelierError(event.reason)
        if isinstance(event, Stopped):
            raise AtelierError(f"The evaluation was {event.status}; ask for it again.")
    row = services.leaderboard.of_job(job_id)
    assert row is not None
    return row.scores
