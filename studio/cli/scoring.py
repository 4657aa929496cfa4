"""The commands about scores: what predictions earn, and who earned most."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from studio.cli.asking import PrecisionName
from studio.cli.options import DataDir, Device
from studio.cli.running import opened, run_job
from studio.errors import RequestError
from studio.events import Finished
from studio.reader.leaderboard import Entry, Leaderboard, Standing, data_set_name
from studio.reader.metrics import THRESHOLD, Scores, scores
from studio.reader.predictions import Predictions, read_na_probs, read_predictions
from studio.reader.squad import read_squad
from studio.reader_requests import EvaluateRequest, Precision
from studio.requests import validated
from studio.services import Services


def evaluate(  # noqa: PLR0913 - a command's options are its layout
    data: Annotated[Path, typer.Option(help="The data set, a SQuAD file.")],
    predictions: Annotated[Path | None, typer.Option(help="The official form: {id: text}.")] = None,
    model: Annotated[
        str | None, typer.Option(help='Instead of predictions a reader; "" for the first.')
    ] = None,
    na_prob: Annotated[
        Path | None, typer.Option(help="No-answer probabilities: {id: number}.")
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(help="A higher no-answer probability means no answer; a reader has its own."),
    ] = None,
    precision: PrecisionName = Precision.AUTO.value,
    submit: Annotated[
        str, typer.Option(metavar="MODEL", help="Put it on the leaderboard under this name.")
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print the official JSON.")] = False,
    data_dir: DataDir = None,
    device: Device = None,
) -> None:
    """Score predictions, or a reader, as the official SQuAD script does."""
    if (predictions is None) == (model is None):
        raise RequestError("Name either --predictions or a --model, not both and not neither.")
    if model is not None and (na_prob is not None or submit):
        raise RequestError(
            "--na-prob and --submit go with --predictions: a reader has its own probabilities and "
            "stands on the leaderboard under its own name."
        )
    squad = read_squad(data)
    if predictions is None:
        fields = {"reader": model, "threshold": threshold, "precision": precision}
        with opened(data_dir, device) as services:
            scored = _read(services, data, fields)
        print(json.dumps(scored.official(), indent=2) if as_json else _table(scored))
        return
    threshold = THRESHOLD if threshold is None else threshold
    na_probs = None if na_prob is None else read_na_probs(na_prob)
    made = Predictions(read_predictions(predictions), na_probs)
    if submit:
        with _leaderboard(data_dir) as leaderboard:
            entry = Entry(model=submit, data_set=data_set_name(data.name))
            row = leaderboard.submit(entry, squad, made, threshold)
            scored = leaderboard.scores(row.id, squad)
    else:
        scored = scores(squad, made, threshold)
    print(json.dumps(scored.official(), indent=2) if as_json else _table(scored))


def leaderboard(
    data_set: Annotated[str, typer.Option(help="Only this data set.")] = "",
    history: Annotated[bool, typer.Option(help="Every submission, not only the best.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    data_dir: DataDir = None,
) -> None:
    """List the submissions, best first."""
    with _leaderboard(data_dir) as board:
        names = list(dict.fromkeys(each.name for each in board.data_sets()))
        wanted = [data_set] if data_set else names
        ranked = {name: board.ranked(name, history) for name in wanted}
    if as_json:
        print(
            json.dumps({name: [_told(line) for line in ranked[name]] for name in wanted}, indent=2)
        )
        return
    if not any(ranked.values()):
        told = f"; there are some on {', '.join(names)}" if data_set and names else ""
        print(f"There are no submissions{f' on {data_set}' if data_set else ''}{told}.")
        return
    for name, lines in ranked.items():
        print(f"{name}\n{'':>4} {'F1':>7} {'EM':>7}  id")
        for line in lines:
            print(_line(line))


@contextmanager
def _leaderboard(data_dir: str | None) -> Iterator[Leaderboard]:
    with opened(data_dir) as services:
        yield services.leaderboard


def _read(services: Services, data: Path, fields: dict[str, Any]) -> Scores:
    """A reader's scores, which the leaderboard gets too."""
    name = services.data_sets.add(data.read_bytes(), data.name)
    request = validated(EvaluateRequest, {**fields, "data_set": name})
    ids: list[str] = []
    ended = run_job(services, services.scorer.runner, request, on_id=ids.append)
    row = services.leaderboard.of_job(ids[0])
    if not isinstance(ended, Finished) or row is None:
        raise typer.Exit(1)
    return services.leaderboard.scores(row.id, services.data_sets.get(name))


def _table(scored: Scores) -> str:
    """The scores for people: a line for each sort of question, then what thresholds make of it."""
    lines = [f"{'':22} {'EM':>7} {'F1':>7} {'questions':>10}"]
    for name, score in (
        ("all questions", scored.all),
        ("with an answer", scored.has_answer),
        ("without an answer", scored.no_answer),
    ):
        if score is not None:
            lines.append(f"{name:22} {score.exact:7.2f} {score.f1:7.2f} {score.total:10,}")
    if scored.ranked is not None:
        for name, best in (("EM", scored.ranked.best_exact), ("F1", scored.ranked.best_f1)):
            lines.append(f"best {name} of any threshold: {best.score:.2f} at {best.threshold:.6g}")
        for name, curve in (
            ("EM", scored.ranked.exact),
            ("F1", scored.ranked.f1),
            ("answerability alone", scored.ranked.oracle),
        ):
            if curve is not None:
                lines.append(f"average precision, {name}: {curve.average:.2f}")
    return "\n".join(lines)


def _line(line: Standing) -> str:
    row = line.submission
    note = f"  ({line.note})" if line.note else ""
    if row is None:
        return f"{'':>4} {line.f1:7.2f} {line.exact:7.2f}  -     {line.name}{note}"
    day = time.strftime("%Y-%m-%d", time.localtime(row.created_at))
    return f"{line.rank:>4} {line.f1:7.2f} {line.exact:7.2f}  {row.id:<4}  {line.name}{note}  {day}"


def _told(line: Standing) -> dict[str, Any]:
    told: dict[str, Any] = {
        "rank": line.rank,
        "name": line.name,
        "f1": line.f1,
        "exact": line.exact,
    }
    return told | {
        "note": line.note,
        "submission": None if line.submission is None else asdict(line.submission),
    }
