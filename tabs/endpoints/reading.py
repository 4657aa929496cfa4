"""Named endpoints of the reader: questions on texts and files, and official scores."""

from pathlib import Path
from typing import Any

import gradio as gr

from studio.errors import AtelierError
from studio.events import Failed, Stopped
from studio.reader.answering import PATIENCE, at_most
from studio.reader.documents import pasted, read_document
from studio.reader.metrics import THRESHOLD, scores
from studio.reader.predictions import Predictions, read_na_probs, read_predictions
from studio.reader.squad import read_squad
from studio.reader_requests import AskRequest, EvaluateRequest
from studio.requests import validated
from studio.services import Services
from tabs.blocks.maker import in_words
from tabs.endpoints.opening import OPEN


def build(services: Services) -> None:
    """Add them to the page that is being built."""

    def answer(
        question: str,
        text: str = "",
        file: str | None = None,
        reader: str = "",
        threshold: float | None = None,
        answers: float = 5,
    ) -> dict[str, Any]:
        """Answers a question from a text or a file, or says that it has no answer.

        Parameters:
            question: What is asked, as a whole sentence.
            text: That the answer is looked for in.
            file: Instead of the text; .txt, .md, .pdf or .docx.
            reader: Id of the reading model; empty for the first.
            threshold: Probability of "no answer" beyond which that is said, 0 to 1.
            answers: How many are told, the best and its runners-up.
        """
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
        """The official scores of a predictions file, or of a reader, on a SQuAD file.

        Parameters:
            data: The data set, a SQuAD file.
            predictions: Answers by the ids of questions, as the official script takes them.
            na_prob: Probabilities of "no answer", for the predictions.
            threshold: Probability beyond which "no answer" is taken to be said.
            reader: Id of a reading model that answers all questions, without predictions.
        """
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
    asked = [question, text, file, reader, threshold, answers]
    ask.click(answer, asked, [told], api_name="answer", **OPEN)
    scored = [data, predictions, na_prob, threshold, reader]
    evaluate.click(reader_evaluate, scored, [told], api_name="reader_evaluate", **OPEN)


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
