"""The command that reads: a question on a file."""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from studio.cli.options import DataDir, Device
from studio.cli.running import opened
from studio.models.broker import Lease
from studio.reader.answering import Answered
from studio.reader.documents import Document, read_document, read_text
from studio.reader.layout import LIMITS
from studio.reader_requests import AskRequest, Precision
from studio.requests import validated

Reader = Annotated[str, typer.Option(help="Id of the reader; see `atelier models`.")]
PrecisionName = Annotated[str, typer.Option("--precision", help=", ".join(Precision))]
Longest = Annotated[int, typer.Option(help="Tokens of an answer, 1 to 200.")]


def ask(  # noqa: PLR0913 - a command's options are its layout
    file: Annotated[str, typer.Argument(help="A .txt, .md, .pdf or .docx file; - reads a text.")],
    question: Annotated[str, typer.Argument(help="What you want to know.")],
    reader: Reader = "",
    answers: Annotated[int, typer.Option(help="How many are told, 1 to 20.")] = 1,
    passages: Annotated[int, typer.Option(help="Of a long text, how many are read.")] = 12,
    longest: Longest = 30,
    threshold: Annotated[
        float | None,
        typer.Option(help='Probability of "no answer" above which that is said.'),
    ] = None,
    precision: PrecisionName = Precision.AUTO.value,
    as_json: Annotated[bool, typer.Option("--json", help="Print all that was found.")] = False,
    data_dir: DataDir = None,
    device: Device = None,
) -> None:
    """Answer a question from a file: the answer, its probability and its place, or "no answer"."""
    fields = {
        "question": question,
        "reader": reader,
        "answers": answers,
        "passages": passages,
        "longest": longest,
        "threshold": threshold,
        "precision": precision,
    }
    request = validated(AskRequest, fields)
    document = _given() if file == "-" else read_document(Path(file))
    for notice in document.notices:
        print(notice, file=sys.stderr)

    def on_wait(held: list[Lease]) -> None:
        print(f"Waits for {held[0].holder.title} …", file=sys.stderr)

    with opened(data_dir, device) as services:
        found = services.answering.ask(document, request, on_wait=on_wait)
    print(json.dumps(asdict(found), ensure_ascii=False, indent=2) if as_json else _told(found))


def _given() -> Document:
    """What stands on standard input, in whatever encoding."""
    return read_text(sys.stdin.buffer.read(LIMITS.bytes + 1), "The text")


def _told(found: Answered) -> str:
    """The answers, one a line, with probability and place."""
    lines = [
        f"{each.text}  ({100 * each.probability:.0f}%, {each.place})" for each in found.answers
    ]
    if found.best is not None:
        return "\n".join(lines)
    sure = 100 * (1 - found.probability)
    nearest = lines if len(lines) > 1 else []
    return "\n".join([f"no answer ({sure:.0f}% sure that there is none)", *nearest])
