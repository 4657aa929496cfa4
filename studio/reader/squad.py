"""The SQuAD format, 1.1 and 2.0: files read into frozen records and written back.

Only the form of a file is checked here; whether answers stand where it says is for `faults`.
"""

import gzip
import hashlib
import io
import json
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from studio.errors import DataError
from studio.store.writing import replace_file

T = TypeVar("T")

LARGEST = 500_000_000
"""Bytes of a file, unpacked; the official training set has 42 million."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A text and the character of the context at which it starts."""

    text: str
    start: int

    @property
    def end(self) -> int:
        """The character after its last."""
        return self.start + len(self.text)


@dataclass(frozen=True, slots=True)
class Question:
    """One question; answers: of every annotator, none where the passage has no answer.

    plausible: what a reader may take for the answer of a question that has none.
    """

    id: str
    text: str
    answers: tuple[Answer, ...] = ()
    plausible: tuple[Answer, ...] = ()
    is_impossible: bool = False

    @property
    def has_answer(self) -> bool:
        """As the official script sees it, which reads the answers and not the mark."""
        return bool(self.answers)


@dataclass(frozen=True, slots=True)
class Paragraph:
    """A passage and the questions on it."""

    context: str
    questions: tuple[Question, ...] = ()


@dataclass(frozen=True, slots=True)
class Article:
    """Paragraphs under a title."""

    title: str
    paragraphs: tuple[Paragraph, ...] = ()


@dataclass(frozen=True, slots=True)
class Asked:
    """A question in its place: indices of article, paragraph and question."""

    place: tuple[int, int, int]
    title: str
    context: str
    question: Question


@dataclass(frozen=True, slots=True)
class Squad:
    """A data set; sha256: of the file that it was read from, unpacked, "" where there was none."""

    articles: tuple[Article, ...]
    version: str = "v2.0"
    sha256: str = ""

    @property
    def all_answerable(self) -> bool:
        """Whether it is of version 1, which knows no questions without answers."""
        return self.version.removeprefix("v").startswith("1")

    def asked(self) -> Iterator[Asked]:
        """All questions, in the order of the file."""
        for a, article in enumerate(self.articles):
            for p, paragraph in enumerate(article.paragraphs):
                for q, question in enumerate(paragraph.questions):
                    yield Asked((a, p, q), article.title, paragraph.context, question)


def path_of(article: int, paragraph: int | None = None, question: int | None = None) -> str:
    """A place in a file as people find it: data[3].paragraphs[2].qas[1]."""
    path = f"data[{article}]"
    if paragraph is not None:
        path += f".paragraphs[{paragraph}]"
    return path if question is None else f"{path}.qas[{question}]"


def read_squad(path: Path, name: str = "") -> Squad:
    """The data set of a .json or .json.gz file; name: what people call it.

    Raises DataError, with the place in the file, when it is not SQuAD.
    """
    name = name or path.name
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
        if content[:2] == b"\x1f\x8b":
            with gzip.open(io.BytesIO(content)) as unpacked:
                content = unpacked.read(LARGEST + 1)
    except (OSError, EOFError, zlib.error) as error:
        reason = error.strerror if isinstance(error, OSError) else None
        raise DataError(
            f"{name} cannot be read ({reason or error}); check the file and try again."
        ) from None
    if len(content) > LARGEST:
        raise DataError(f"{name} has more than {LARGEST / 1e6:,.0f} MB; split it into parts.")
    return parse_squad(content, name)


def write_squad(squad: Squad, path: Path) -> None:
    """Write a data set as the official files are; packed if the name ends with .gz.

    The file is there as a whole or not at all. Raises StorageError when the disk refuses.
    """
    content = json.dumps(squad_json(squad)).encode()
    if path.suffix == ".gz":
        content = gzip.compress(content, mtime=0)
    replace_file(path, content)


def parse_squad(content: bytes, name: str) -> Squad:
    """The data set of a file's content; DataError, with the place in it, when it is not SQuAD."""
    try:
        value = json.loads(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise DataError(
            f"{name} is not SQuAD: it is not UTF-8 text (byte {error.start})."
        ) from None
    except json.JSONDecodeError as error:
        raise DataError(
            f"{name} is not SQuAD: it is not JSON (line {error.lineno}, column {error.colno}: "
            f"{error.msg})."
        ) from None
    except RecursionError:
        raise DataError(f"{name} is not SQuAD: its JSON is nested too deeply.") from None
    except ValueError:
        raise DataError(f"{name} is not SQuAD: it has a number of thousands of digits.") from None
    version = str(value.get("version") or "") if isinstance(value, dict) else ""
    try:
        articles = _Field(value, "the file").list("data", _article)
    except _Wrong as wrong:
        raise DataError(f"{name} is not SQuAD: {wrong}.") from None
    return Squad(articles, version or "v2.0", hashlib.sha256(content).hexdigest())


def squad_json(squad: Squad) -> dict[str, Any]:
    """The data set as the official files have it; 1.1 files know no questions without answers."""
    two = not squad.all_answerable
    return {
        "version": squad.version,
        "data": [
            {
                "title": article.title,
                "paragraphs": [
                    {
                        "qas": [_question_json(question, two) for question in paragraph.questions],
                        "context": paragraph.context,
                    }
                    for paragraph in article.paragraphs
                ],
            }
            for article in squad.articles
        ],
    }


def _question_json(question: Question, two: bool) -> dict[str, Any]:
    told: dict[str, Any] = {}
    if two and (question.is_impossible or question.plausible):
        told["plausible_answers"] = _answers_json(question.plausible)
    told |= {
        "question": question.text,
        "id": question.id,
        "answers": _answers_json(question.answers),
    }
    if two:
        told["is_impossible"] = question.is_impossible
    return told


def _answers_json(answers: tuple[Answer, ...]) -> list[dict[str, Any]]:
    return [{"text": answer.text, "answer_start": answer.start} for answer in answers]


class _Wrong(Exception):
    """What is wrong with a value, and where it stands."""


class _Field:
    """A value of a file, with its place for who has to mend it."""

    def __init__(self, value: Any, place: str):
        self.value = value
        self.place = place

    def get(self, key: str, kind: type[T], what: str, default: T | None = None) -> T:
        """The member of this name, of this type; the default where it is missing."""
        if not isinstance(self.value, dict):
            raise _Wrong(f"{self.place} is {_sort(self.value)} and should be an object")
        if key not in self.value or (default is not None and self.value[key] is None):
            if default is None:
                raise _Wrong(f"{self.place} has no {key!r}")
            return default
        value = self.value[key]
        # In Python, True is a number too.
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise _Wrong(f"{self._under(key)} is {_sort(value)} and should be {what}")
        return value

    def list(
        self, key: str, read: Callable[["_Field"], T], default: list | None = None
    ) -> tuple[T, ...]:
        """All members of a list, each read in its place."""
        values = self.get(key, list, "a list", default)
        under = self._under(key)
        return tuple(read(_Field(value, f"{under}[{i}]")) for i, value in enumerate(values))

    def _under(self, key: str) -> str:
        return key if self.place == "the file" else f"{self.place}.{key}"


def _sort(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "text", bool: "true or false"}
    return "nothing" if value is None else names.get(type(value), "a number")


def _article(field: _Field) -> Article:
    return Article(field.get("title", str, "text", ""), field.list("paragraphs", _paragraph))


def _paragraph(field: _Field) -> Paragraph:
    return Paragraph(field.get("context", str, "text"), field.list("qas", _question, []))


def _question(field: _Field) -> Question:
    answers = field.list("answers", _answer, [])
    return Question(
        field.get("id", str, "text"),
        field.get("question", str, "text"),
        answers,
        field.list("plausible_answers", _answer, []),
        field.get("is_impossible", bool, "true or false", not answers),
    )


def _answer(field: _Field) -> Answer:
    return Answer(field.get("text", str, "text"), field.get("answer_start", int, "a whole number"))
