import random
import time

import pytest

from studio.reader.documents import Document, pasted
from studio.reader.passages import Passage
from studio.reader.retrieval import Retriever
from studio.reader.squad import read_squad


def document(*texts):
    joined = "\n\n".join(texts)
    passages = []
    at = 0
    for i, text in enumerate(texts, 1):
        passages.append(Passage(at, at + len(text), f"paragraph {i}"))
        at += len(text) + 2
    return Document("a text", joined, tuple(passages))


def indices(ranked):
    return [each.passage for each in ranked]


def test_the_passage_with_the_rarest_words_comes_first():
    retriever = Retriever(
        document("The river is long.", "The Seine is a river in France.", "A castle stands there.")
    )
    ranked = retriever.best("Where is the Seine, a river?", 3)
    assert indices(ranked)[0] == 1
    assert indices(ranked)[2] == 2
    assert ranked[0].score > ranked[1].score > ranked[2].score == 0


@pytest.mark.parametrize(
    ("question", "passage"),
    [
        ("Who INVENTED it?", 0),
        ("How many people, 1,500 or so?", 1),
        ("Qui a mangé la crème brûlée?", 2),
        ("富士山はどこですか", 3),
        ("수도는 어디입니까", 4),
        ("ประเทศไทย", 5),
        ("ｃａｓｔｌｅ", 6),
        ("¿Dónde está el castillo de la Mota?", 7),
    ],
)
def test_many_languages_are_found(question, passage):
    retriever = Retriever(
        document(
            "Its inventor was Tesla.",
            "About 1500 were there.",
            "La cre\u0300me bru\u0302le\u0301e est ici.",
            "日本で一番高い山は富士山です。",
            "대한민국의 수도는 서울이다.",
            "กรุงเทพเป็นเมืองหลวงของประเทศไทย",
            "A castle stands there.",
            "El castillo de la Mota está en Medina.",
        )
    )
    assert retriever.best(question, 1)[0].passage == passage


@pytest.mark.parametrize("question", ["Zyzzyva?", "", "What is it?", "?!", "😀"])
def test_a_question_whose_words_are_nowhere_gets_the_first_passages(question):
    ranked = Retriever(document("One river.", "Two lakes.", "Three seas.")).best(question, 2)
    assert [(each.passage, each.score) for each in ranked] == [(0, 0.0), (1, 0.0)]


def test_passages_without_words_are_no_trouble():
    assert indices(Retriever(document("😀", "...")).best("Where?", 5)) == [0, 1]
    retriever = Retriever(document("😀", "A river.", "..."))
    assert indices(retriever.best("Which river?", 5)) == [1, 0, 2]


def test_no_more_than_asked_for():
    retriever = Retriever(document(*["A river."] * 10))
    assert indices(retriever.best("river", 4)) == [0, 1, 2, 3]
    assert len(retriever.best("river", 99)) == 10


@pytest.mark.alone
def test_two_thousand_passages_are_indexed_in_no_time():
    words = ["".join(chr(97 + i // 26**n % 26) for n in range(4)) for i in range(20_000)]
    draw = random.Random(1)
    texts = [" ".join(draw.choices(words, k=150)) for _ in range(2000)]
    long = document(*texts)
    Retriever(document("warm"))
    begun = time.process_time()
    retriever = Retriever(long)
    indexed = time.process_time()
    assert retriever.best(texts[1234][:200], 1)[0].passage == 1234
    assert indexed - begun < 3
    assert time.process_time() - indexed < 0.2


def test_the_right_paragraph_of_an_article_is_among_the_first(squad_files):
    squad = read_squad(squad_files / "dev-v2.0.json.gz")
    found = asked = 0
    for article in squad.articles:
        retriever = Retriever(document(*(each.context for each in article.paragraphs)))
        for number, paragraph in enumerate(article.paragraphs):
            for question in paragraph.questions[:3]:
                if question.has_answer:
                    asked += 1
                    found += number in indices(retriever.best(question.text, 5))
    assert asked > 1500
    assert found / asked > 0.96


def test_a_pasted_text_is_searched_by_its_passages():
    text = "\n\n".join(
        f"Paragraph {i} is about {'lakes' if i == 7 else 'hills'}. " * 20 for i in range(9)
    )
    read = pasted(text)
    [best] = Retriever(read).best("Which one is about lakes?", 1)
    assert "lakes" in read.passage_text(best.passage)
