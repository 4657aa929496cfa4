"""The stages of the embedded reader: what its sets are made of, and the card of an export."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
import torch
from safetensors.torch import load_file
from tiny_readers import make_reader

from studio.models.readers import load_reader
from studio.reader.answerability import Answerability
from studio.reader.evaluation import predicted
from studio.reader.finetuning.options import Options
from studio.reader.metrics import scores
from studio.reader.predictions import Predictions
from studio.reader.reading import reader_of
from studio.reader.squad import Answer, Article, Paragraph, Question, Squad, read_squad, squad_json
from training.reader import data
from training.reader.export import card, export
from training.reader.passages import cut, joined
from training.reader.sources import source

SMALL = Path(__file__).resolve().parents[1] / "data" / "small-v2.0.json"
CONTEXT = "Ole built a mill in 1900. It burnt down. Ida built it again in 1910, out of stone."


def question(id: str, *answers: str, context: str = CONTEXT) -> Question:
    text = f"Which larger mill of Ole was sold in 1900 to nine men, {id}?"
    return Question(id, text, tuple(Answer(a, context.index(a)) for a in answers))


def article(*questions: Question, context: str = CONTEXT, title: str = "Mill") -> Article:
    return Article(title, (Paragraph(context, questions),))


@pytest.mark.parametrize(
    ("title", "id", "wanted"),
    [
        ("Super_Bowl_50", "56be4db0acb8001400a502ec", "squad"),
        ("Istanbul", "5d65c2192b22cd4dfcfbcbc0", "new_wiki"),
        ("Scythe", "qed-7475618662654372287", "qed"),
        ("Scythe", "qed7475618662654372287", "qed"),
        ("Wiki1k:wikipedia:1", "qamr-dev-1599", "qamr"),
        ("Amazon_Reviews_405", "5dd4a621cc027a086d65eaaf", "amazon"),
        ("Filtered_Reddit_Comments", "5d9b76e28ae5305bc982a89f", "reddit"),
        ("honda.com", "gwoko50gatca2oh5", "policy"),
    ],
)
def test_parts_are_told_apart(title: str, id: str, wanted: str) -> None:
    assert source(Article(title, (Paragraph("x", (Question(id, "?"),)),))) == wanted


def test_a_long_passage_is_cut_at_sentences_and_answers_stay_right() -> None:
    whole = article(question("a", "Ole"), question("b", "1910"), question("c", "1900. It burnt"))
    cut_up = cut(whole, 30, 1.0, Random(0))
    assert [p.context for p in cut_up.paragraphs] == [
        "Ole built a mill in 1900.",
        "It burnt down.",
        "Ida built it again in 1910, out of stone.",
    ]
    # The answer of the third runs over a cut.
    assert [[q.id for q in p.questions] for p in cut_up.paragraphs] == [["a"], [], ["b"]]
    for asked in Squad((cut_up,)).asked():
        for answer in asked.question.answers:
            assert asked.context[answer.start : answer.end] == answer.text


def test_what_is_short_or_not_drawn_stays_whole() -> None:
    whole = article(question("a", "Ole"))
    assert cut(whole, 70, 1.0, Random(0)) == whole
    assert cut(whole, 30, 0.0, Random(0)) == whole


def test_sentences_are_joined_to_passages() -> None:
    singles = [
        article(question(f"{n}", f"m{n}", context=f"Ole m{n} ."), context=f"Ole m{n} .")
        for n in range(5)
    ]
    one = joined(singles, 2, 3, Random(0))
    assert [len(p.questions) for p in one.paragraphs] == [2, 2, 1]
    for asked in Squad((one,)).asked():
        answer = asked.question.answers[0]
        assert asked.context[answer.start : answer.end] == f"m{asked.question.id}"


def test_passes_have_every_question_anew() -> None:
    parts = {each: [] for each in data.SOURCES}
    parts["squad"] = list(read_squad(SMALL).articles)
    once = data.Portions(unanswerable=0.5)
    asked = list(data.training(parts, replace(once, passes=2), seed=3).asked())
    ids = [each.question.id for each in asked]
    assert len(set(ids)) == len(ids)
    first, second = (
        [(each.question.id, each.question.text) for each in data.training(parts, once, at).asked()]
        for at in (3, 4)
    )
    assert first != second
    second = [(f"1-{id}", text) for id, text in second]
    assert [(each.question.id, each.question.text) for each in asked] == first + second


def test_held_out_are_whole_articles_and_the_same_each_time() -> None:
    articles = [article(question(f"{n}", "Ole"), title=f"T{n}") for n in range(100)]
    titles = data.held_out(articles)
    assert len(titles) == 5
    assert titles == data.held_out(list(reversed(articles)))


def test_sets_are_made_apart_and_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("READER_WORKSHOP", str(tmp_path))
    context = CONTEXT + " The mayor of Saltmarsh, Karl Holm, bought it with nine farmers in May."
    articles = tuple(
        article(
            question(f"56be4db0acb8001400a5{n:02}01", "Ole", context=context),
            question(f"56be4db0acb8001400a5{n:02}02", "Karl Holm", context=context),
            context=f"{context}",
            title=f"T{n}",
        )
        for n in range(30)
    )
    pack = tmp_path / "pack.json"
    pack.write_text(json.dumps(squad_json(Squad(articles))))
    data.make(pack, "short", 0)
    short, held = (read_squad(tmp_path / f"{name}.json") for name in ("short", "held-out"))
    assert not {a.title for a in short.articles} & {a.title for a in held.articles}
    for squad, share in ((short, 0.45), (held, 0.5)):
        has = [asked.question.has_answer for asked in squad.asked()]
        assert has.count(False) / len(has) == pytest.approx(share, abs=0.03)


def test_the_card_tells_all_scores_and_what_it_was_not_trained_on() -> None:
    keys = ("exact", "f1", "HasAns_f1", "NoAns_f1", "best_f1")
    dev = {key: 60.0 + place for place, key in enumerate(keys)}
    told = {"dev": dev, "held_out": {key: value + 10 for key, value in dev.items()}}
    text = card("minilm-reader", told, Options(base="x", train=Path("short.json"), epochs=1.0))
    assert "not trained on SQuAD 2.0 train" in text
    assert "| **dev-v2.0** | 60.00 | 61.00 | 62.00 | 63.00 | 64.00 |" in text
    assert "| 70.00 | 71.00 | 72.00 | 73.00 | 74.00 |" in text
    assert "$" not in text


def test_a_run_is_scored_and_exported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("READER_WORKSHOP", str(tmp_path))
    run = tmp_path / "runs" / "tiny"
    make_reader(run / "best")
    Options(base="x", train=Path("short.json"), epochs=1.0).write(run)
    encoder = tmp_path / "encoder"
    encoder.mkdir()
    for name in ("model.safetensors", "LICENSE", "NOTICE"):
        (encoder / name).write_text(name)
    shutil.copy(SMALL, tmp_path / "held-out.json")
    folder = tmp_path / "exported"
    export("tiny", folder, SMALL)
    reader = reader_of(load_reader(folder))
    told = json.loads((folder / "scores.json").read_text())
    assert reader.answerability == Answerability(**told["answerability"])
    squad = read_squad(SMALL)
    found = predicted(reader, list(squad.asked()))
    made = Predictions(found.texts, found.na_probs)
    assert told["dev"] == scores(squad, made, reader.answerability.threshold).official()
    assert f"| **dev-v2.0** | {told['dev']['exact']:.2f} |" in (folder / "README.md").read_text()
    assert (folder / "LICENSE").read_text() == "LICENSE"
    weights = load_file(folder / "model.safetensors")
    assert {tensor.dtype for tensor in weights.values()} == {torch.float16}
