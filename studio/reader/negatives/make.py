"""Sets with unanswerable questions, made of sets without; the same seed makes the same set."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from random import Random

from studio.errors import RequestError
from studio.reader.negatives.around import Around, Retrieval, Vocabulary
from studio.reader.negatives.case import Case, Edit
from studio.reader.negatives.table import MIX, RULES
from studio.reader.squad import Article, Paragraph, Question, Squad

MARK = "~"
"""Stands between the original's id and the rule's name in the id of a made question."""


@dataclass(frozen=True, slots=True)
class Made:
    """A made question, the place of its original, and the rule that made it."""

    article: int
    paragraph: int
    rule: str
    original: Question
    edit: Edit

    def question(self) -> Question:
        """As it stands in a set."""
        edit = self.edit
        return Question(
            f"{self.original.id}{MARK}{self.rule}",
            edit.question,
            plausible=(edit.plausible,) if edit.plausible else (),
            is_impossible=True,
        )


def make_negatives(
    squad: Squad, share: float = 0.5, mix: Mapping[str, float] = MIX, seed: int = 0
) -> Squad:
    """The set with made questions that have no answer, so that they are `share` of all.

    mix: how much of what is made each rule of the table makes, in any unit; where a rule finds
    too few questions that it can edit, the others make up for it. Raises RequestError for a share
    that is not from 0 to below 1 and for rules that are not in the table.
    """
    _check(share, mix)
    answerable = sum(asked.question.has_answer for asked in squad.asked())
    wanted = round(answerable * share / (1 - share))
    return _with(squad, list(made_of(squad, wanted, mix, seed)))


def made_of(squad: Squad, wanted: int, mix: Mapping[str, float], seed: int) -> Iterator[Made]:
    """So many made questions, or as many as the rules can make; each rule once a question."""
    order = list(cases(squad))
    Random(f"{seed} order").shuffle(order)
    quota = {rule: wanted * part / sum(mix.values()) for rule, part in mix.items() if part > 0}
    count: Counter[str] = Counter()
    used: set[tuple[str, str]] = set()
    for strict in (True, True, False, False):
        for article, paragraph, case in order:
            if count.total() >= wanted:
                return
            random = Random(f"{seed} {case.question.id} {len(used)}")
            for rule in _order(quota, count, strict, random):
                if (case.question.id, rule) in used:
                    continue
                used.add((case.question.id, rule))
                edit = RULES[rule](case, random)
                if edit:
                    count[rule] += 1
                    yield Made(article, paragraph, rule, case.question, edit)
                    break


def _order(
    quota: Mapping[str, float], count: Counter[str], strict: bool, random: Random
) -> list[str]:
    """The rules in the order to try them: those first that are far behind their share."""
    behind = {rule: max(0.0, 1 - count[rule] / part) for rule, part in quota.items() if part}
    rules = [rule for rule in quota if behind[rule] > 0 or not strict]
    # A rule that seldom applies falls behind and then stands first wherever it does.
    return sorted(rules, key=lambda rule: behind[rule] * (0.5 + random.random()), reverse=True)


def cases(squad: Squad) -> Iterator[tuple[int, int, Case]]:
    """All answerable questions as rules see them, each with its article's and paragraph's index."""
    vocabulary = Vocabulary(squad)
    others = Retrieval([a.paragraphs[0].context for a in squad.articles if len(a.paragraphs) == 1])
    for a, article in enumerate(squad.articles):
        around = Around(article, vocabulary, others)
        for p, paragraph in enumerate(article.paragraphs):
            for question in paragraph.questions:
                if question.has_answer:
                    yield a, p, Case(question, paragraph.context, around)


def _with(squad: Squad, made: list[Made]) -> Squad:
    """The set with what was made: at its passage, or after it where that is another."""
    by_place: dict[tuple[int, int], list[Made]] = {}
    for each in made:
        by_place.setdefault((each.article, each.paragraph), []).append(each)
    articles = []
    for a, article in enumerate(squad.articles):
        more: dict[str, list[Question]] = {}
        for p in range(len(article.paragraphs)):
            for each in by_place.get((a, p), ()):
                more.setdefault(each.edit.context, []).append(each.question())
        articles.append(_article(article, more))
    return Squad(tuple(articles), "v2.0")


def _article(article: Article, more: dict[str, list[Question]]) -> Article:
    paragraphs = []
    for paragraph in article.paragraphs:
        added = tuple(more.pop(paragraph.context, ()))
        paragraphs.append(replace(paragraph, questions=paragraph.questions + added))
    paragraphs += [Paragraph(context, tuple(questions)) for context, questions in more.items()]
    return replace(article, paragraphs=tuple(paragraphs))


def _check(share: float, mix: Mapping[str, float]) -> None:
    if not 0 <= share < 1:
        raise RequestError(
            f"The share of unanswerable questions is {share}; choose one from 0 to below 1.",
            "share",
        )
    unknown = sorted(set(mix) - set(RULES))
    if unknown:
        raise RequestError(
            f"There is no rule {unknown[0]!r} for unanswerable questions; the rules are "
            f"{', '.join(RULES)}.",
            "mix",
        )
    if share and not sum(mix.values()) > 0:
        raise RequestError("The mix of rules is empty; give at least one a share above 0.", "mix")
