import pytest

from studio.reader.question_words import QUESTION_WORDS, question_word


@pytest.mark.parametrize(
    ("question", "word"),
    [
        ("What is it?", "what"),
        ("In what country is Normandy?", "what"),
        ("What's that?", "what"),
        ("Whom did he meet?", "who"),
        ("Whose law was it?", "who"),
        ("When was that?", "when"),
        ("WHERE is it?", "where"),
        ("Of these, which one won?", "which"),
        ("Why not?", "why"),
        ("How many came?", "how many"),
        ("About how  much does it weigh?", "how many"),
        ("How long did it take?", "how"),
        ("Name the river.", "other"),
        ("Somewhere, somehow, whatever?", "other"),
        ("To whom, and whose?", "who"),
        ("The know-how is somewhat old?", "how"),
        ("A how-to is needed by whom?", "who"),
        ("", "other"),
    ],
)
def test_the_first_question_word_counts(question, word):
    assert question_word(question) == word
    assert word in QUESTION_WORDS
