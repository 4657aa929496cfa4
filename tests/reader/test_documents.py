"""Pasted texts and text files: characters exactly as they are, and one sentence for the rest."""

import pytest

from studio.errors import DataError
from studio.reader.documents import SUFFIXES, pasted, read_document
from studio.reader.layout import Limits

ODD = (
    "\u05e9\u05dc\u05d5\u05dd e\u0301 \U0001f469\u200d\U0001f4bb naïve\r\n\r\nZweiter\tAbsatz.\r\n"
)
"""Right to left, a combining mark, a joined emoji, Windows line ends."""


@pytest.fixture
def file(tmp_path):
    """Writes a file and returns its path."""

    def write(name, content):
        path = tmp_path / name
        path.write_bytes(content)
        return path

    return write


def refusal(function, *arguments, **options):
    with pytest.raises(DataError) as caught:
        function(*arguments, **options)
    message = str(caught.value)
    assert message.endswith(".")
    assert "\n" not in message
    return message


def test_a_pasted_text_stays_as_it_is():
    document = pasted(ODD)
    assert document.text == ODD
    assert document.notices == ()
    assert [document.passage_text(i) for i in range(len(document.passages))] == [ODD.strip()]


@pytest.mark.parametrize(
    ("mark", "encoding"),
    [
        (b"", "utf-8"),
        (b"\xef\xbb\xbf", "utf-8"),
        (b"\xff\xfe", "utf-16-le"),
        (b"\xfe\xff", "utf-16-be"),
        (b"\xff\xfe\x00\x00", "utf-32-le"),
        (b"\x00\x00\xfe\xff", "utf-32-be"),
    ],
)
@pytest.mark.parametrize("suffix", [".txt", ".md", ".TXT"])
def test_a_file_gives_the_same_text_without_its_mark(file, mark, encoding, suffix):
    document = read_document(file(f"a{suffix}", mark + ODD.encode(encoding)))
    assert document.text == ODD
    assert document.name == f"a{suffix}"


def test_windows_1252_is_read_and_told(file):
    document = read_document(file("a.txt", "„naïve“ – 5 €".encode("cp1252")))
    assert document.text == "„naïve“ – 5 €"
    assert "Windows-1252" in document.notices[0]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.txt", b"", "is empty"),
        ("a.txt", b" \r\n\t\n", "is empty"),
        ("a.md", b"\xef\xbb\xbf", "is empty"),
        ("a.txt", b"one\ntwo\x00", "NUL character (character 7, line 2)"),
        ("a.txt", "text".encode("utf-16-le"), "NUL character"),
        ("a.txt", b"caf\xe9 \x01", "is not text, or in an encoding that is not known (byte 3)"),
        ("a.txt", b"caf\xe9 \x81", "is not text, or in an encoding that is not known (byte 3)"),
        ("a.txt", b"\xff\xfea", "begins as UTF-16 text but is damaged (byte 2)"),
        ("a.txt", b"%PDF-1.7 ...", "is a PDF, but its ending is .txt; give it the ending .pdf"),
        ("a.txt", b"PK\x03\x04...", "give it the ending .docx"),
        ("a.docx", b"%PDF-1.7 ...", "give it the ending .pdf"),
        ("a.docx", b"\xd0\xcf\x11\xe0...", "is an old Word file or one with a password"),
        ("a.pdf", b"PK\x03\x04...", "give it the ending .docx"),
        ("a.doc", b"text", "its ending is .doc, but must be .txt, .md, .pdf or .docx"),
        ("a", b"text", "its ending is missing"),
    ],
)
def test_what_cannot_be_read_is_told_in_a_sentence(file, name, content, words):
    message = refusal(read_document, file(name, content))
    assert message.startswith(f"{name} ")
    assert words in message


def test_files_and_texts_may_be_too_long(file):
    few = Limits(bytes=10, characters=5)
    assert "0 MB" in refusal(read_document, file("a.txt", b"a" * 11), limits=few)
    assert "more than 5 characters" in refusal(read_document, file("a.txt", b"123456"), limits=few)
    assert "more than 5 characters" in refusal(pasted, "123456", limits=few)
    assert pasted("12345", limits=few).text == "12345"


def test_a_file_of_fifty_megabytes_is_refused(tmp_path):
    path = tmp_path / "large.txt"
    with path.open("wb") as made:
        made.truncate(50_000_000)
    assert "large.txt is larger than 40 MB" in refusal(read_document, path)


def test_a_file_that_is_not_there_is_told(tmp_path):
    assert "No such file" in refusal(read_document, tmp_path / "gone.txt")
    folder = tmp_path / "folder.txt"
    folder.mkdir()
    assert "directory" in refusal(read_document, folder)


def test_only_the_ending_of_a_name_is_used(file):
    path = file("upload", b"Some words.")
    document = read_document(path, "C:\\secret\\../a\n\x1b" + "x" * 300 + ".txt")
    assert "secret" not in document.name
    assert document.name.isprintable()
    assert len(document.name) <= 80
    assert document.name.endswith(".txt")
    assert "no_such" in refusal(read_document, path, "no_such.exe")


def test_a_pasted_text_is_refused_when_it_is_none():
    assert "is empty" in refusal(pasted, " \n")
    assert "NUL" in refusal(pasted, "a\x00b")


def test_half_a_pair_is_replaced_in_its_place():
    document = pasted("one \ud83d two")
    assert document.text == "one \ufffd two"
    assert "1 character" in document.notices[0]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_an_empty_file_is_empty_whatever_its_ending(file, suffix):
    assert "is empty" in refusal(read_document, file(f"empty{suffix}", b""))
