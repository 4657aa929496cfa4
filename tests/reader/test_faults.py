"""Every fault is found in its place, and a repaired data set has none."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from studio.reader.faults import Fault, FaultKind, cleaned, faults
from studio.reader.repairs import placed, repaired
from studio.reader.squad import (
    Answer,
    Article,
    Paragraph,
    Question,
    Squad,
    parse_squad,
    read_squad,
    write_squad,
)

CONTEXT = "The Seine is a river. Paris lies on the Seine, and so does Rouen."
PARIS = Answer("Paris", 22)


def squad(*questions, context=CONTEXT, version="v2.0"):
    return Squad((Article("Rivers", (Paragraph(context, questions),)),), version)


def ask(*answers, id="q1", text="Which city?", **rest):
    return Question(id, text, answers, **rest)


def only(found: list[Fault]) -> Fault:
    [fault] = found
    return fault


IMPOSSIBLE = {"is_impossible": True, "id": "q2", "text": "Which lake?"}


@pytest.mark.parametrize(
    ("data", "kind", "path", "words"),
    [
        (
            squad(ask(Answer("Paris", 20))),
            FaultKind.WRONG_START,
            "qas[0].answers[0]",
            "“Paris” is not what stands at character 20, which is “. Par”; it stands at 22",
        ),
        (
            squad(ask(Answer("Seine", 5))),
            FaultKind.WRONG_START,
            "qas[0].answers[0]",
            "it stands at 4 and 40",
        ),
        (
            squad(ask(PARIS, Answer("London", 0))),
            FaultKind.WRONG_START,
            "qas[0].answers[1]",
            "it stands nowhere in the context",
        ),
        (
            squad(ask(Answer("Rouen.", 64))),
            FaultKind.OUTSIDE,
            "qas[0].answers[0]",
            "begins at character 64, but the context has only 65; it stands at 59",
        ),
        (squad(ask(Answer("Paris", -43))), FaultKind.OUTSIDE, "qas[0].answers[0]", "character -43"),
        (
            squad(ask(Answer(" Paris", 21))),
            FaultKind.WHITE_SPACE,
            "qas[0].answers[0]",
            "white space around the answer “Paris”",
        ),
        (squad(ask(Answer(" ", 3))), FaultKind.EMPTY_ANSWER, "qas[0].answers[0]", "no words"),
        (squad(ask(Answer("", 3))), FaultKind.EMPTY_ANSWER, "qas[0].answers[0]", "no words"),
        (
            squad(ask(plausible=(Answer("Nile", 0),), **IMPOSSIBLE)),
            FaultKind.WRONG_START,
            "qas[0].plausible_answers[0]",
            "it stands nowhere",
        ),
        (squad(ask()), FaultKind.NO_ANSWER, "qas[0].answers", "not marked as impossible"),
        (squad(ask(), version="1.1"), FaultKind.NO_ANSWER, "qas[0].answers", "of SQuAD 1.1"),
        (
            squad(ask(PARIS, **IMPOSSIBLE)),
            FaultKind.NEEDLESS_ANSWER,
            "qas[0].answers",
            "marked as impossible, but has answers",
        ),
        (squad(ask(PARIS, id=" ")), FaultKind.EMPTY_ID, "qas[0].id", "empty"),
        (
            squad(ask(PARIS), ask(PARIS, text="Where?")),
            FaultKind.DUPLICATE_ID,
            "qas[1].id",
            "“q1” is that of data[0].paragraphs[0].qas[0], too",
        ),
        (
            squad(ask(PARIS), ask(PARIS, id="q2", text=" which  CITY? ")),
            FaultKind.DUPLICATE_QUESTION,
            "qas[1].question",
            "is asked in data[0].paragraphs[0].qas[0], too",
        ),
        (squad(ask(PARIS, text="\t")), FaultKind.EMPTY_QUESTION, "qas[0].question", "no words"),
        (squad(context=" \n"), FaultKind.EMPTY_CONTEXT, "context", "no words"),
        (
            squad(context="a\x00b"),
            FaultKind.CHARACTERS,
            "context",
            "character 1 is a NUL",
        ),
        (
            squad(ask(PARIS, text="Which \ud83d?")),
            FaultKind.CHARACTERS,
            "qas[0].question",
            "character 6 is half of a pair",
        ),
    ],
)
def test_each_fault_is_told_once_and_mended(data, kind, path, words):
    fault = only(faults(data))
    assert fault.kind == kind
    assert fault.path == f"data[0].paragraphs[0].{path}"
    assert words in fault.message
    mended, done = repaired(data)
    assert faults(mended) == []
    assert done


def test_the_first_place_of_an_id_counts_in_the_whole_file():
    one = Article("A", (Paragraph(CONTEXT, (ask(PARIS),)),))
    fault = only(faults(Squad((one, one))))
    assert fault.place == (1, 0, 0)


def test_the_title_is_looked_at():
    assert only(faults(Squad((Article("a\x00"),)))).path == "data[0].title"


def test_the_official_sets_have_no_fault_but_repeated_questions(squad_files):
    for name in ("dev-v2.0.json.gz", "dev-v1.1.rebuilt.json.gz"):
        data = read_squad(squad_files / name)
        found = faults(data)
        assert {fault.kind for fault in found} == {FaultKind.DUPLICATE_QUESTION}
        mended, done = repaired(data)
        assert len(done) == len(found)
        assert faults(mended) == []


@pytest.mark.parametrize(
    ("answer", "made"),
    [
        (PARIS, PARIS),
        (Answer("Paris", 3), PARIS),
        (Answer("Seine", 12), Answer("Seine", 4)),
        (Answer("Seine", 30), Answer("Seine", 40)),
        (Answer("Seine", 10**30), Answer("Seine", 40)),
        (Answer("Seine", -5), Answer("Seine", 4)),
        (Answer(" Paris ", 21), PARIS),
        (Answer("\tParis", 60), PARIS),
        (Answer("paris  LIES", 0), Answer("Paris lies", 22)),
        (Answer("London", 22), None),
        (Answer(" ", 22), None),
    ],
)
def test_an_answer_is_put_where_it_stands_nearest(answer, made):
    assert placed(answer, CONTEXT) == made


def questions(data):
    return [asked.question for asked in data.asked()]


def test_answers_of_impossible_questions_become_plausible_ones():
    [mended] = questions(repaired(squad(ask(PARIS, is_impossible=True)))[0])
    assert (mended.answers, mended.plausible, mended.is_impossible) == ((), (PARIS,), True)
    rouen = Answer("Rouen", 59)
    [mended] = questions(repaired(squad(ask(PARIS, plausible=(rouen,), is_impossible=True)))[0])
    assert (mended.answers, mended.plausible, mended.is_impossible) == ((), (rouen,), True)


def test_a_question_with_plausible_answers_only_is_impossible():
    [mended] = questions(repaired(squad(ask(plausible=(PARIS,))))[0])
    assert mended.is_impossible
    assert mended.plausible == (PARIS,)


def test_repeated_questions_become_one_with_the_answers_of_both():
    seine = Answer("Seine", 4)
    data = squad(ask(PARIS), ask(PARIS, seine, id="q2"), ask(id="q3", is_impossible=True))
    mended, done = repaired(data)
    assert questions(mended) == [ask(PARIS, seine)]
    assert [each.path[-6:] for each in done] == ["qas[1]", "qas[2]"]


def test_ids_are_made_that_nobody_has():
    data = squad(
        *(
            ask(PARIS, id=name, text=f"{i}?")
            for i, name in enumerate(["a", "a", "a-2", "a", "", ""])
        )
    )
    ids = [question.id for question in questions(repaired(data)[0])]
    assert ids == ["a", "a-3", "a-2", "a-4", "question-0-0-4-2", "question-0-0-5-2"]


def test_what_cannot_be_mended_is_taken_out_and_told():
    data = squad(ask(Answer("London", 0)), ask(PARIS, id="q2", text="Where?"))
    mended, done = repaired(data)
    assert [question.id for question in questions(mended)] == ["q2"]
    assert [each.path for each in done] == [
        "data[0].paragraphs[0].qas[0].answers[0]",
        "data[0].paragraphs[0].qas[0]",
    ]


def test_a_sound_data_set_stays_the_very_same():
    data = squad(ask(PARIS), ask(plausible=(PARIS,), **IMPOSSIBLE))
    assert repaired(data) == (data, [])
    assert repaired(data)[0] is data


LETTERS = st.text(st.sampled_from("aA b\n\x00\ud83dé漢\u0301"), max_size=6)
ANSWERS = st.lists(st.builds(Answer, LETTERS, st.integers(-3, 12)), max_size=3).map(tuple)
QUESTIONS = st.builds(
    Question,
    st.sampled_from(["", "a", "a-2", "b", " ", "\x00", "question-0-0-0"]),
    LETTERS,
    ANSWERS,
    ANSWERS,
    st.booleans(),
)
PARAGRAPHS = st.builds(Paragraph, LETTERS, st.lists(QUESTIONS, max_size=4).map(tuple))
ARTICLES = st.builds(Article, LETTERS, st.lists(PARAGRAPHS, max_size=3).map(tuple))
SQUADS = st.builds(
    Squad, st.lists(ARTICLES, max_size=3).map(tuple), st.sampled_from(["v2.0", "1.1"])
)


@settings(max_examples=300, deadline=None)
@given(SQUADS)
def test_whatever_is_repaired_has_no_fault(data):
    mended, done = repaired(data)
    assert faults(mended) == []
    assert bool(done) == bool(faults(data))
    assert repaired(mended) == (mended, [])
    before = {cleaned(asked.question.text) for asked in data.asked()}
    assert {asked.question.text for asked in mended.asked()} <= before


@settings(max_examples=50, deadline=None)
@given(SQUADS)
def test_what_is_repaired_can_be_written_and_read(tmp_path_factory, data):
    mended, _ = repaired(data)
    path = tmp_path_factory.mktemp("written") / "a.json"
    write_squad(mended, path)
    again = parse_squad(path.read_bytes(), "a.json")
    assert faults(again) == []
    assert len(list(again.asked())) == len(list(mended.asked()))
