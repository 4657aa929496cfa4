"""A trained reader scored: its threshold fitted on the held-out set, then the official scores."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from studio.models.readers import load_reader
from studio.reader.answerability import Answerability, write_answerability
from studio.reader.evaluation import Predicted, calibrated, evenly, predicted
from studio.reader.metrics import scores
from studio.reader.predictions import Predictions
from studio.reader.reading import Reader, reader_of
from studio.reader.squad import Article, Asked, Paragraph, Squad, read_squad
from training.reader.workshop import workshop

SCORES = "scores.json"


def evaluate(folder: Path, dev: Path | None, questions: int) -> dict[str, Any]:
    """Fit the answerability of the model in a folder, store it there, and score the model.

    dev: a SQuAD file, only to be reported. questions: so many of it, 0 for all.
    """
    reader = reader_in(folder)
    held = list(read_squad(workshop() / "held-out.json").asked())
    found = predicted(reader, held)
    sure = reader.answerability = calibrated(held, found)
    write_answerability(folder, sure)
    found = again(found, sure)
    told: dict[str, Any] = {"answerability": asdict(sure), "held_out": official(held, found, sure)}
    told["held_out_rules"] = by_rule(held, found, sure)
    if dev is not None:
        asked = evenly(read_squad(dev), questions)
        found = predicted(reader, asked)
        told["dev"] = official(asked, found, sure)
        told["seconds"] = round(found.seconds, 1)
    return told


def again(found: Predicted, sure: Answerability) -> Predicted:
    """The same predictions with the probabilities of another calibration."""
    probs = zip(found.na_probs, found.margins, strict=True)
    na_probs = {key: sure.no_answer(float(margin)) for key, margin in probs}
    return Predicted(found.texts, na_probs, found.margins, found.seconds)


def reader_in(folder: Path) -> Reader:
    """The reader of a folder, in float32 on the CPU."""
    return reader_of(load_reader(folder))


def official(asked: Sequence[Asked], found: Predicted, sure: Answerability) -> dict[str, float]:
    """The official keys for these questions, at the stored threshold."""
    squad = Squad(
        tuple(Article(each.title, (Paragraph(each.context, (each.question,)),)) for each in asked)
    )
    predictions = Predictions(found.texts, found.na_probs)
    return scores(squad, predictions, sure.threshold).official()


def by_rule(asked: Sequence[Asked], found: Predicted, sure: Answerability) -> dict[str, float]:
    """Percent of the made questions of each rule that are said to have no answer."""
    right: dict[str, list[bool]] = defaultdict(list)
    for each in asked:
        rule = each.question.id.partition("~")[2]
        if not each.question.has_answer:
            right[rule].append(found.na_probs[each.question.id] > sure.threshold)
    return {rule: round(100 * float(np.mean(said)), 1) for rule, said in sorted(right.items())}
