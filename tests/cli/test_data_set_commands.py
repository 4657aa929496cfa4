import json

import pytest

from studio.reader.faults import faults
from studio.reader.squad import (
    Answer,
    Article,
    Paragraph,
    Question,
    Squad,
    read_squad,
    write_squad,
)


@pytest.fixture
def write(tmp_path):
    """Writes a data set of these questions and returns its path."""

    def made(*questions, name="mine.json"):
        path = tmp_path / name
        paragraph = Paragraph("The Seine is a river.", questions)
        write_squad(Squad((Article("Rivers", (paragraph,)),)), path)
        return path

    return made


SOUND = Question("1", "Which river?", (Answer("Seine", 4),))
MOVED = Question("2", "What is it?", (Answer("a river", 4),))
LOST = Question("2", "Which lake?", (Answer("Geneva", 4),))


def test_a_sound_file_is_told_so(atelier, write):
    result = atelier("check-squad", write(SOUND))
    assert (result.code, result.err) == (0, "")
    assert result.out == "articles: 1, questions: 1, faults: 0\n"


def test_faults_are_listed_with_their_paths(atelier, write):
    result = atelier("check-squad", write(SOUND, MOVED, LOST))
    assert result.code == 1
    lines = result.out.splitlines()
    assert lines[0] == (
        "data[0].paragraphs[0].qas[1].answers[0]: the answer “a river” is not what stands at "
        "character 4, which is “Seine i”; it stands at 13"
    )
    assert lines[1].startswith("data[0].paragraphs[0].qas[2].id: ")
    assert lines[-1] == "articles: 1, questions: 3, faults: 3"


@pytest.mark.parametrize("name", ["mended.json", "mended.json.gz"])
def test_a_mended_copy_is_written_and_told(atelier, write, tmp_path, name):
    path = write(SOUND, MOVED, LOST)
    before = path.read_bytes()
    result = atelier("check-squad", path, "--repair", tmp_path / name)
    assert result.code == 0
    assert path.read_bytes() == before
    assert "made “a river” at character 13 of “a river” at 4" in result.out
    assert f"{name}: articles: 1, questions: 2, faults: 0, repairs: 3" in result.out
    mended = read_squad(tmp_path / name)
    assert faults(mended) == []
    assert [asked.question.id for asked in mended.asked()] == ["1", "2"]


def test_json_holds_faults_and_repairs(atelier, write, tmp_path):
    path = write(SOUND, MOVED)
    result = atelier("check-squad", path, "--json")
    told = json.loads(result.out)
    assert result.code == 1
    assert told["questions"] == 2
    [fault] = told["faults"]
    assert fault["kind"] == "answer elsewhere"
    assert fault["stands_at"] == [13]
    assert told["repairs"] == []
    told = json.loads(atelier("check-squad", path, "--json", "--repair", tmp_path / "b.json").out)
    assert [each["path"] for each in told["repairs"]] == [fault["path"]]
    assert told["questions_kept"] == 2


def test_the_file_itself_is_never_written_over(atelier, write, tmp_path):
    path = write(MOVED)
    before = path.read_bytes()
    (tmp_path / "link.json").symlink_to(path)
    for out in (path, tmp_path / "link.json"):
        result = atelier("check-squad", path, "--repair", out)
        assert "must name another file" in result.sentence()
    assert path.read_bytes() == before


def test_what_is_not_squad_is_told_in_a_sentence(atelier, tmp_path):
    path = tmp_path / "a.json"
    path.write_text('{"data": [{"paragraphs": [{"qas": []}]}]}')
    result = atelier("check-squad", path)
    assert result.out == ""
    assert "a.json is not SQuAD: data[0].paragraphs[0] has no 'context'." in result.sentence()


def test_a_copy_that_cannot_be_written_is_told(atelier, write, tmp_path):
    result = atelier("check-squad", write(SOUND), "--repair", tmp_path / "gone" / "b.json")
    assert "Could not write b.json" in result.sentence()
    assert result.out == ""
