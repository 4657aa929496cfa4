"""The parts of train-open.json.gz, told apart by how their ids and titles are written."""

import re

from studio.reader.squad import Article

SOURCES = ("squad", "new_wiki", "qed", "qamr", "amazon", "reddit", "policy")
"""SQuAD 1.1 dev and Beyoncé; SQuADShifts' Wikipedia, Amazon and Reddit; QED; QAMR; PolicyQA."""


def source(article: Article) -> str:
    """Which part an article is of."""
    first = next((q.id for p in article.paragraphs for q in p.questions), "")
    if first.startswith(("qamr", "qed")):
        return first.rstrip("0123456789-").partition("-")[0]
    if article.title.startswith("Amazon_Reviews"):
        return "amazon"
    if article.title.startswith("Filtered_Reddit"):
        return "reddit"
    if re.fullmatch(r"5[0-9a-f]{23}", first):
        return "new_wiki" if first.startswith("5d") else "squad"
    return "policy"
