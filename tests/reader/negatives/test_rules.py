"""Each rule on sentences of our own: what it makes, and where it must make nothing."""

from collections.abc import Callable
from random import Random

import pytest

from studio.reader.negatives.case import Case, Edit
from studio.reader.negatives.rules.another_word import another_word
from studio.reader.negatives.rules.condition import condition
from studio.reader.negatives.rules.dates import ordinal, swap_date
from studio.reader.negatives.rules.elsewhere import elsewhere
from studio.reader.negatives.rules.exclusion import exclusion
from studio.reader.negatives.rules.names import swap_name
from studio.reader.negatives.rules.negation import negation
from studio.reader.negatives.rules.numbers import swap_number
from studio.reader.negatives.rules.opposites import opposite
from studio.reader.negatives.rules.other_asked import other_asked
from studio.reader.negatives.rules.passage import swap_told, without
from studio.reader.negatives.table import RULES
from studio.reader.negatives.text import holds, normal

Find = Callable[[str], Case]
With = Callable[..., Case]
SEEDS = range(12)


def all_made(rule: Callable, case: Case) -> list[Edit]:
    """What a rule makes of a case with many seeds."""
    made = [rule(case, Random(seed)) for seed in SEEDS]
    return [edit for edit in made if edit]


def questions(rule: Callable, case: Case) -> set[str]:
    return {edit.question for edit in all_made(rule, case)}


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_what_is_made_is_really_another_case(rule: Callable, port_amber, case_of: Find) -> None:
    made = 0
    for asked in port_amber.asked():
        case = case_of(asked.question.id)
        for edit in all_made(rule, case):
            made += 1
            assert (normal(edit.question), edit.context) != (normal(case.text), case.context)
            if edit.plausible:
                stretch = edit.context[edit.plausible.start : edit.plausible.end]
                assert stretch == edit.plausible.text == case.answer.text
            else:
                assert not holds(edit.context, case.golds)
    assert made


def test_a_name_becomes_another_of_the_article(case_of: Find) -> None:
    told = questions(swap_name, case_of("led"))
    assert told
    for text in told:
        other = text.removeprefix("Who led the ships to ").removesuffix("?")
        assert other in ("Tern Company", "Lower Quay", "Greyhaven", "Tobias Renn", "Ines Calloway",
                         "Port Amber", "Tern")  # fmt: skip


def test_a_name_never_becomes_the_answer(case_of: Find) -> None:
    assert not any("Greyhaven" in text for text in questions(swap_name, case_of("lamp")))


def test_a_name_told_of_the_same_makes_no_question(case_with: With) -> None:
    case = case_with(
        "Anna Lund sold the mill to Ole Berg. Karl Holm sold the mill to Ida Dahl.",
        "To whom was the mill sold by Anna Lund?",
        "Ole Berg",
    )
    assert not any("Karl Holm" in text for text in questions(swap_name, case))


def test_a_year_becomes_another_and_no_year_of_the_same(case_of: Find) -> None:
    told = questions(swap_date, case_of("built"))
    assert len(told) > 2
    assert all(text.startswith("Who built the lighthouse of Port Amber in 1") for text in told)
    assert not any("1861" in text for text in told)
    assert not any("1933" in text for text in questions(swap_date, case_of("sold")))


def test_a_month_becomes_a_month_and_a_century_one_near(case_with: With) -> None:
    case = case_with("It fell in May of the 12th century.", "What fell in May?", "It")
    assert "What fell in June?" in {
        edit.question for seed in range(60) if (edit := swap_date(case, Random(seed)))
    }
    case = case_with("It fell in the 12th century.", "What fell in the 12th century?", "It")
    near = {f"What fell in the {ordinal(n)} century?" for n in range(8, 17)}
    assert questions(swap_date, case) <= near


@pytest.mark.parametrize("text", ["1st", "2nd", "3rd", "4th", "11th", "12th", "13th", "21st"])
def test_ordinals(text: str) -> None:
    assert ordinal(int(text[:-2])) == text


def test_numbers_stay_as_round_as_they_were(case_with: With) -> None:
    case = case_with("The mill has 4,000 wheels.", "What has 4,000 wheels?", "The mill")
    told = questions(swap_number, case)
    assert told
    assert all(text.removesuffix(" wheels?").endswith("000") for text in told)


def test_a_number_word_becomes_one_near(case_of: Find) -> None:
    told = questions(swap_number, case_of("miles"))
    assert told
    near = ["nine", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty", "thirty"]
    near += ["fifty", "sixty", "seventy", "eighty", "ninety"]
    assert told <= {f"Which town lies {number} miles to the north?" for number in near}


def test_opposites(case_of: Find) -> None:
    assert "How many floors does the smallest lighthouse of the coast have?" in questions(
        opposite, case_of("floors")
    )


@pytest.mark.parametrize("text", ["How long did the mill run?", "Which New Sweden mill ran?"])
def test_set_phrases_and_names_have_no_opposite(text: str, case_with: With) -> None:
    assert not questions(opposite, case_with("The mill of New Sweden ran a week.", text, "a week"))


def test_the_opposite_must_not_be_told_with_the_answer(case_with: With) -> None:
    case = case_with(
        "The oldest and the youngest miller was Ole.", "Who was the oldest miller?", "Ole"
    )
    assert not questions(opposite, case)


def test_articles_fit_the_new_word(case_with: With) -> None:
    case = case_with("Wind is a common reason.", "What is a common reason?", "Wind")
    assert questions(opposite, case) <= {"What is a rare reason?", "What is an uncommon reason?"}


def test_words_that_exclude_each_other(case_of: Find) -> None:
    measures = ["kilometers", "feet", "meters", "yards", "inches"]
    winds = ["south", "east", "west", "northeast", "northwest", "southeast", "southwest"]
    told = questions(exclusion, case_of("miles"))
    assert told
    assert told <= {f"Which town lies forty {each} to the north?" for each in measures} | {
        f"Which town lies forty miles to the {each}?" for each in winds
    }


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("What did the mill grind?", {"What didn't the mill grind?"}),
        ("What didn't the mill grind?", {"What did the mill grind?"}),
        ("Who never sold wheat?", {"Who sold wheat?"}),
        ("Who was not elected?", {"Who was elected?"}),
        ("Who founded the mill?", {"Who never founded the mill?"}),
        ("Was the mill sold?", set()),
        ("Who was elected?", {"Who was not elected?", "Who was never elected?"}),
        ("Wheat from where?", set()),
    ],
)
def test_negation(text: str, wanted: set[str], case_with: With) -> None:
    assert questions(negation, case_with("The mill ground wheat.", text, "wheat")) == wanted


def test_a_condition_is_a_phrase_of_elsewhere(case_of: Find) -> None:
    told = questions(condition, case_of("day"))
    assert told
    for text in told:
        assert text.startswith("On which day is the market of Port Amber held")
        assert text.endswith("?")


def test_a_condition_takes_the_place_of_one_with_its_preposition(case_of: Find) -> None:
    told = questions(condition, case_of("built"))
    assert told
    assert all(text.startswith("Who built the lighthouse of Port Amber in ") for text in told)
    assert not any("1861" in text for text in told)


def test_a_question_that_ends_in_a_preposition_takes_no_condition(case_with: With) -> None:
    case = case_with("It was sold to Ole.", "Who was it sold to?", "Ole")
    assert not questions(condition, case)


def test_another_word_is_of_the_same_class(case_with: With) -> None:
    context = (
        "The roof of the mill was painted by Ole. The floor of the mill was mended by Ida. The "
        "roof of the barn is red, and the floor of the barn is grey. The wheel of the car is old. "
        "The wheel of fire turns."
    )
    case = case_with(context, "Who painted the roof of the mill?", "Ole")
    told = questions(another_word, case)
    assert told
    assert told <= {
        "Who painted the floor of the mill?",
        "Who painted the wheel of the mill?",
        "Who painted the roof of the floor?",
        "Who painted the roof of the wheel?",
        "Who painted the roof of the barn?",
        "Who painted the barn of the mill?",
    }


@pytest.mark.parametrize(
    ("text", "context", "answer", "wanted"),
    [
        ("When did Ole leave?", "Ole left on Monday.", "Monday", {"Why", "Where", "How"}),
        ("When did Ole leave?", "Ole left by boat on Monday.", "Monday", {"Why", "Where"}),
        (
            "In what year did Ole go?",
            "He went in 1900 because of war.",
            "1900",
            {"On what day", "Where", "How"},
        ),
        ("Where is Ole?", "Ole sits in bed.", "bed", {"Why", "When", "How"}),
        ("Who is Ole?", "Ole is a miller.", "a miller", set()),
    ],
)
def test_what_is_asked_becomes_what_is_not_told(
    text: str, context: str, answer: str, wanted: set[str], case_with: With
) -> None:
    told = questions(other_asked, case_with(context, text, answer))
    tail = text.partition(" did ")[2] or text.partition(" is ")[2]
    assert {each.partition(" did ")[0].partition(" is ")[0] for each in told} <= wanted
    assert bool(told) == bool(wanted)
    assert all(each.endswith(tail) for each in told)


def test_elsewhere_is_a_like_passage_without_the_answer(case_of: Find) -> None:
    case = case_of("led")
    for edit in all_made(elsewhere, case):
        assert edit.question == case.text
        assert "Port Amber" in edit.context
        assert "Marta Oduya" not in edit.context


def test_a_passage_that_holds_an_answer_is_never_taken(case_of: Find) -> None:
    # All three passages tell of Port Amber, so that a question for it has no other passage.
    case = case_of("built")
    told = Case(case.question, "none of them", case.around)
    assert {edit.context[:16] for edit in all_made(elsewhere, told)} <= {
        "The harbour of P", "The market of Po",
    }  # fmt: skip


def test_without_the_answers_sentence(case_of: Find) -> None:
    edit = without(case_of("built"), Random(0))
    assert edit
    assert "Ines Calloway" not in edit.context
    assert "nine floors" in edit.context
    assert edit.plausible is None


def test_without_does_nothing_when_the_answer_is_told_again(case_with: With) -> None:
    case = case_with(
        "The mill was sold to Ole. Later, in the hard year of the flood, Ole sold the mill again.",
        "To whom was the mill sold?",
        "Ole",
    )
    assert without(case, Random(0)) is None


def test_the_passage_tells_of_another(case_of: Find) -> None:
    case = case_of("sold")
    for edit in all_made(swap_told, case):
        assert edit.question == case.text
        assert "the Tern Company" in edit.context
        assert "in 1910" not in edit.context or "Port Amber" not in edit.context
