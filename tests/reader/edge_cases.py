"""Small data sets with predictions, each at an edge of the official scoring."""

from dataclasses import dataclass
from typing import Any

from studio.reader.predictions import Predictions


@dataclass(frozen=True)
class Edge:
    """rows: (id, gold answers, prediction, no-answer probability); None for no probabilities.

    order: ids in the order of the probabilities' file, "" for the order of the rows.
    """

    rows: tuple[tuple[str, list[str], str, float | None], ...]
    threshold: float = 1.0
    order: str = ""

    def squad(self) -> dict[str, Any]:
        qas = [
            {
                "id": key,
                "question": "?",
                "answers": [{"text": gold, "answer_start": 0} for gold in golds],
                "is_impossible": not golds,
            }
            for key, golds, _, _ in self.rows
        ]
        return {"version": "v2.0", "data": [{"title": "", "paragraphs": [_paragraph(qas)]}]}

    def predictions(self) -> Predictions:
        texts = {key: text for key, _, text, _ in self.rows}
        na_probs = {key: prob for key, _, _, prob in self.rows if prob is not None}
        order = self.order or na_probs
        return Predictions(texts, {key: na_probs[key] for key in order} if na_probs else None)


def _paragraph(qas: list[dict[str, Any]]) -> dict[str, Any]:
    return {"context": "A passage.", "qas": qas}


_TIED = (
    ("a", ["x"], "x", 0.5),
    ("b", [], "y", 0.5),
    ("c", [], "z", 0.5),
    ("d", ["w"], "w", 0.5),
    ("e", ["v"], "v", 0.9),
    ("f", [], "", 0.2),
)

EDGES: dict[str, Edge] = {
    "ties, answerable first": Edge(_TIED, 0.5, "adbcef"),
    "ties, answerable last": Edge(_TIED, 0.49, "fbcade"),
    "golds that normalise to nothing": Edge(
        (
            ("a", ["the", "A", "!?"], "", 0.3),
            ("b", ["the"], "an", 0.4),
            ("c", ["...", "cat"], "the", 0.5),
            ("d", ["a", "The cat"], "cat.", 0.6),
            ("e", ["the"], "cat", 0.7),
        ),
        0.55,
    ),
    "predictions that normalise to nothing": Edge(
        (
            ("a", [], "The", 0.1),
            ("b", [], "  ?!", 0.2),
            ("c", [], " ", 0.3),
            ("d", ["dog"], "a", 0.4),
            ("e", [], "", 0.5),
        ),
    ),
    "an article where there is no answer": Edge((("a", [], "The", 0.1), ("b", ["x"], "x", 0.2))),
    "Unicode": Edge(
        (
            ("a", ["“quoted”"], "quoted", None),
            ("b", ["twenty—one"], "twenty-one", None),
            ("c", ["a\u0301 la carte"], "\u00e1 la carte", None),
            ("d", ["a\u0301 la carte"], "la carte", None),
            ("e", ["İstanbul"], "i̇stanbul", None),
            ("f", ["STRASSE"], "straße", None),
            ("g", ["no\u00a0break\u2003space"], "no break space", None),
            ("h", ["zero\u200bwidth"], "zerowidth", None),
            ("i", ["كِتَاب جديد"], "كِتَاب", None),
            ("j", ["👩‍🔬 at work"], "👩 at work", None),
            ("k", ["ﬁne"], "fine", None),
            ("l", ["$1,000.50"], "100050", None),
            ("m", ["l'été"], "lété", None),
            ("n", ["an—other"], "other", None),
        ),
    ),
    "words that are repeated": Edge(
        (
            ("a", ["New New York York"], "new york new", None),
            ("b", ["a b a b"], "b b b", None),
            ("c", ["one two three", "three"], "three two", None),
            ("d", ["one two three four five six seven"], "two four six", None),
        ),
    ),
    "at the threshold": Edge(
        (
            ("a", ["x"], "x", 0.6),
            ("b", ["x"], "x", 0.6000000000000001),
            ("c", [], "y", 0.6),
            ("d", [], "y", 0.6000000000000001),
        ),
        0.6,
    ),
    "below zero without probabilities": Edge((("a", ["x"], "x", None), ("b", [], "y", None)), -1.0),
    "whole numbers as probabilities": Edge(
        (("a", ["x"], "x", 1), ("b", [], "y", 3), ("c", ["z"], "z", -2), ("d", [], "", 0)), 2.0
    ),
    "all answerable": Edge((("a", ["x y"], "x", 0.1), ("b", ["z"], "", 0.9), ("c", ["q"], "q", 0))),
    "none answerable": Edge((("a", [], "x", 0.1), ("b", [], "", 0.9), ("c", [], "", 0.95))),
    "one id twice": Edge((("a", ["x"], "x", 0.2), ("b", [], "", 0.7), ("a", [], "x", 0.2))),
}
