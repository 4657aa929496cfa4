"""Training and held-out sets, with made questions, out of train-open.json.gz."""

import hashlib
import json
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

from studio.reader.negatives.harmless import with_harmless
from studio.reader.negatives.make import make_negatives
from studio.reader.negatives.table import MIX
from studio.reader.squad import Article, Squad, read_squad, squad_json
from training.reader.passages import cut, joined
from training.reader.sources import SOURCES, source
from training.reader.workshop import workshop

IN_DOMAIN = ("squad", "new_wiki", "qed")
"""Questions on Wikipedia, as those of SQuAD are: all of them are used, and some held out."""
HELD_OUT = 0.05
"""Share of the questions of each part that is held out, by whole articles."""
HELD_OUT_MIX = {rule: part for rule, part in MIX.items() if rule not in ("elsewhere", "without")}
"""Held out are only questions with a plausible answer in their passage, as people were asked to
write them: a threshold that is fitted on easier ones lets too many answers through."""


@dataclass(frozen=True)
class Portions:
    """What a training set is made of.

    cut: share of passages that are cut to `most` characters. qamr: questions of each sentence,
    `sentences` of which make a passage. reviews: questions of each Amazon or Reddit passage.
    unanswerable, edited: shares of made and of harmlessly edited questions. passes: how often all
    of this is made, each time with other cuts, questions and edits.
    """

    cut: float = 0.75
    most: int = 420
    qamr: int = 0
    sentences: int = 3
    reviews: int = 0
    unanswerable: float = 0.45
    edited: float = 0.3
    passes: int = 1


SETS = {
    "short": Portions(),
    "long": Portions(cut=0.6, most=450, qamr=6, reviews=1, unanswerable=0.5),
    "full": Portions(cut=0.6, most=450, qamr=6, reviews=100, unanswerable=0.5, passes=2),
}


def make(pack: Path, name: str, seed: int) -> None:
    """Write NAME.json to train on and held-out.json, which is the same for every name."""
    parts: dict[str, list[Article]] = {each: [] for each in SOURCES}
    for article in read_squad(pack).articles:
        parts[source(article)].append(article)
    away: list[Article] = []
    for each in IN_DOMAIN:
        titles = held_out(parts[each])
        away += [article for article in parts[each] if article.title in titles]
        parts[each] = [article for article in parts[each] if article.title not in titles]
    write(make_negatives(Squad(tuple(away)), 0.5, HELD_OUT_MIX, seed=1), "held-out")
    write(training(parts, SETS[name], seed), name)


def training(parts: dict[str, list[Article]], portions: Portions, seed: int) -> Squad:
    """The training set of these portions."""
    passes = [_one_pass(parts, portions, seed + at) for at in range(portions.passes)]
    return Squad(
        tuple(
            _renamed(article, f"{at}-" if at else "")
            for at, squad in enumerate(passes)
            for article in squad.articles
        )
    )


def _one_pass(parts: dict[str, list[Article]], portions: Portions, seed: int) -> Squad:
    random = Random(seed)
    articles = [
        cut(article, portions.most, portions.cut, random)
        for each in IN_DOMAIN
        for article in parts[each]
    ]
    if portions.qamr:
        articles.append(joined(parts["qamr"], portions.sentences, portions.qamr, random))
    if portions.reviews:
        articles += [
            cut(_some(article, portions.reviews, random), portions.most, portions.cut, random)
            for each in ("amazon", "reddit")
            for article in parts[each]
        ]
    squad = make_negatives(Squad(tuple(articles)), portions.unanswerable, seed=seed)
    return with_harmless(squad, portions.edited, seed)


def _renamed(article: Article, prefix: str) -> Article:
    """The article with ids that no other pass has."""
    paragraphs = tuple(
        replace(paragraph, questions=tuple(
            replace(question, id=prefix + question.id) for question in paragraph.questions
        ))
        for paragraph in article.paragraphs
    )  # fmt: skip
    return replace(article, paragraphs=paragraphs)


def held_out(articles: list[Article]) -> set[str]:
    """Titles of a few articles, chosen by their hashes, that have `HELD_OUT` of all questions."""
    wanted = HELD_OUT * sum(_questions(article) for article in articles)
    titles: set[str] = set()
    for article in sorted(articles, key=lambda each: hashlib.sha256(each.title.encode()).digest()):
        if wanted <= 0:
            break
        titles.add(article.title)
        wanted -= _questions(article)
    return titles


def write(squad: Squad, name: str) -> None:
    """Write a set and say what is in it."""
    path = workshop() / f"{name}.json"
    path.write_text(json.dumps(squad_json(squad), ensure_ascii=False), encoding="utf-8")
    count: Counter[str] = Counter()
    for asked in squad.asked():
        rule = asked.question.id.partition("~")[2] or "as asked"
        count["no answer" if not asked.question.has_answer else "answer"] += 1
        count[rule] += 1
    print(path, dict(count.most_common()))


def _questions(article: Article) -> int:
    return sum(len(paragraph.questions) for paragraph in article.paragraphs)


def _some(article: Article, most: int, random: Random) -> Article:
    paragraphs = [
        replace(paragraph, questions=tuple(
            random.sample(paragraph.questions, min(most, len(paragraph.questions)))
        ))
        for paragraph in article.paragraphs
    ]  # fmt: skip
    return replace(article, paragraphs=tuple(paragraphs))
