"""Predictions that tests make themselves, always the same, for any data set."""

import hashlib
from pathlib import Path

from studio.reader.predictions import Predictions, read_na_probs, read_predictions
from studio.reader.squad import Squad


def published(folder: Path, system: str, with_na_probs: bool = False) -> Predictions:
    """The predictions of a system that the authors of SQuAD published."""
    texts = read_predictions(folder / "predictions" / f"{system}.json.gz")
    na_probs = folder / "predictions" / f"{system}.na_prob.json.gz"
    return Predictions(texts, read_na_probs(na_probs) if with_na_probs else None)


def byte(text: str, place: int = 0) -> int:
    """A number from 0 to 255 that is always the same for a text."""
    return hashlib.sha256(text.encode()).digest()[place]


def weak(squad: Squad, with_na_probs: bool = False) -> Predictions:
    """A weak reader: right, wrong, too long, too short or silent, as the id has it.

    Its no-answer probabilities say a little, are mostly tied, and stand in an order of their own.
    """
    texts, na_probs = {}, {}
    for asked in squad.asked():
        question = asked.question
        golds = question.answers or question.plausible
        text = golds[byte(question.id, 1) % len(golds)].text if golds else ""
        kinds = (text, f"The {text}!", " ".join(text.split()[:2]), f"{text} and more", "")
        texts[question.id] = kinds[byte(question.id) % len(kinds)]
        na_probs[question.id] = (byte(question.id, 2) // 32 + 4 * (not question.answers)) / 12
    order = sorted(texts, key=lambda each: byte(each, 3))
    return Predictions(texts, {each: na_probs[each] for each in order} if with_na_probs else None)


def silent(squad: Squad, with_na_probs: bool = False) -> Predictions:
    """A reader that never answers."""
    ids = [asked.question.id for asked in squad.asked()]
    return Predictions(dict.fromkeys(ids, ""), dict.fromkeys(ids, 0.75) if with_na_probs else None)
