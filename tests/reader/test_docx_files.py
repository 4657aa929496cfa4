"""Word files: what Word shows, and archives that are none or attack."""

import io
import zipfile

import docx
import pytest

from studio.errors import DataError
from studio.reader import docx_files
from studio.reader.documents import read_document
from studio.reader.layout import LIMITS, Limits

WORDS = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'

BODY = "<w:p><w:r><w:t>abcdef</w:t></w:r></w:p>"


def saved(document):
    written = io.BytesIO()
    document.save(written)
    return written.getvalue()


def with_parts(content, parts):
    """The archive with other members; None leaves one out."""
    written = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(content)) as old,
        zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for member in old.infolist():
            if member.filename not in parts:
                new.writestr(member.filename, old.read(member))
        for name, data in parts.items():
            if data is not None:
                new.writestr(name, data)
    return written.getvalue()


def with_body(body):
    document = f"<w:document {WORDS}><w:body>{body}</w:body></w:document>"
    return with_parts(saved(docx.Document()), {"word/document.xml": document})


def texts(content, limits=LIMITS):
    layout = docx_files.read(content, "a.docx", limits)
    return [layout.text[block.start : block.end] for block in layout.blocks]


def refusal(content, limits=LIMITS):
    with pytest.raises(DataError) as caught:
        texts(content, limits)
    message = str(caught.value)
    assert message.startswith("a.docx ")
    assert message.endswith(".")
    return message


def test_paragraphs_headings_and_tables_are_read_in_order(tmp_path):
    document = docx.Document()
    document.add_heading("Rivers", 1)
    document.add_paragraph("The Seine is a river, שלום 😀.")
    table = document.add_table(2, 2)
    for row, cells in enumerate([("River", "Length"), ("Seine", "777 km")]):
        for column, text in enumerate(cells):
            table.cell(row, column).text = text
    document.add_heading("Lakes", 2)
    document.add_paragraph("None. " * 100)
    path = tmp_path / "a.docx"
    path.write_bytes(saved(document))
    read = read_document(path)
    first = "Rivers\n\nThe Seine is a river, שלום 😀.\n\nRiver\tLength\n\nSeine\t777 km"
    assert read.passage_text(0) == first
    assert read.passage_text(1) == "Lakes\n\n" + ("None. " * 100).strip()
    places = [passage.place for passage in read.passages]
    assert places == ["paragraphs 2 to 4, “Rivers”", "paragraph 6, “Lakes”"]


def test_what_word_does_not_show_is_left_out():
    body = (
        "<w:p><w:r><w:t>Kept</w:t></w:r><w:ins><w:r><w:t> and new</w:t></w:r></w:ins>"
        "<w:del><w:r><w:delText>deleted</w:delText></w:r></w:del>"
        "<w:r><w:instrText>PAGE</w:instrText></w:r><w:r><w:tab/><w:t>end</w:t></w:r></w:p>"
    )
    assert texts(with_body(body)) == ["Kept and new\tend"]


def test_content_controls_and_nested_tables_are_read():
    row = "<w:tr><w:tc><w:p><w:r><w:t>{}</w:t></w:r></w:p>{}</w:tc></w:tr>"
    inner = f"<w:tbl>{row.format('inner', '')}</w:tbl>"
    body = (
        "<w:sdt><w:sdtContent><w:p><w:r><w:t>Controlled</w:t></w:r></w:p></w:sdtContent></w:sdt>"
        f"<w:tbl>{row.format('outer', inner)}</w:tbl>"
    )
    assert texts(with_body(body)) == ["Controlled", "outer inner"]


def test_a_cell_that_spans_a_billion_columns_is_one_cell():
    cell = f'<w:tc><w:tcPr><w:gridSpan w:val="1000000000"/></w:tcPr>{BODY}</w:tc>'
    assert texts(with_body(f"<w:tbl><w:tr>{cell}</w:tr></w:tbl>")) == ["abcdef"]


def test_an_archive_that_is_no_word_file_is_told():
    assert "is no .docx file, or damaged" in refusal(b"PK\x03\x04 rubbish")
    whole = saved(docx.Document())
    assert "is no .docx file, or damaged" in refusal(whole[: len(whole) // 2])
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        archive.writestr("a.txt", "words")
    assert "no Word document" in refusal(written.getvalue())


@pytest.mark.parametrize(
    "parts",
    [
        {"word/document.xml": "<w:document"},
        {"word/document.xml": ""},
        {"word/document.xml": f"<w:document {WORDS}/>"},
        {"[Content_Types].xml": None},
        {"[Content_Types].xml": "<Types/>"},
        {"_rels/.rels": None},
        {"word/styles.xml": "<w:styles"},
    ],
)
def test_a_damaged_word_file_is_told(parts):
    assert "Word file" in refusal(with_parts(saved(docx.Document()), parts))


def test_entities_are_not_followed(tmp_path):
    secret = tmp_path / "secret.txt"
    secret.write_text("password")
    for entity in (f'SYSTEM "file://{secret}"', '"password"'):
        document = (
            f"<!DOCTYPE d [<!ENTITY e {entity}>]><w:document {WORDS}><w:body><w:p><w:r>"
            "<w:t>&e;</w:t></w:r></w:p></w:body></w:document>"
        )
        content = with_parts(saved(docx.Document()), {"word/document.xml": document})
        assert "entities" in refusal(content)


def test_a_billion_laughs_are_not_laughed():
    laughs = '<!ENTITY e0 "ha">' + "".join(
        f'<!ENTITY e{i} "{f"&e{i - 1};" * 10}">' for i in range(1, 12)
    )
    for place in ("<w:t>&e11;</w:t>", '<w:t w:a="&e11;">a</w:t>'):
        document = (
            f"<!DOCTYPE d [{laughs}]><w:document {WORDS}><w:body><w:p><w:r>{place}"
            "</w:r></w:p></w:body></w:document>"
        )
        assert refusal(with_parts(saved(docx.Document()), {"word/document.xml": document}))


def test_an_archive_that_unpacks_to_too_much_is_not_unpacked():
    picture = with_parts(with_body(BODY), {"word/media/a.png": bytes(3_000_000)})
    assert texts(picture, Limits(unpacked=5_000_000)) == ["abcdef"]
    assert "unpacks to 4 MB" in refusal(picture, Limits(unpacked=3_000_000))
    xml = with_parts(saved(docx.Document()), {"word/document.xml": b" " * 60_000_000})
    assert "unpacks to 61 MB" in refusal(xml)


def test_characters_are_limited():
    assert "more than 5 characters" in refusal(with_body(BODY), Limits(characters=5))
