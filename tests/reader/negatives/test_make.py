"""Sets with made questions: shares, ids, places, the same for the same seed."""

from collections import Counter
from pathlib import Path

import pytest

from studio.errors import RequestError
from studio.reader.negatives.harmless import with_harmless
from studio.reader.negatives.make import make_negatives
from studio.reader.negatives.table import MIX, RULES
from studio.reader.squad import Squad, parse_squad, squad_json


def rules_of(squad: Squad) -> Counter[str]:
    return Counter(
        asked.question.id.partition("~")[2]
        for asked in squad.asked()
        if not asked.question.has_answer
    )


def test_the_mix_is_of_the_table_and_whole() -> None:
    assert set(MIX) == set(RULES)
    assert sum(MIX.values()) == pytest.approx(1)


def test_half_of_the_set_has_no_answer(port_amber: Squad) -> None:
    made = make_negatives(port_amber, 0.5, seed=1)
    has = [asked.question.has_answer for asked in made.asked()]
    assert (has.count(True), has.count(False)) == (10, 10)


def test_made_questions_are_told_from_asked_ones(port_amber: Squad) -> None:
    made = make_negatives(port_amber, 0.6, seed=1)
    originals = {asked.question.id for asked in port_amber.asked()}
    ids = [asked.question.id for asked in made.asked()]
    assert len(ids) == len(set(ids))
    for asked in made.asked():
        question = asked.question
        original, _, rule = question.id.partition("~")
        assert original in originals
        assert question.is_impossible == bool(rule) == (not question.answers)
        for answer in question.plausible:
            assert asked.context[answer.start : answer.end] == answer.text


def test_asked_questions_are_as_they_were(port_amber: Squad) -> None:
    made = make_negatives(port_amber, 0.5, seed=1)
    kept = [asked for asked in made.asked() if asked.question.has_answer]
    assert [(asked.context, asked.question) for asked in kept] == [
        (asked.context, asked.question) for asked in port_amber.asked()
    ]


def test_the_same_seed_makes_the_same_set(port_amber: Squad) -> None:
    assert make_negatives(port_amber, seed=3) == make_negatives(port_amber, seed=3)
    assert make_negatives(port_amber, seed=3) != make_negatives(port_amber, seed=4)


def test_only_rules_of_the_mix_are_used_in_their_shares(port_amber: Squad) -> None:
    made = make_negatives(port_amber, 0.5, {"negation": 3, "elsewhere": 2}, seed=1)
    assert rules_of(made) == {"negation": 6, "elsewhere": 4}


def test_rules_that_apply_make_up_for_one_that_does_not(port_amber: Squad) -> None:
    made = make_negatives(port_amber, 0.5, {"number": 1, "elsewhere": 1}, seed=1)
    assert rules_of(made)["elsewhere"] > 5
    assert rules_of(made).total() == 10


def test_a_made_set_is_a_squad_file(port_amber: Squad) -> None:
    import json

    made = make_negatives(port_amber, 0.5, seed=1)
    told = parse_squad(json.dumps(squad_json(made)).encode(), "made.json")
    assert told.articles == made.articles


@pytest.mark.parametrize("share", [-0.1, 1.0, 2.0])
def test_a_share_that_is_none_is_refused(port_amber: Squad, share: float) -> None:
    with pytest.raises(RequestError, match=str(share)):
        make_negatives(port_amber, share)


def test_an_unknown_rule_is_refused_with_the_known_ones(port_amber: Squad) -> None:
    with pytest.raises(RequestError, match=r"'antonym'.*opposite"):
        make_negatives(port_amber, 0.5, {"antonym": 1})
    with pytest.raises(RequestError, match="empty"):
        make_negatives(port_amber, 0.5, {})


def test_harmless_edits_keep_every_answer(port_amber: Squad) -> None:
    edited = with_harmless(make_negatives(port_amber, 0.5, seed=1), 1.0, seed=1)
    before = {asked.question.id: asked.question for asked in port_amber.asked()}
    changed = 0
    for asked in edited.asked():
        question = asked.question
        if not question.has_answer:
            continue
        original = before.pop(question.id.partition("~")[0])
        assert {answer.text for answer in question.answers} == {
            answer.text for answer in original.answers
        }
        for answer in question.answers:
            assert asked.context[answer.start : answer.end] == answer.text
        changed += question.text != original.text
    assert not before
    assert changed >= 5


def test_harmless_edits_are_the_same_for_a_seed_and_none_without_a_share(port_amber: Squad) -> None:
    assert with_harmless(port_amber, 0.7, 2) == with_harmless(port_amber, 0.7, 2)
    assert with_harmless(port_amber, 0.0, 2).articles == port_amber.articles
    with pytest.raises(RequestError, match="2"):
        with_harmless(port_amber, 2.0)


def test_on_the_open_pack_all_rules_get_their_share(squad_files: Path) -> None:
    from studio.reader.squad import read_squad

    pack = squad_files / "train-open.json.gz"
    squad = read_squad(pack)
    some = Squad(tuple(a for a in squad.articles if a.title in ("Nikola_Tesla", "Super_Bowl_50")))
    asked = sum(1 for _ in some.asked())
    made = rules_of(make_negatives(some, 0.5, seed=1))
    assert made.total() == asked
    for rule, share in MIX.items():
        assert made[rule] >= 0.6 * share * asked, rule
