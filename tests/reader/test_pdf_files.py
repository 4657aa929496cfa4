"""PDFs: paragraphs from lines, and files that are broken, closed or made to fill a machine."""

import io
import time
from importlib.util import find_spec

import pypdf
import pytest
from pdf_writer import assembled, from_contents, pdf

from studio.errors import DataError
from studio.reader import pdf_files
from studio.reader.documents import read_document
from studio.reader.layout import LIMITS, Limits

FULL = "These words fill a line of the page from its left to its right edge as they"


def read(content, limits=LIMITS):
    return pdf_files.read(content, "a.pdf", limits)


def blocks(*pages):
    layout = read(pdf(pages))
    return [(block.number, layout.text[block.start : block.end]) for block in layout.blocks]


def refusal(content, limits=LIMITS):
    with pytest.raises(DataError) as caught:
        read(content, limits)
    message = str(caught.value)
    assert message.startswith("a.pdf ")
    assert message.endswith(".")
    return message


def encrypted(user):
    writer = pypdf.PdfWriter(clone_from=io.BytesIO(pdf([["Secret words."]])))
    writer.encrypt(user, "owner", algorithm="RC4-128")
    written = io.BytesIO()
    writer.write(written)
    return written.getvalue()


def test_lines_become_paragraphs_and_pages_places(tmp_path):
    path = tmp_path / "report.pdf"
    path.write_bytes(pdf([["On (the) first naïve page."], ["On the second."]]))
    document = read_document(path)
    assert document.text == "On (the) first naïve page.\n\nOn the second."
    assert [passage.place for passage in document.passages] == ["page 1", "page 2"]
    assert document.passage_text(1) == "On the second."


def test_full_lines_are_joined_until_a_short_one_ends_a_sentence():
    page = [FULL, FULL, "stand here.", FULL, FULL, "The end."]
    assert blocks(page) == [
        (1, f"{FULL} {FULL} stand here."),
        (1, f"{FULL} {FULL} The end."),
    ]


def test_titles_and_items_stand_alone():
    page = ["1.2 A title", FULL, "stand here.", "- an item that", "goes on", "- another", FULL]
    assert [text for _, text in blocks(page)] == [
        "1.2 A title",
        f"{FULL} stand here.",
        "- an item that goes on",
        "- another",
        FULL,
    ]


@pytest.mark.parametrize(
    ("lines", "text"),
    [
        (["A conspic-", "uous word."], "A conspicuous word."),
        (
            ["Nine well-known wells; the well-", "known one."],
            "Nine well-known wells; the well-known one.",
        ),
        (["In Île-de-", "France."], "In Île-de-France."),
        (["From 1914-", "18 on."], "From 1914- 18 on."),
    ],
)
def test_hyphens_at_line_ends(lines, text):
    assert [found for _, found in blocks(lines)] == [text]


def test_numbers_and_titles_that_run_over_all_pages_are_kept_once():
    pages = [["The Report", f"Words {chr(96 + i) * 4} of a page.", str(i)] for i in range(1, 6)]
    assert [text for _, text in blocks(*pages)] == [
        "The Report",
        *(f"Words {chr(96 + i) * 4} of a page." for i in range(1, 6)),
    ]


def test_a_number_alone_stays_where_pages_are_few():
    assert blocks(["The answer", "42"]) == [(1, "The answer"), (1, "42")]


def test_a_pdf_without_text_is_told():
    assert "text recognition (OCR)" in refusal(pdf([[], []]))
    assert "text recognition (OCR)" in refusal(pdf([]))


def test_a_pdf_that_is_none_is_told():
    assert "is no PDF" in refusal(b"Some words.")


@pytest.mark.parametrize("keep", [20, 300, 600])
def test_a_broken_pdf_is_told(keep):
    assert "is a damaged PDF" in refusal(pdf([["Words."]])[:keep])


def test_a_pdf_with_a_wrong_table_of_contents_is_read_all_the_same():
    content = pdf([["Words."]]).replace(b"startxref\n", b"startxref\n9")
    assert read(content).text == "Words."


def test_a_damaged_page_is_left_out_with_a_notice():
    contents = [b"BT /F1 11 Tf (Sound.) Tj ET", b"BT /F1 11 Tf (x) Tj ET " * 100_000]
    layout = read(from_contents(contents))
    assert layout.text == "Sound."
    assert layout.notices == ("1 of 2 pages cannot be read and are missing: 2.",)


def test_a_pdf_that_is_only_kept_from_being_printed_is_read():
    assert read(encrypted("")).text == "Secret words."


def test_a_pdf_with_a_password_is_told():
    assert "can only be opened with a password" in refusal(encrypted("word"))


@pytest.mark.skipif(
    any(find_spec(package) for package in ("cryptography", "Crypto")),
    reason="A package is there that pypdf decrypts AES with.",
)
def test_an_encryption_that_is_not_known_is_told():
    aes = b"/V 4 /CF << /StdCF << /CFM /AESV2 /Length 16 >> >> /StmF /StdCF /StrF /StdCF"
    content = encrypted("").replace(b"/V 2", aes).replace(b"/R 3", b"/R 4")
    assert "is encrypted in a way that is not read here" in refusal(content)


def test_pages_characters_and_seconds_are_limited():
    many = pdf([["Some words."]] * 11)
    assert "more than 10 pages" in refusal(many, Limits(pages=10))
    assert "more than 20 characters" in refusal(many, Limits(characters=20))
    assert "takes more than 0 s to read (until page 1 of 11)" in refusal(many, Limits(seconds=0))


def test_a_page_that_unpacks_to_gigabytes_is_not_unpacked():
    bomb = from_contents([b" " * 300_000_000])
    assert len(bomb) < 400_000
    begun = time.monotonic()
    assert "none of its 1 pages can be read" in refusal(bomb)
    assert time.monotonic() - begun < 20


def test_a_tree_of_pages_without_end_is_told():
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [2 0 R 2 0 R] /Count 1000000 >>",
    ]
    assert refusal(assembled(objects))


def test_a_drawing_that_draws_itself_comes_to_an_end():
    font = b"<< /F1 << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >>"
    means = b"/Resources << /XObject << /Fm 3 0 R >> /Font %s >>" % font
    form = b"/Fm Do BT /F1 11 Tf (Words.) Tj ET"
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [4 0 R] /Count 1 >>",
        b"<< /Type /XObject /Subtype /Form /BBox [0 0 9 9] %s /Length %d >>\nstream\n%s\nendstream"
        % (means, len(form), form),
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 99 99] /Contents 3 0 R %s >>" % means,
    ]
    begun = time.monotonic()
    assert read(assembled(objects)).text.startswith("Words.")
    assert time.monotonic() - begun < 60


def test_text_in_a_font_that_does_not_tell_its_letters_is_none():
    assert "text recognition (OCR)" in refusal(from_contents([b"BT /F9 11 Tf (Words.) Tj ET"]))


def test_three_hundred_pages_are_read_in_seconds():
    lines = [f"{FULL} {chr(97 + i % 26) * (i // 26 + 1)}." for i in range(340)]
    content = pdf([lines[page : page + 40] for page in range(300)])
    begun = time.process_time()
    layout = read(content)
    assert len(layout.text) > 900_000
    assert time.process_time() - begun < 20
