"""Training questions that are kept aside, to fit on them how sure the finished reader is."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from studio.models.readers import load_reader
from studio.reader.answerability import write_answerability
from studio.reader.evaluation import calibrated, evenly, predicted
from studio.reader.reading import reader_of
from studio.reader.squad import Article, Squad

_MOST = 4000
"""Held-out questions that are read; more tell three numbers no better."""


def split(squad: Squad, share: float, seed: int) -> tuple[Squad, Squad]:
    """What is learnt from, and what is held out: about this share of the passages.

    Whether a passage is held out follows from its text and the seed, so that equal ones stay
    together, however the file is ordered.
    """
    if not share:
        return squad, Squad((), squad.version)

    def is_out(context: str) -> bool:
        digest = hashlib.sha256(f"{seed}\0{context}".encode("utf-8", "surrogatepass")).digest()
        return int.from_bytes(digest[:8], "big") < share * 2**64

    def part(out: bool, name: str) -> Squad:
        articles = tuple(
            _part(article, lambda each: is_out(each) is out) for article in squad.articles
        )
        told = hashlib.sha256(f"{squad.sha256} {share} {seed} {name}".encode()).hexdigest()
        return replace(squad, articles=articles, sha256=told)

    return part(False, "kept"), part(True, "held out")


def calibrate(
    folder: Path, held: Squad, device: Any, on_done: Callable[[int, int], object]
) -> dict[str, float] | None:
    """Fit a reader's probabilities on held-out questions and store them in its folder.

    Returns temperature, offset, threshold and the number of questions; None where they cannot be
    fitted, because all of the questions, or none, have answers.
    """
    asked = evenly(held, _MOST)
    answerable = sum(each.question.has_answer for each in asked)
    if not 0 < answerable < len(asked):
        return None
    loaded = load_reader(folder)
    loaded.network.to(device)
    fitted = calibrated(asked, predicted(reader_of(loaded), asked, on_done=on_done))
    write_answerability(folder, fitted)
    return {
        "temperature": fitted.temperature,
        "offset": fitted.offset,
        "threshold": fitted.threshold,
        "questions": len(asked),
    }


def _part(article: Article, wanted: Callable[[str], bool]) -> Article:
    return replace(
        article, paragraphs=tuple(each for each in article.paragraphs if wanted(each.context))
    )
